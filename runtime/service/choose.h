// Choosing a provider for a call out of the directory: what is known of each there, put before the
// strategies of balance.h.
#pragma once

#include "service/channel.h"

// What is asked for. Views are borrowed.
typedef struct pl_query {
  pl_bytes action;
  const pl_id *only;        // NULL: any node
  const pl_policy *policy;  // NULL: nothing in particular
  pl_parts args;            // the key, if the strategy needs one and the policy has none
  const pl_id *refused;     // that have refused the call
  size_t refused_count;
  const pl_id *tried;  // to which the path was lost
  size_t tried_count;
} pl_query;

// The offer that takes the call, and the choice is counted; NULL: none can, and `why` says so with
// an outcome that fits a call that was not made.
pl_offer *pl_choose(pl_service *sv, const pl_query *q, pl_failure *why);

// Whether the choice is better left to the next node: this one is a leaf, knows of no calls but its
// own, and every provider is further away than that one (docs/protocol.md, 4.12).
bool pl_choose_is_left_open(pl_service *sv, const pl_query *q);

// As pl_node_explain.
void pl_choose_explain(pl_service *sv, const pl_query *q, pl_explanation *out, pl_standing_fn *fn,
                       void *user);
