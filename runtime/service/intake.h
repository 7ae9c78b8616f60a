// The receiving half of a circuit: puts fragments together, keeps stream items until they are
// consumed, and says how much credit consuming has earned. Pure: no I/O, no clock of its own.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "service/window.h"
#include "wire/frame.h"

typedef struct pl_intake {
  pl_list frames;       // DATA bodies not consumed yet, oldest first
  bool borrows;         // some of them refer to the slab of a read
  size_t items;         // whole items waiting
  uint64_t open_items;  // credit the sender has left
  uint64_t open_bytes;
  uint64_t came_items;  // all that cost credit
  uint64_t came_bytes;
  uint64_t held_bytes;  // of whole items waiting
  pl_window window;
  size_t item_max;       // longest body accepted
  uint8_t partial_type;  // first frame of the body that is being put together, 0 = none
  uint32_t partial_len;  // its announced length
  pl_buf partial;        // what has come of it
  pl_slice *taken;       // of the item handed out last
  uint64_t *held;        // of the node; NULL: nobody counts
  size_t parcels;        // bytes in `frames`, and what keeping them costs
  size_t counted;        // in *held
} pl_intake;

// Credit as it was announced to the sender. `all`: see pl_window_init; *held grows by what this
// intake holds. Both outlive it.
void pl_intake_init(pl_intake *in, pl_windows *all, uint64_t *held, uint64_t items, uint64_t bytes,
                    size_t item_max, uint64_t now_us);
void pl_intake_fini(pl_intake *in);

typedef enum pl_intake_event {
  PL_INTAKE_NOTHING,  // part of a body
  PL_INTAKE_ITEMS,    // stream items wait
  PL_INTAKE_BODY,     // *body is whole and the caller's (pl_bytes_drop); *type says of what
} pl_intake_event;

// Takes a CALL, RESULT, DATA or BODY frame; of a CALL, `frame->body` are the arguments and `total`
// the announced length when they go on. `expected`: a consumer waits, so items need not be copied
// out of the read slab. PL_PROTOCOL (malformed, or credit overrun), TOO_LARGE, NO_MEMORY.
pl_err pl_intake_frame(pl_intake *in, const pl_frame *frame, uint64_t total, bool expected,
                       uint64_t now_us, pl_intake_event *event, uint8_t *type, pl_bytes *body);

// Drops everything that has come and waits, when nothing more will.
void pl_intake_drop(pl_intake *in);

// Copies what still refers to the slab of the last read, so that a consumer that stops does not pin
// it.
bool pl_intake_settle(pl_intake *in);

// The next item, borrowed until the next call: false when none waits.
bool pl_intake_next(pl_intake *in, pl_bytes *item);

// Begins a stream for which nothing was announced, with a first window of `all`: the credit to
// grant, which the caller sends.
void pl_intake_begin(pl_intake *in, pl_windows *all, uint64_t now_us, uint64_t *items,
                     uint64_t *bytes);
// Nothing more will come.
static inline void pl_intake_ended(pl_intake *in) {
  pl_window_fini(&in->window);
}

// Credit to grant now: what the window has room for, once that is half of it, or the last grant was
// a second ago: a producer must see that its consumer is slow, not gone. The caller sends it.
// Derived from what is open and what waits, so that no credit is ever lost or granted twice.
bool pl_intake_grant(pl_intake *in, uint64_t now_us, uint64_t *items, uint64_t *bytes);
// All that is left of a body other than an item may be sent: no credit is needed for it.
static inline bool pl_intake_is_covered(const pl_intake *in) {
  bool is_body = in->partial_type != 0 && in->partial_type != PL_FRAME_DATA;
  return is_body && in->partial_len - pl_buf_len(&in->partial) <= in->open_bytes;
}
// The sender has so little left that it is worth asking for that.
static inline bool pl_intake_is_low(const pl_intake *in) {
  if (pl_intake_is_covered(in)) return false;
  return in->open_items * 2 <= in->window.items || in->open_bytes * 2 <= in->window.bytes;
}
// The last grant was so long ago that anything will be granted.
static inline bool pl_intake_is_late(const pl_intake *in, uint64_t now_us) {
  return now_us - in->window.granted_us >= PL_WINDOW_GRANT_US;
}
// It is worth asking. That is best done when all that has been read is taken in, and consumed as
// far as somebody waits for it: the more credit comes at a time, the less often a producer that has
// used it up is woken.
static inline bool pl_intake_may_grant(const pl_intake *in, uint64_t now_us) {
  return pl_intake_is_low(in) || pl_intake_is_late(in, now_us);
}
