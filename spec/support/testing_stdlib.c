// Runs Lua source as a task of a VM on a loop of libuv, for the specs of the standard library.

#include <lauxlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/task.h"
#include "lua/vm.h"
#include "spec/support/testing.h"
#include "spec/support/testing_copy.h"

typedef struct run {
  lua_State *spec;  // the interpreter of the specs: its arguments and what comes back
  int args;         // source and strings, from 1 on
  pl_loop *loop;
  bool ok, over;
  pl_buf log;
} run;

static bool keep_line(const char *line, size_t len, void *user) {
  run *r = user;
  return pl_buf_append(&r->log, line, len);
}

static int begin(lua_State *L, void *user) {
  run *r = user;
  size_t len;
  const char *source = lua_tolstring(r->spec, 1, &len);
  if (luaL_loadbuffer(L, source, len, "=script") != LUA_OK) return lua_error(L);
  for (int i = 2; i <= r->args; i++)
    testing_copy_value(r->spec, i, L);
  return r->args - 1;
}

// Results, or the error and its traceback, as a list on the stack of the spec.
static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)t;
  run *r = user;
  r->ok = state == PL_TASK_DONE;
  r->over = true;
  lua_createtable(r->spec, n, 0);
  for (int i = 0; i < n; i++) {
    testing_copy_value(L, i - n, r->spec);
    lua_rawseti(r->spec, -2, i + 1);
  }
  lua_pushinteger(r->spec, n);
  lua_setfield(r->spec, -2, "n");
  lua_pushstring(r->spec, traceback);
  lua_setfield(r->spec, -2, "traceback");
  pl_loop_stop(r->loop);
}

static const pl_task_type type = {.name = "spec", .begin = begin, .on_end = on_end};

// run(source, argument...) -> ok, results or error, log. Everything the script left behind is gone
// when it returns: the loop asserts that.
static int stdlib_run(lua_State *L) {
  luaL_checkstring(L, 1);
  run r = {.spec = L, .args = lua_gettop(L)};
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, keep_line, &r);
  r.loop = pl_loop_new(log);
  const pl_vm_options options = {.loop = r.loop,
                                 .name = "spec",
                                 .memory_limit = 256 * 1024 * 1024,
                                 .cpu_limit_us = 10000000,
                                 .cleanup_grace_us = 300000};
  pl_vm *vm = pl_vm_new(&options);
  pl_task *task = pl_task_start(vm, &type, &r, NULL);
  while (!r.over)
    pl_loop_run(r.loop);
  pl_task_drop(task);
  pl_vm_free(vm);
  pl_loop_run(r.loop);
  pl_loop_free(r.loop);
  lua_pushboolean(L, r.ok);
  lua_insert(L, -2);
  lua_pushlstring(L, (const char *)pl_buf_data(&r.log), pl_buf_len(&r.log));
  pl_buf_fini(&r.log);
  return 3;
}

void testing_open_stdlib(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"run", stdlib_run},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
}
