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
  uint64_t sent_items, sent_bytes;  // that cost credit
  size_t queued;                    // bytes waiting, of `queued_items` items and other bodies
  size_t queued_items;
  bool began;                           // some frame of it was written
  void (*on_empty)(struct pl_flow *f);  // everything that waited is written; from the loop
  size_t low;                           // what pl_flow_waiting falls to
  void (*on_low)(struct pl_flow *f);    // when this is called; from the loop
} pl_flow;

// What waits costs memory, however short it is.
enum { PL_ITEM_COST = 128 };
static inline size_t pl_flow_waiting(const pl_flow *f) {
  return f->queued + f->queued_items * PL_ITEM_COST;
}

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
// Only if it can go out now, as nearly always; false: nothing was done.
bool pl_flow_call_usual(pl_flow *f, const pl_msg_call_usual *head, const pl_parts *args);
bool pl_flow_item(pl_flow *f, const pl_parts *item);
bool pl_flow_result(pl_flow *f, const pl_parts *result);
bool pl_flow_error(pl_flow *f, const pl_failure *failure);
bool pl_flow_end(pl_flow *f);  // no more items
// At most a frame.
bool pl_flow_info(pl_flow *f, pl_bytes info);

// The other end grants more. PL_PROTOCOL when that is past PL_CREDIT_MAX.
pl_err pl_flow_grant(pl_flow *f, uint64_t items, uint64_t bytes);

// Something waits for credit, not for its turn.
bool pl_flow_is_held_back(const pl_flow *f);

// Items and END, begun or not, are not wanted any more.
void pl_flow_drop_items(pl_flow *f);

// Items on their way from one flow to another: those that wait and have not begun, without END.
typedef struct pl_unsent {
  pl_list bodies;
  size_t waiting;  // as pl_flow_waiting
} pl_unsent;

static inline void pl_unsent_init(pl_unsent *u) {
  pl_list_init(&u->bodies);
  u->waiting = 0;
}
void pl_unsent_fini(pl_unsent *u);
// One more behind them; false: no memory.
bool pl_unsent_add(pl_unsent *u, const pl_parts *item);
// Takes those of a flow that will not send them.
void pl_unsent_take(pl_unsent *u, pl_flow *f);
// Sends them on another.
void pl_unsent_send(pl_unsent *u, pl_flow *f);

static inline bool pl_flow_idle(const pl_flow *f) {
  return pl_list_empty(&f->bodies);
}
