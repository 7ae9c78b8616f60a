// Who writes next on the link of a session. Whatever waits to write has a turn; the lanes give each
// turn one frame after the other, so a big body does not hold up small ones, and stop while the
// link is full. Loop thread only.
#pragma once

#include "base/limits.h"
#include "base/list.h"
#include "peer/session.h"

// Embedded by what writes: a flow, or one way of a relayed circuit.
typedef struct pl_turn {
  pl_list node;  // in pl_lanes.ready
  // Writes one frame, and asks for the next turn when more is left; may free the turn. From the
  // loop.
  void (*write)(struct pl_turn *t);
} pl_turn;

// The turns of one session.
typedef struct pl_lanes {
  pl_session *session;  // borrowed; NULL once it is down
  pl_loop *loop;
  pl_list ready;  // of pl_turn, that have something they may write
  pl_work pump;
  pl_buf scratch;  // for encoding heads and errors
  uint32_t
      tail_label;  // DATA frame at the end of the link's batch that may grow: its label, 0 = none
  uint8_t tail_flags;
  uint16_t tail_items;
  size_t tail_len;     // of its body
  uint64_t tail_mark;  // pl_session_sent() when it was written
} pl_lanes;

void pl_lanes_init(pl_lanes *l, pl_loop *loop, pl_session *session);
void pl_lanes_fini(pl_lanes *l);
// The link can take more (pl_session_ops.on_drained).
void pl_lanes_drained(pl_lanes *l);

static inline bool pl_lanes_full(const pl_lanes *l) {
  return pl_session_is_full(l->session);
}

// Nothing waits: a frame may be written at once without overtaking anybody.
static inline bool pl_lanes_clear(const pl_lanes *l) {
  return pl_list_empty(&l->ready) && !pl_lanes_full(l);
}

static inline void pl_turn_init(pl_turn *t, void (*write)(pl_turn *t)) {
  pl_list_init(&t->node);
  t->write = write;
}
// It has something to write: it gets its turn from the loop.
void pl_turn_ask(pl_turn *t, pl_lanes *l);
// The same out of its own turn.
static inline void pl_turn_again(pl_turn *t, pl_lanes *l) {
  pl_list_push(&l->ready, &t->node);
}
static inline void pl_turn_leave(pl_turn *t) {
  pl_list_remove(&t->node);
}
