// Something that a task takes things from, in the order in which they came, and waits for while
// there are none. It is held by its script, by whatever fills it, and by the task that waits; the
// last one to let go frees it.
#pragma once

#include "lua/task.h"

typedef struct pl_feed pl_feed;

typedef struct pl_feed_type {
  pl_op_type op;            // PL_FEED("fs.watch")
  bool (*has)(pl_feed *f);  // there is something to take, be it an error
  // Takes it: pushes it and returns how many values it is. May raise.
  int (*push)(lua_State *L, pl_feed *f);
  void (*free)(pl_feed *f);
} pl_feed_type;

#define PL_FEED(text) \
  { .name = (text), .finish = pl_feed_finish, .cancel = pl_feed_cancel }
int pl_feed_finish(lua_State *L, pl_op *op);
void pl_feed_cancel(pl_op *op);

// Embedded in the object that it makes a feed.
struct pl_feed {
  const pl_feed_type *type;
  pl_op op;      // of the task that waits
  bool waiting;  // and has not been woken
  bool closed;
  unsigned refs;
};

// Held by who calls, once.
void pl_feed_init(pl_feed *f, const pl_feed_type *type);
static inline void pl_feed_hold(pl_feed *f) {
  f->refs++;
}
void pl_feed_drop(pl_feed *f);
// There is something to take.
void pl_feed_wake(pl_feed *f);
// Ends the wait, and drops what the caller held.
void pl_feed_close(pl_feed *f);
// For `next` of a handle: what there is, or waits for it; nothing once it is closed. Raises BUSY
// when another task waits already.
int pl_feed_next(lua_State *L, pl_feed *f);
