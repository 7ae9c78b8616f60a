#include "lua/bind_input.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/bind_call.h"
#include "lua/box.h"
#include "lua/error.h"
#include "lua/task.h"

#define INPUT "perilune.Input"

struct pl_input {
  unsigned refs;
  pl_request *request;  // NULL once the handler has ended
  pl_op op;             // of the task that reads
  bool waiting;
};

pl_input *pl_input_new(pl_request *r) {
  pl_input *in = pl_new(pl_input);
  in->refs = 1;
  in->request = r;
  return in;
}

static void drop(pl_input *in) {
  if (--in->refs == 0) pl_free(in);
}

void pl_input_wake(pl_input *in) {
  if (!in->waiting) return;
  in->waiting = false;
  pl_op_wake(&in->op);
}

void pl_input_leave(pl_input *in) {
  in->request = NULL;
  pl_input_wake(in);
  drop(in);
}

// A handle: the place where its script keeps it. NULL once a script has finalized it by hand.
static pl_input *check_input(lua_State *L) {
  return *(pl_input **)pl_box_check(L, 1, PL_BOX_INPUT, INPUT);
}

static int input_gc(lua_State *L) {
  pl_input **box = luaL_checkudata(L, 1, INPUT);
  if (*box != NULL) drop(*box);
  *box = NULL;
  return 0;
}

// Reading.

static int step(lua_State *L);

static int wait_finish(lua_State *L, pl_op *op) {
  (void)op;
  return step(L);
}

static void wait_cancel(pl_op *op) {
  pl_container(op, pl_input, op)->waiting = false;
}

static const pl_op_type wait_type = {
    .name = "waiting for input", .finish = wait_finish, .cancel = wait_cancel};

static int step(lua_State *L) {
  pl_input *in = *(pl_input **)lua_touserdata(L, 1);
  if (in == NULL || in->request == NULL) {
    return pl_raise_code(L, PL_CANCELLED, PL_EXECUTED, "the handler of this input has ended");
  }
  if (pl_task_had_turn(L)) return pl_task_let_others(L, step);
  pl_bytes item;
  int more = pl_request_next(in->request, &item);
  if (more > 0) {
    pl_task_passed(L);
    return pl_chunk_decode(L, pl_request_codec(in->request), item);
  }
  if (more < 0) {
    lua_pushnil(L);
    return 1;
  }
  pl_op_check(L, &wait_type);
  if (in->waiting) {
    return pl_raise_code(L, PL_INVALID, PL_EXECUTED, "another task is reading this input");
  }
  in->op.type = &wait_type;
  in->waiting = true;
  pl_request_expect(in->request);
  return pl_op_wait(L, &in->op);
}

// The values of the next chunk; nil when there are no more.
static int l_next(lua_State *L) {
  check_input(L);
  lua_settop(L, 1);
  return step(L);
}

// Also __close: the loop was left.
static int l_close(lua_State *L) {
  const pl_input *in = check_input(L);
  if (in != NULL && in->request != NULL) pl_request_stop_input(in->request);
  return 0;
}

int pl_input_open(lua_State *L) {
  pl_input *in = pl_handler_input(L);
  if (in == NULL) return luaL_error(L, "mesh.input is only possible in the task of a handler");
  pl_input **box = lua_newuserdatauv(L, sizeof(pl_input *), 0);
  *box = NULL;
  luaL_setmetatable(L, INPUT);
  *box = in;
  in->refs++;
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

void pl_input_register(lua_State *L) {
  static const luaL_Reg methods[] = {{"close", l_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__call", l_next}, {"__close", l_close}, {"__gc", input_gc}, {NULL, NULL}};
  luaL_newmetatable(L, INPUT);
  pl_box_register(L, PL_BOX_INPUT);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
