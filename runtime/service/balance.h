// Which of several providers takes a call. Pure: candidates in, the index of one out; what a
// strategy has to remember between two calls is in the candidates.
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/random.h"
#include "service/health.h"

// X(name, text)
#define PL_STRATEGIES(X)        \
  X(LEAST, "least")             \
  X(ROUND_ROBIN, "round_robin") \
  X(RANDOM, "random")           \
  X(WEIGHTED, "weighted")       \
  X(P2C, "p2c")                 \
  X(HASH, "hash")               \
  X(LOCAL, "local")

typedef enum pl_strategy {
  PL_STRATEGY_UNSET,  // whoever else has a say
#define X(name, text) PL_STRATEGY_##name,
  PL_STRATEGIES(X)
#undef X
} pl_strategy;

// PL_STRATEGY_UNSET when there is none of that name.
pl_strategy pl_strategy_find(const char *name, size_t len);
const char *pl_strategy_name(pl_strategy strategy);

// What a caller wants. Views are borrowed.
typedef struct pl_policy {
  pl_strategy strategy;
  bool keyed;  // `key` was given; else the arguments are the key
  pl_bytes key;
  // Patterns of names, or ids in 32 hexadecimal digits; none: any provider will do. The first that
  // a provider matches is its rank; one that matches none takes no call.
  const pl_bytes *providers;
  size_t provider_count;
  const pl_bytes *regions;  // in order of preference; elsewhere comes last
  size_t region_count;
  int retries;  // repeats, at most; negative: PL_RETRIES
} pl_policy;

// How fit a candidate is for the call; a lower one is better, from DRAINING on it is out of the
// question.
typedef enum pl_fitness {
  PL_FIT,
  PL_RESTING,  // it was busy a moment ago
  PL_TRIED,    // the path to it was lost, in this call
  PL_EJECTED,  // its health
  PL_DRAINING_NOW,
  PL_UNREACHABLE,
  PL_REFUSED,   // it has refused this call
  PL_UNLISTED,  // not among the providers that the caller wants
} pl_fitness;

// "fit", "resting", …
const char *pl_fitness_name(pl_fitness fitness);

typedef struct pl_candidate {
  // Told by the owner.
  pl_id id;
  const char *name, *region;  // borrowed
  void *owner;                // not looked at
  uint64_t cost_us;           // of the way there
  uint64_t latency_us;        // smoothed, of calls to it; 0 = unknown
  uint64_t ejected_us;        // until when, if it is
  uint64_t used;              // when it was chosen last, as a count of choices; 0 = never
  uint64_t pass;              // PL_STRATEGY_WEIGHTED: its place in the line
  uint32_t outstanding;       // calls from here that have not ended
  uint32_t load;              // requests of others there
  uint32_t weight;            // 0 is 1
  unsigned hops;
  pl_health_state health;
  bool probed;  // probing, and a call is on its way
  bool resting, draining, unreachable, tried, refused;
  // Found out.
  pl_fitness fitness;
  unsigned group, zone;  // rank among providers and regions wanted, from 0
  uint64_t score;        // by the strategy: the lower the better
} pl_candidate;

// Rates `c` and returns the index of the chosen one, or -1 when none can take the call. `hash`: of
// the key (pl_balance_hash). The owner notes the choice: `used`, and for PL_STRATEGY_WEIGHTED
// `pass`.
int pl_balance_choose(const pl_policy *p, pl_strategy strategy, pl_candidate *c, size_t n,
                      uint64_t hash, pl_random *random);

// Of a key; the same on every node.
uint64_t pl_balance_hash(pl_bytes key);

// How far a choice moves a candidate of that weight back in the line.
uint64_t pl_balance_stride(uint32_t weight);

// `*` stands for any bytes, also none.
bool pl_pattern_matches(pl_bytes pattern, const char *text, size_t len);
