// The sending half of a session's circuits: bodies in fragments, under credit, in turn.
//
// A flow is one direction of one circuit. What fits, has credit and finds the link ready is written
// at once and without allocation; everything else waits in the flow, and the lanes of the session
// give each waiting flow one fragment in turn, so a big body does not hold up small ones. Loop
// thread only.
#pragma once

#include "peer/lanes.h"

typedef struct pl_flow {
  pl_turn turn;
  pl_list bodies;  // waiting, oldest first
  pl_lanes *lanes;
  uint32_t label;
  uint8_t flags;  // PL_FLAG_CALLEE and lane, of every frame
  uint64_t credit_items;
  uint64_t credit_bytes;
  size_t queued;  // bytes waiting, of `queued_items` items and other bodies
  size_t queued_items;
  bool began;                           // some frame of it was written
  void (*on_empty)(struct pl_flow *f);  // everything that waited is written; from the loop
} pl_flow;

void pl_flow_init(pl_flow *f, pl_lanes *lanes, uint32_t label, uint8_t flags);
// Drops what waits.
void pl_flow_fini(pl_flow *f);
// Drops bodies of which nothing was written yet; what has begun is finished. True when the circuit
// was never begun.
bool pl_flow_withdraw(pl_flow *f);
// A short frame of this circuit that overtakes what waits, needs no credit and is always written:
// CREDIT, CANCEL.
void pl_flow_control(pl_flow *f, uint8_t type, pl_bytes body);

// Each sends one body after all earlier ones. True: written; of an item also: it waits for nothing
// but its turn, and another may follow. False: it waits (kept, or copied); on_empty will tell. A
// body whose memory cannot be had closes the session. What has a tail is longer than a fragment,
// and its head at most PL_PREFIX_MAX.
bool pl_flow_call(pl_flow *f, pl_msg_call *head, const pl_parts *args);  // sets head->body_len
bool pl_flow_item(pl_flow *f, const pl_parts *item);
bool pl_flow_result(pl_flow *f, const pl_parts *result);
bool pl_flow_error(pl_flow *f, const pl_failure *failure);

// The other end grants more. PL_PROTOCOL when that is past PL_CREDIT_MAX.
pl_err pl_flow_grant(pl_flow *f, uint64_t items, uint64_t bytes);

static inline bool pl_flow_idle(const pl_flow *f) {
  return pl_list_empty(&f->bodies);
}
