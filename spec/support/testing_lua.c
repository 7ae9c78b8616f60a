// VMs on a virtual loop for specs: run Lua source as tasks, advance the clock, read back what they
// returned as text.

#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/loop.h"
#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/value.h"
#include "spec/support/testing_alloc.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_pack.h"

void testing_open_lua(lua_State *L);

#define VM "perilune.testing.Vm"
#define RUN "perilune.testing.Run"

typedef struct vm_box {
  pl_loop *loop;
  pl_vm *vm;
  size_t blocks;  // live before it
  pl_list runs;   // of run_box
  bool idle;
  pl_buf log;
} vm_box;

// One task; outlives it as what it ended with.
typedef struct run_box {
  pl_task *task;  // one reference, until it ended
  pl_task_state state;
  pl_list node;
  vm_box *box;
  pl_buf source, chunks, result, trace;
  unsigned waits;  // chunks that must wait for `credit`
  pl_op *parked;
  pl_op op;
} run_box;

static vm_box *check_vm(lua_State *L) {
  vm_box *b = luaL_checkudata(L, 1, VM);
  luaL_argcheck(L, b->vm != NULL, 1, "closed");
  return b;
}

static bool keep_line(const char *line, size_t len, void *user) {
  return pl_buf_append(user, line, len);
}

static lua_Integer option(lua_State *L, const char *name, lua_Integer otherwise) {
  if (!lua_istable(L, 1)) return otherwise;
  lua_getfield(L, 1, name);
  lua_Integer v = luaL_optinteger(L, -1, otherwise);
  lua_pop(L, 1);
  return v;
}

// What the tasks of a VM find under `require 'spec'`.

pl_codec testing_check_codec(lua_State *L, int arg) {
  static const char *const names[] = {"msgpack", "json", NULL};
  return (pl_codec)luaL_checkoption(L, arg, NULL, names);
}

// encode(codec, max, ...) -> bytes of the list
static int spec_encode(lua_State *L) {
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  pl_codec codec = testing_check_codec(L, 1);
  size_t max = (size_t)luaL_checkinteger(L, 2);
  pl_values_encode(L, codec, 3, lua_gettop(L) - 2, "args", max, out);
  lua_pushlstring(L, (const char *)pl_buf_data(out), pl_buf_len(out));
  return 1;
}

static int spec_decode(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  return pl_values_decode(L, testing_check_codec(L, 1), pl_bytes_of(s, len));
}

static int spec_decode_one(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  pl_value_decode(L, testing_check_codec(L, 1), pl_bytes_of(s, len));
  return 1;
}

// failure(value, action, traceback) -> the error object that a caller would get
static int spec_failure(lua_State *L) {
  pl_failure f = pl_error_to_failure(L, 1, luaL_optstring(L, 2, NULL), luaL_optstring(L, 3, NULL));
  pl_error_push(L, &f);
  pl_failure_drop(&f);
  return 1;
}

static int spec_raise_io(lua_State *L) {
  return pl_raise_io(L, (int)luaL_checkinteger(L, 1), "open", "/x");
}

// deadline() -> microseconds, nil without one
static int spec_deadline(lua_State *L) {
  uint64_t at = pl_task_deadline(pl_task_current(L));
  if (at == PL_NEVER) return 0;
  lua_pushinteger(L, (lua_Integer)at);
  return 1;
}

static int spec_set_context(lua_State *L) {
  lua_settop(L, 1);
  pl_task_set_context(L, pl_task_current(L));
  return 0;
}

static int spec_context(lua_State *L) {
  pl_task_push_context(L, pl_task_current(L));
  return 1;
}

// As a C module does that knows nothing of tasks.
static int spec_foreign_yield(lua_State *L) {
  return lua_yield(L, lua_gettop(L));
}

// foreign_resume(co) -> status, values…
static int spec_foreign_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  int n;
  int status = lua_resume(co, L, 0, &n);
  lua_pushinteger(L, status);
  if (status != LUA_OK && status != LUA_YIELD) n = 1;
  lua_xmove(co, L, n);
  return n + 1;
}

// cpu() -> seconds of the thread's CPU time
static int spec_cpu(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
  return 1;
}

static int open_spec(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"encode", spec_encode},
      {"pack", testing_pack},
      {"take", testing_take},
      {"decode", spec_decode},
      {"decode_one", spec_decode_one},
      {"failure", spec_failure},
      {"raise_io", spec_raise_io},
      {"deadline", spec_deadline},
      {"set_context", spec_set_context},
      {"context", spec_context},
      {"foreign_yield", spec_foreign_yield},
      {"foreign_resume", spec_foreign_resume},
      {"cpu", spec_cpu},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}

static void add_spec_module(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_spec);
  lua_setfield(L, -2, "spec");
  lua_pop(L, 1);
}

// vm{memory_limit=, cpu_limit_us=, cleanup_grace_us=, directory=}
static int vm_new(lua_State *L) {
  lua_settop(L, 1);
  vm_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  int box = lua_gettop(L);
  *b = (vm_box){.blocks = pl_mem_live()};
  pl_list_init(&b->runs);
  luaL_setmetatable(L, VM);
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, keep_line, &b->log);
  b->loop = pl_loop_new_virtual(log, 1);
  pl_vm_options o = {
      .loop = b->loop,
      .name = "spec",
      .memory_limit = (size_t)option(L, "memory_limit", 0),
      .cpu_limit_us = (uint64_t)option(L, "cpu_limit_us", 0),
      .cleanup_grace_us = (uint64_t)option(L, "cleanup_grace_us", 2000000),
  };
  if (lua_istable(L, 1) && lua_getfield(L, 1, "directory") == LUA_TSTRING) {
    o.directory = lua_tostring(L, -1);
  }
  b->vm = pl_vm_new(&o);
  if (b->vm == NULL) {
    lua_pushnil(L);
    return 1;
  }
  add_spec_module(pl_vm_state(b->vm));
  lua_settop(L, box);
  return 1;
}

static void *free_and_tick(void *ud, void *p, size_t old_size, size_t size) {
  void *q = pl_alloc_lua(ud, p, old_size, size);
  if (p != NULL && size == 0) pthread_sigqueue(pthread_self(), PL_TICK_SIGNAL, (union sigval){0});
  return q;
}

// vm:tick(): from now on the tick of the governor follows whenever memory was given back. It must
// have run something.
static int vm_tick(lua_State *L) {
  vm_box *b = luaL_checkudata(L, 1, VM);
  lua_setallocf(pl_vm_state(b->vm), free_and_tick, &b->vm->alloc);
  return 0;
}

static void vm_close_box(vm_box *b) {
  if (b->loop == NULL) return;
  if (b->vm != NULL) pl_vm_free(b->vm);
  b->vm = NULL;
  pl_loop_free(b->loop);  // asserts that no timer and no work is left
  b->loop = NULL;
}

static size_t count_buffers(const vm_box *b) {
  size_t n = 0;
  for (pl_list *node = b->runs.next; node != &b->runs; node = node->next) {
    const run_box *r = pl_container(node, run_box, node);
    const pl_buf *buffers[] = {&r->source, &r->chunks, &r->result, &r->trace};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
      if (buffers[i]->data != NULL) n++;
    }
  }
  return n;
}

// vm:close() -> blocks that it left behind, the log
static int vm_close(lua_State *L) {
  vm_box *b = luaL_checkudata(L, 1, VM);
  vm_close_box(b);
  lua_pushlstring(L, pl_buf_len(&b->log) > 0 ? (const char *)pl_buf_data(&b->log) : "",
                  pl_buf_len(&b->log));
  pl_buf_fini(&b->log);
  lua_pushinteger(L, (lua_Integer)(pl_mem_live() - b->blocks - count_buffers(b)));
  lua_insert(L, -2);
  return 2;
}

static int vm_gc(lua_State *L) {
  vm_close(L);
  return 0;
}

// What a task does.

static int begin(lua_State *L, void *user) {
  run_box *r = user;
  const char *source = (const char *)pl_buf_data(&r->source);
  if (luaL_loadbuffer(L, source, pl_buf_len(&r->source), "=spec") != LUA_OK) lua_error(L);
  return 0;
}

static void put_values(lua_State *L, int first, int n, pl_buf *out) {
  for (int i = 0; i < n; i++) {
    if (i > 0) pl_buf_append(out, " ", 1);
    size_t len;
    pl_push_message(L, first + i);
    const char *text = lua_tolstring(L, -1, &len);
    pl_buf_append(out, text, len);
    lua_pop(L, 1);
  }
}

static int finish_chunk(lua_State *L, pl_op *op) {
  (void)op;
  lua_pushliteral(L, "credit");
  return 1;
}

static void cancel_chunk(pl_op *op) {
  pl_container(op, run_box, op)->parked = NULL;
}

static const pl_op_type chunk_type = {"a chunk", finish_chunk, cancel_chunk};

static pl_step on_yield(lua_State *L, int n, pl_op **wait, void *user) {
  run_box *r = user;
  put_values(L, lua_gettop(L) - n + 1, n, &r->chunks);
  pl_buf_append(&r->chunks, "\n", 1);
  if (r->waits == 0) return PL_STEP_GO;
  r->waits--;
  r->op.type = &chunk_type;
  *wait = r->parked = &r->op;
  return PL_STEP_WAIT;
}

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  run_box *r = user;
  r->state = state;
  r->task = NULL;
  luaL_checkstack(L, n + 10, NULL);
  put_values(L, lua_gettop(L) - n + 1, n, &r->result);
  if (traceback != NULL) pl_buf_append(&r->trace, traceback, strlen(traceback));
  pl_task_drop(t);
}

static const pl_task_type stream_type = {
    .name = "handler", .begin = begin, .on_yield = on_yield, .on_end = on_end};
static const pl_task_type plain_type = {.name = "main", .begin = begin, .on_end = on_end};

// vm:start(source [, {streams=, waits=}]) -> run
static int vm_start(lua_State *L) {
  vm_box *b = check_vm(L);
  size_t len;
  const char *source = luaL_checklstring(L, 2, &len);
  bool streams = false;
  lua_Integer waits = 0;
  if (lua_istable(L, 3)) {
    lua_getfield(L, 3, "streams");
    streams = lua_toboolean(L, -1);
    lua_getfield(L, 3, "waits");
    waits = luaL_optinteger(L, -1, 0);
  }
  run_box *r = lua_newuserdatauv(L, sizeof *r, 1);
  *r = (run_box){.box = b, .waits = (unsigned)waits};
  luaL_setmetatable(L, RUN);
  pl_list_push(&b->runs, &r->node);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  pl_buf_append(&r->source, source, len);
  r->task = pl_task_start(b->vm, streams ? &stream_type : &plain_type, r, NULL);
  return 1;
}

static int push_buf(lua_State *L, const pl_buf *b) {
  lua_pushlstring(L, pl_buf_len(b) > 0 ? (const char *)pl_buf_data(b) : "", pl_buf_len(b));
  return 1;
}

static run_box *check_run(lua_State *L) {
  return luaL_checkudata(L, 1, RUN);
}

static pl_task *check_alive(lua_State *L) {
  run_box *r = check_run(L);
  luaL_argcheck(L, r->task != NULL, 1, "the task has ended");
  return r->task;
}

// run:state() -> "waiting" …, result text, traceback
static int run_state(lua_State *L) {
  static const char *const names[] = {"ready", "running", "waiting", "done", "failed", "cancelled"};
  run_box *r = check_run(L);
  lua_pushstring(L, names[r->task != NULL ? pl_task_status(r->task) : r->state]);
  push_buf(L, &r->result);
  push_buf(L, &r->trace);
  return 3;
}

static int run_chunks(lua_State *L) {
  return push_buf(L, &check_run(L)->chunks);
}

// run:cancel([code [, message]])
static int run_cancel(lua_State *L) {
  pl_task *t = check_alive(L);
  pl_failure why = pl_failure_of(pl_err_find(luaL_optstring(L, 2, "CANCELLED")), PL_UNKNOWN,
                                 luaL_optstring(L, 3, NULL));
  pl_task_cancel(t, &why);
  return 0;
}

// run:credit() -> whether a chunk waited for it
static int run_credit(lua_State *L) {
  run_box *r = check_run(L);
  pl_op *op = r->parked;
  r->parked = NULL;
  if (op != NULL) pl_op_wake(op);
  lua_pushboolean(L, op != NULL);
  return 1;
}

static int run_deadline(lua_State *L) {
  pl_task_set_deadline(check_alive(L), (uint64_t)luaL_checkinteger(L, 2));
  return 0;
}

static int run_cpu_limit(lua_State *L) {
  pl_task_set_cpu_limit(check_alive(L), (uint64_t)luaL_checkinteger(L, 2));
  return 0;
}

static int run_gc(lua_State *L) {
  run_box *r = check_run(L);
  if (r->task != NULL) vm_close_box(r->box);  // which ends it
  pl_list_remove(&r->node);
  pl_buf_fini(&r->source);
  pl_buf_fini(&r->chunks);
  pl_buf_fini(&r->result);
  pl_buf_fini(&r->trace);
  return 0;
}

// The loop.

static int vm_advance(lua_State *L) {
  pl_loop_advance(check_vm(L)->loop, (uint64_t)luaL_optinteger(L, 2, 0));
  return 0;
}

// vm:turn() -> whether work is left
static int vm_turn(lua_State *L) {
  lua_pushboolean(L, pl_loop_turn(check_vm(L)->loop));
  return 1;
}

static void set_idle(void *user) {
  ((vm_box *)user)->idle = true;
}

static int vm_watch_idle(lua_State *L) {
  vm_box *b = check_vm(L);
  pl_vm_on_idle(b->vm, set_idle, b);
  return 0;
}

static int vm_idle(lua_State *L) {
  lua_pushboolean(L, check_vm(L)->idle);
  return 1;
}

static int vm_hold(lua_State *L) {
  pl_vm_hold_spawns(check_vm(L)->vm, lua_toboolean(L, 2));
  if (!lua_toboolean(L, 2)) pl_vm_release_spawns(check_vm(L)->vm);
  return 0;
}

// vm:counts() -> tasks, metric tasks_failed, tasks_killed, bytes
static int vm_counts(lua_State *L) {
  vm_box *b = check_vm(L);
  lua_pushinteger(L, (lua_Integer)pl_task_count(b->vm));
  lua_pushinteger(L, (lua_Integer)b->loop->metrics.tasks_failed);
  lua_pushinteger(L, (lua_Integer)b->loop->metrics.tasks_killed);
  lua_pushinteger(L, (lua_Integer)pl_vm_memory(b->vm));
  return 4;
}

static int vm_log(lua_State *L) {
  return push_buf(L, &check_vm(L)->log);
}

static int vm_now(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_now_us(check_vm(L)->loop));
  return 1;
}

static const luaL_Reg vm_methods[] = {
    {"close", vm_close}, {"start", vm_start},   {"advance", vm_advance},
    {"turn", vm_turn},   {"idle", vm_idle},     {"watch_idle", vm_watch_idle},
    {"hold", vm_hold},   {"counts", vm_counts}, {"log", vm_log},
    {"now", vm_now},     {"tick", vm_tick},     {NULL, NULL},
};

static const luaL_Reg run_methods[] = {
    {"state", run_state},   {"chunks", run_chunks},     {"cancel", run_cancel},
    {"credit", run_credit}, {"deadline", run_deadline}, {"cpu_limit", run_cpu_limit},
    {NULL, NULL},
};

void testing_open_lua(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"vm", vm_new},
      {"packed", testing_packed},
      {"new_alloc", testing_new_alloc},
      {NULL, NULL},
  };
  testing_new_class(L, VM, vm_methods, vm_gc);
  testing_new_class(L, RUN, run_methods, run_gc);
  luaL_newlib(L, functions);
}
