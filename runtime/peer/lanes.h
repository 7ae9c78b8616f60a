// Who writes next on the link of a session, while it is not full. Loop thread only.
//
// Whatever waits to write has a turn. Turns share the link by bytes: each writes frames for a
// quantum of 16 KiB before the next one does, and what it wrote too much it waits for in the next
// round (deficit round robin). So neither a big body nor a stream of many small items holds up the
// others, however many frames either is cut into. A turn that has not written a quantum lately goes
// before those that have: a small call passes streams, but together such turns take no more than
// four quanta for one of the others.
#pragma once

#include "base/limits.h"
#include "base/list.h"
#include "peer/session.h"

// Embedded by what writes: a flow, or one way of a relayed circuit.
typedef struct pl_turn {
  pl_list node;  // in pl_lanes.young or .old
  // Writes one frame and tells pl_turn_wrote. True: it has another that may be written now; else
  // the turn may be gone. From the loop.
  bool (*write)(struct pl_turn *t);
  int64_t deficit;    // bytes that it may write before the others
  uint64_t spent;     // bytes lately
  uint64_t asked_us;  // when it asked last
  uint32_t round;     // of the lanes, in which it wrote last
} pl_turn;

// The turns of one session.
typedef struct pl_lanes {
  pl_session *session;  // borrowed; NULL once it is down
  pl_loop *loop;
  uint64_t *held;      // bytes of what waits for its turn or for credit; of the node
  pl_list young, old;  // of pl_turn, that have something they may write
  uint64_t written;    // bytes in turns
  uint64_t passed;     // of these, of the young since one of the old wrote
  uint32_t round;
  pl_work pump;
  pl_buf scratch;  // for encoding heads and errors
  uint32_t
      tail_label;  // DATA frame at the end of the link's batch that may grow: its label, 0 = none
  uint8_t tail_flags;
  uint16_t tail_items;
  size_t tail_len;     // of its body
  uint64_t tail_mark;  // pl_session_sent() when it was written
} pl_lanes;

// `held` outlives them.
void pl_lanes_init(pl_lanes *l, pl_loop *loop, pl_session *session, uint64_t *held);
void pl_lanes_fini(pl_lanes *l);
// The link can take more (pl_session_ops.on_drained).
void pl_lanes_drained(pl_lanes *l);

static inline bool pl_lanes_full(const pl_lanes *l) {
  return pl_session_is_full(l->session);
}

static inline bool pl_lanes_waiting(const pl_lanes *l) {
  return !pl_list_empty(&l->young) || !pl_list_empty(&l->old);
}

// Nothing waits: a frame may be written at once without overtaking anybody.
static inline bool pl_lanes_clear(const pl_lanes *l) {
  return !pl_lanes_waiting(l) && !pl_lanes_full(l);
}

static inline void pl_turn_init(pl_turn *t, bool (*write)(pl_turn *t)) {
  *t = (pl_turn){.write = write};
  pl_list_init(&t->node);
}
// It has written so many bytes in its turn.
static inline void pl_turn_wrote(pl_turn *t, pl_lanes *l, size_t bytes) {
  t->deficit -= (int64_t)bytes;
  t->spent += bytes;
  l->written += bytes;
}
// It has something to write: it gets its turn from the loop.
void pl_turn_ask(pl_turn *t, pl_lanes *l);
static inline void pl_turn_leave(pl_turn *t) {
  pl_list_remove(&t->node);
}
