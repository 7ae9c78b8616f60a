// `perilune.testing`.link.outq: the queue of a link without one.

#include <string.h>

#include "base/mem.h"
#include "link/outq.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_link.h"

#define OUTQ "perilune.testing.Outq"

typedef struct outq {
  pl_outq queue;
  pl_batch_pool pool;
} outq;

static outq *check_outq(lua_State *L) {
  return luaL_checkudata(L, 1, OUTQ);
}

static size_t check_size(lua_State *L, int arg) {
  return (size_t)luaL_checkinteger(L, arg);
}

// link.outq() -> queue
static int outq_new(lua_State *L) {
  outq *q = lua_newuserdatauv(L, sizeof *q, 0);
  memset(q, 0, sizeof *q);
  luaL_setmetatable(L, OUTQ);
  return 1;
}

// queue:put(text, once): through the batch
static int outq_put(lua_State *L) {
  outq *q = check_outq(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  uint8_t *room = pl_outq_reserve(&q->queue, &q->pool, len);
  if (room != NULL) memcpy(room, text, len);
  lua_pushboolean(L, room != NULL && pl_outq_commit(&q->queue, len, lua_toboolean(L, 3)));
  return 1;
}

// queue:push(text): by reference
static int outq_push(lua_State *L) {
  outq *q = check_outq(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  pl_slice *s = pl_slice_copy(text, len);
  lua_pushboolean(L, s != NULL && pl_outq_push(&q->queue, (pl_bytes){s->data, s->len, s}));
  pl_slice_drop(s);
  return 1;
}

static int outq_consume(lua_State *L) {
  outq *q = check_outq(L);
  pl_outq_consume(&q->queue, &q->pool, check_size(L, 2));
  return 0;
}

// queue:fly(n): so many are handed to the system
static int outq_fly(lua_State *L) {
  check_outq(L)->queue.in_flight = check_size(L, 2);
  return 0;
}

static int outq_keep(lua_State *L) {
  check_outq(L)->queue.keep = true;
  return 0;
}

// queue:acknowledge(position) -> whether it can be
static int outq_acknowledge(lua_State *L) {
  outq *q = check_outq(L);
  uint64_t position = (uint64_t)luaL_checkinteger(L, 2);
  bool covers = pl_outq_covers(&q->queue, position);
  if (covers) pl_outq_acknowledge(&q->queue, &q->pool, position);
  lua_pushboolean(L, covers);
  return 1;
}

static int outq_rewind(lua_State *L) {
  outq *q = check_outq(L);
  lua_pushboolean(L, pl_outq_rewind(&q->queue, &q->pool, (uint64_t)luaL_checkinteger(L, 2)));
  return 1;
}

// queue:follow(from)
static int outq_follow(lua_State *L) {
  outq *q = check_outq(L);
  outq *from = luaL_checkudata(L, 2, OUTQ);
  lua_pushboolean(L, pl_outq_follow(&q->queue, &from->queue, &from->pool));
  return 1;
}

static int outq_forget(lua_State *L) {
  outq *q = check_outq(L);
  pl_outq_forget(&q->queue, &q->pool);
  return 0;
}

// queue:unwritten() -> all bytes to be written
static int outq_unwritten(lua_State *L) {
  const pl_outq *q = &check_outq(L)->queue;
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, q->bytes);
  luaL_pushresultsize(&b, pl_outq_copy(q, (uint8_t *)to, q->bytes));
  return 1;
}

// queue:state() -> bytes, kept, acknowledged, whether it holds a batch
static int outq_state(lua_State *L) {
  const pl_outq *q = &check_outq(L)->queue;
  lua_pushinteger(L, (lua_Integer)q->bytes);
  lua_pushinteger(L, (lua_Integer)q->kept);
  lua_pushinteger(L, (lua_Integer)q->acknowledged);
  lua_pushboolean(L, q->batch != NULL);
  return 4;
}

// queue:free(): idempotent
static int outq_free(lua_State *L) {
  outq *q = check_outq(L);
  pl_outq_fini(&q->queue, &q->pool);
  pl_batch_pool_fini(&q->pool);
  return 0;
}

void testing_add_outq(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"put", outq_put},
      {"push", outq_push},
      {"consume", outq_consume},
      {"fly", outq_fly},
      {"keep", outq_keep},
      {"acknowledge", outq_acknowledge},
      {"rewind", outq_rewind},
      {"follow", outq_follow},
      {"forget", outq_forget},
      {"unwritten", outq_unwritten},
      {"state", outq_state},
      {"free", outq_free},
      {NULL, NULL},
  };
  testing_new_class(L, OUTQ, methods, outq_free);
  lua_pushcfunction(L, outq_new);
  lua_setfield(L, -2, "outq");
}
