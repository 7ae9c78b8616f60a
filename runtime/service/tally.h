// What calls from here have shown of a node and of its actions. Both outlive what they are of while
// calls are under way.
#pragma once

#include "service/health.h"

// Of a node.
typedef struct pl_node_tally {
  unsigned refs;
  uint32_t outstanding;  // calls from here and through here that have not ended
  uint32_t load;         // requests of others there, as far as it told
} pl_node_tally;

pl_node_tally *pl_node_tally_new(void);
void pl_node_tally_drop(pl_node_tally *t);
// The node says how many requests it has; those that are counted here are known better.
void pl_node_tally_told(pl_node_tally *t, uint32_t requests);

// Of one action of a node, from the first call on.
typedef struct pl_tally {
  unsigned refs;
  pl_node_tally *node;  // held
  pl_health health;
  uint64_t used;         // when it was chosen last, as a count of choices
  uint64_t pass;         // its place in the line of PL_STRATEGY_WEIGHTED
  uint64_t latency_us;   // smoothed; 0: none known
  uint32_t outstanding;  // calls from here that have not ended
} pl_tally;

pl_tally *pl_tally_new(pl_node_tally *node);
void pl_tally_drop(pl_tally *t);

// One call that is on its way there.
typedef struct pl_errand {
  pl_node_tally *node;  // NULL: none is on its way; held, if `tally` does not hold it,
  pl_tally *tally;      // which is held; NULL: another node chose, the call is only counted
  uint64_t began_us;
  bool probe;
} pl_errand;

void pl_errand_begin(pl_errand *e, pl_tally *t, uint64_t now_us);
// The same for a call that another node has sent there, and from whose end nothing is learnt.
void pl_errand_count(pl_errand *e, pl_node_tally *node);
// It ended; fine when none was on its way. `timed`: its time is the action's. `retry_after_ms`: of
// a BUSY.
void pl_errand_end(pl_errand *e, uint64_t now_us, pl_verdict verdict, bool timed,
                   uint32_t retry_after_ms);
