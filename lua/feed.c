#include "lua/feed.h"

#include "base/mem.h"
#include "lua/error.h"

void pl_feed_drop(pl_feed *f) {
  if (--f->refs == 0) f->type->free(f);
}

void pl_feed_wake(pl_feed *f) {
  if (!f->waiting) return;
  f->waiting = false;
  pl_op_wake(&f->op);
}

void pl_feed_close(pl_feed *f) {
  f->closed = true;
  pl_feed_wake(f);
  pl_feed_drop(f);
}

int pl_feed_finish(lua_State *L, pl_op *op) {
  pl_feed *f = pl_container(op, pl_feed, op);
  bool closed = f->closed;
  pl_feed_drop(f);  // unless it is closed the script's reference is still there
  return closed ? 0 : f->type->push(L, f);
}

void pl_feed_cancel(pl_op *op) {
  pl_feed *f = pl_container(op, pl_feed, op);
  f->waiting = false;
  pl_feed_drop(f);
}

void pl_feed_init(pl_feed *f, const pl_feed_type *type) {
  *f = (pl_feed){.type = type, .op = {.type = &type->op}, .refs = 1};
}

int pl_feed_next(lua_State *L, pl_feed *f) {
  if (f->type->has(f)) return f->type->push(L, f);
  const char *name = f->type->op.name;
  if (f->waiting)
    return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "%s: another task is waiting for it", name);
  pl_op_check(L, &f->type->op);
  f->waiting = true;
  pl_feed_hold(f);
  return pl_op_wait(L, &f->op);
}
