// Which of several providers takes a call. Pure: candidates in, the index of one out; what a
// strategy has to remember between two calls is in the candidates.
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/random.h"
#include "perilune.h"
#include "service/health.h"

// How fit a candidate is for the call; a lower one is better, from DRAINING on it is out of the
// question.
typedef enum pl_fitness {
  PL_FIT,
  PL_FULL,     // as far as is known, the call would wait there
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
  bool full, resting, draining, unreachable, tried, refused;
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

// Of two that are rated, below 0: `a` comes into question first; 0: it is the strategy that
// decides.
int pl_balance_compare(const pl_candidate *a, const pl_candidate *b);

// Of a key; the same on every node.
uint64_t pl_balance_hash(pl_bytes key);

// How far a choice moves a candidate of that weight back in the line.
uint64_t pl_balance_stride(uint32_t weight);

// `*` stands for any bytes, also none.
bool pl_pattern_matches(pl_bytes pattern, const char *text, size_t len);
