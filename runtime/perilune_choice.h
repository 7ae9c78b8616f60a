// A part of perilune.h: who of several providers takes a call, and why.
#pragma once

#include "base/buf.h"
#include "base/id.h"

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

// How urgent a call is. The numbers are those of the wire; 0 stands for normal.
typedef enum pl_priority {
  PL_PRIORITY_HIGH = 1,
  PL_PRIORITY_NORMAL = 2,
  PL_PRIORITY_LOW = 3,
} pl_priority;

// What a caller wants. Zeroed: nothing in particular.
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
  bool limited;  // `retries` was given; else PL_RETRIES
  unsigned retries;
} pl_policy;

// One provider, as it stands when an action is called.
typedef struct pl_standing {
  pl_id id;
  const char *name, *region;
  unsigned hops;
  uint64_t cost_us, latency_us;  // 0: not known
  uint32_t outstanding, load, weight;
  const char *health;    // "ok", "degraded", "ejected", "probing"
  const char *fitness;   // "fit", or why it comes late or not at all
  bool able;             // it could take the call
  unsigned group, zone;  // rank among the providers and regions wanted, from 0
  uint64_t score;        // by the strategy, the lower the better
  bool chosen;
  pl_id via;  // the neighbour to which the call goes first; zero: no path
} pl_standing;

// How a choice among them came about. Texts are borrowed until the next call.
typedef struct pl_explanation {
  pl_strategy strategy;
  const char *said_by;  // "call", "action", "node", "default"
  const char *reason;   // why the chosen one, or why none
} pl_explanation;
typedef void pl_standing_fn(const pl_standing *s, void *user);

struct pl_node;
// The codec a provider of `action` wants: 0 MessagePack, 1 JSON.
int pl_node_codec(struct pl_node *n, pl_bytes action);
// How long a call of it may take, by the longest that its providers say; 0: none of them does.
uint64_t pl_node_timeout(struct pl_node *n, pl_bytes action);
