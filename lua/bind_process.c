// perilune.core.process: child processes. Options are checked in stdlib/perilune/process.lua.

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/guard.h"
#include "lua/modules.h"
#include "lua/process.h"
#include "lua/task.h"

#define PROCESS_TYPE "perilune.Process"

typedef struct process_box {
  pl_process *process;  // one reference; NULL once released
  pl_watcher owner;     // of the task that started it: a cancelled task takes it along
} process_box;

// What a task waits for: the end, bytes, room, or everything.
typedef struct process_op {
  pl_op op;
  pl_process_watch watch;
  pl_process *process;  // one reference
  pl_guard *guard;
  int stream;
  uint64_t ticket;
  size_t max;      // bytes of one stream
  pl_timer timer;  // of a run
  bool timed_out, too_large;
} process_op;

static process_box *check_box(lua_State *L) {
  process_box *box = luaL_checkudata(L, 1, PROCESS_TYPE);
  if (box->process == NULL) {
    pl_raise_code(L, PL_CLOSED, PL_NOT_EXECUTED, "process: already closed");
  }
  return box;
}

static void free_op(void *object) {
  process_op *o = object;
  pl_list_remove(&o->watch.node);
  pl_timer_stop(&o->timer);
  pl_process_drop(o->process);
  pl_free(o);
}

static void cancel_op(pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  o->guard->object = NULL;
  free_op(o);
}

// A run or wait that is broken off takes the process with it.
static void cancel_and_end(pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  pl_list_remove(&o->watch.node);  // what follows changes the process, and must not wake
  pl_process_terminate(o->process);
  pl_process_abandon(o->process);
  cancel_op(op);
}

static process_op *op_new(lua_State *L, const pl_op_type *type,
                          bool (*changed)(pl_process_watch *w)) {
  process_box *box = check_box(L);
  pl_op_check(L, type);
  pl_guard *guard = pl_guard_push(L, free_op);
  process_op *o = pl_new(process_op);
  o->op.type = type;
  o->watch.changed = changed;
  pl_list_init(&o->watch.node);
  o->guard = guard;
  o->process = pl_process_hold(box->process);
  guard->object = o;
  return o;
}

static int op_run(lua_State *L, process_op *o) {
  pl_process_watch_add(o->process, &o->watch);
  return pl_op_wait(L, &o->op);
}

// wait() -> code, signal
static int push_end(lua_State *L, const pl_process *p) {
  int signal = pl_process_signal(p);
  if (signal == 0) {
    lua_pushinteger(L, pl_process_code(p));
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, signal);
  return 2;
}

static bool wait_changed(pl_process_watch *w) {
  process_op *o = pl_container(w, process_op, watch);
  if (!pl_process_exited(o->process)) return false;
  pl_op_wake(&o->op);
  return true;
}

static int wait_finish(lua_State *L, pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  int n = push_end(L, o->process);
  pl_guard_free(o->guard);
  return n;
}

static const pl_op_type wait_type = {
    .name = "process.wait", .finish = wait_finish, .cancel = cancel_and_end};

static int process_wait(lua_State *L) {
  pl_process *p = check_box(L)->process;
  if (pl_process_exited(p)) return push_end(L, p);
  return op_run(L, op_new(L, &wait_type, wait_changed));
}

// read(stream) -> the bytes that are there, waiting for some; nil at the end
static int push_bytes(lua_State *L, pl_process *p, int stream) {
  pl_buf *buf = pl_process_buffer(p, stream);
  int error;
  if (pl_buf_len(buf) > 0) {
    lua_pushlstring(L, (const char *)pl_buf_data(buf), pl_buf_len(buf));
    pl_buf_clear(buf);
    return 1;
  }
  pl_process_ended(p, stream, &error);
  if (error != 0) return pl_raise_io(L, error, "read", "the output of a process");
  lua_pushnil(L);
  return 1;
}

static bool has_bytes(pl_process *p, int stream) {
  int error;
  return pl_buf_len(pl_process_buffer(p, stream)) > 0 || pl_process_ended(p, stream, &error);
}

static bool read_changed(pl_process_watch *w) {
  process_op *o = pl_container(w, process_op, watch);
  if (!has_bytes(o->process, o->stream)) return false;
  pl_op_wake(&o->op);
  return true;
}

static int read_finish(lua_State *L, pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  int n = push_bytes(L, o->process, o->stream);
  pl_guard_free(o->guard);
  return n;
}

static const pl_op_type read_type = {
    .name = "process.read", .finish = read_finish, .cancel = cancel_op};

static int process_read(lua_State *L) {
  pl_process *p = check_box(L)->process;
  int stream = (int)luaL_checkinteger(L, 2);
  luaL_argcheck(L, stream == 1 || stream == 2, 2, "1 or 2");
  if (has_bytes(p, stream)) return push_bytes(L, p, stream);
  process_op *o = op_new(L, &read_type, read_changed);
  o->stream = stream;
  pl_process_read(p, stream, PL_FILE_READ);
  return op_run(L, o);
}

// write(bytes): waits until the pipe has taken them
static bool write_changed(pl_process_watch *w) {
  process_op *o = pl_container(w, process_op, watch);
  int error;
  if (!pl_process_written(o->process, o->ticket, &error)) return false;
  pl_op_wake(&o->op);
  return true;
}

static int write_finish(lua_State *L, pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  int error;
  pl_process_written(o->process, o->ticket, &error);
  pl_guard_free(o->guard);
  if (error != 0) return pl_raise_io(L, error, "write", "to a process");
  return 0;
}

static const pl_op_type write_type = {
    .name = "process.write", .finish = write_finish, .cancel = cancel_op};

static int process_write(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  process_op *o = op_new(L, &write_type, write_changed);
  int rc = pl_process_write(o->process, bytes, len, &o->ticket);
  if (rc != 0) return pl_raise_io(L, rc, "write", "to a process");
  return op_run(L, o);
}

// run(input or nil, max, timeout or nil) -> code, signal, stdout, stderr: all of its life in one
// wait
static bool is_whole(const process_op *o) {
  int error;
  return pl_process_exited(o->process) && pl_process_ended(o->process, 1, &error) &&
         pl_process_ended(o->process, 2, &error);
}

static bool run_changed(pl_process_watch *w) {
  process_op *o = pl_container(w, process_op, watch);
  for (int i = 1; i <= 2; i++) {
    if (pl_buf_len(pl_process_buffer(o->process, i)) > o->max) o->too_large = true;
  }
  if (!o->too_large && !is_whole(o)) return false;
  pl_timer_stop(&o->timer);
  pl_op_wake(&o->op);
  return true;
}

static void on_timeout(pl_timer *timer) {
  process_op *o = pl_container(timer, process_op, timer);
  o->timed_out = true;
  pl_list_remove(&o->watch.node);
  pl_op_wake(&o->op);
}

static int push_output(lua_State *L, const process_op *o) {
  if (push_end(L, o->process) == 1) lua_pushnil(L);
  for (int i = 1; i <= 2; i++) {
    const pl_buf *buf = pl_process_buffer(o->process, i);
    lua_pushlstring(L, (const char *)pl_buf_data(buf), pl_buf_len(buf));
  }
  return 4;
}

static int run_finish(lua_State *L, pl_op *op) {
  process_op *o = pl_container(op, process_op, op);
  if (!o->timed_out && !o->too_large) {
    int n = push_output(L, o);
    pl_guard_free(o->guard);
    return n;
  }
  bool timed_out = o->timed_out;
  size_t max = o->max;
  pl_process_terminate(o->process);
  pl_process_abandon(o->process);
  pl_guard_free(o->guard);
  if (timed_out) return pl_raise_code(L, PL_TIMEOUT, PL_EXECUTED, "run: the time is up");
  return pl_raise_code(L, PL_TOO_LARGE, PL_EXECUTED, "run: more than %zu bytes of output", max);
}

static const pl_op_type run_type = {
    .name = "process.run", .finish = run_finish, .cancel = cancel_and_end};

// A process that does not read its input is no failure.
static void feed(lua_State *L, process_op *o) {
  size_t len;
  const char *input = lua_tolstring(L, 2, &len);
  if (input != NULL && len > 0) {
    int rc = pl_process_write(o->process, input, len, &o->ticket);
    if (rc != 0) pl_raise_io(L, rc, "write", "to a process");
  }
  pl_process_finish_input(o->process);
}

static int process_run(lua_State *L) {
  lua_Integer max = luaL_checkinteger(L, 3);
  lua_Number timeout = luaL_optnumber(L, 4, HUGE_VAL);
  process_op *o = op_new(L, &run_type, run_changed);
  o->max = (size_t)max;
  feed(L, o);
  for (int i = 1; i <= 2; i++)
    pl_process_read(o->process, i, o->max + 1);
  if (timeout < 1e9) {
    pl_timer_start(&pl_vm_loop(pl_vm_of(L))->clock, &o->timer, (uint64_t)(timeout * 1e6),
                   on_timeout);
  }
  // A task may have waited for its end before.
  if (is_whole(o)) {
    int n = push_output(L, o);
    pl_guard_free(o->guard);
    return n;
  }
  return op_run(L, o);
}

static int process_finish(lua_State *L) {
  pl_process_finish_input(check_box(L)->process);
  return 0;
}

static int process_hang_up(lua_State *L) {
  pl_process_hang_up(check_box(L)->process);
  return 0;
}

static int process_kill(lua_State *L) {
  pl_process *p = check_box(L)->process;
  int rc = pl_process_kill(p, (int)luaL_checkinteger(L, 2));
  if (rc != 0 && rc != UV_ESRCH) return pl_raise_io(L, rc, "kill", "a process");
  lua_pushboolean(L, rc == 0);
  return 1;
}

static int process_pid(lua_State *L) {
  lua_pushinteger(L, pl_process_pid(check_box(L)->process));
  return 1;
}

// Also __gc and __close.
static int process_release(lua_State *L) {
  process_box *box = luaL_checkudata(L, 1, PROCESS_TYPE);
  pl_process *p = box->process;
  box->process = NULL;
  if (p == NULL) return 0;
  pl_watcher_stop(&box->owner);
  pl_process_abandon(p);
  pl_process_drop(p);
  return 0;
}

static void on_owner_end(pl_watcher *w, pl_task *t) {
  process_box *box = pl_container(w, process_box, owner);
  if (pl_task_is_cancelled(t)) pl_process_terminate(box->process);
}

// The strings of the list at `index` and a NULL, borrowed from it. [-0, +1]
static char **check_strings(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, index);
  char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    list[i] = (char *)luaL_checkstring(L, -1);
    lua_pop(L, 1);  // the list keeps it
  }
  list[n] = NULL;
  return list;
}

// spawn(argv, env or nil, cwd or nil, stdin, stdout, stderr, group) -> process
static int process_spawn(lua_State *L) {
  static const char *const kinds[] = {"null", "inherit", "pipe", NULL};
  pl_vm *vm = pl_vm_of(L);
  pl_loop *loop = pl_vm_loop(vm);
  if (loop->uv == NULL) {
    return pl_raise_code(L, PL_UNSUPPORTED, PL_NOT_EXECUTED, "process: not in virtual time");
  }
  pl_process_options o = {.cwd = luaL_optstring(L, 3, NULL),
                          .group = lua_toboolean(L, 7),
                          .grace_us = pl_vm_settings(vm)->cleanup_grace_us};
  for (int i = 0; i < 3; i++)
    o.stdio[i] = (pl_stdio)luaL_checkoption(L, 4 + i, "pipe", kinds);
  lua_settop(L, 7);
  o.argv = check_strings(L, 1);
  if (!lua_isnil(L, 2)) o.env = check_strings(L, 2);

  process_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->process = NULL;
  box->owner = (pl_watcher){0};
  luaL_setmetatable(L, PROCESS_TYPE);
  int rc = pl_process_spawn(&box->process, loop, &o);
  if (rc != 0) return pl_raise_io(L, rc, "start", o.argv[0]);
  pl_task *task = pl_task_current(L);
  if (task != NULL) pl_task_watch(task, &box->owner, on_owner_end);
  return 1;
}

static int process_environment(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; environ[i] != NULL; i++) {
    const char *equals = strchr(environ[i], '=');
    if (equals == NULL) continue;
    lua_pushlstring(L, environ[i], (size_t)(equals - environ[i]));
    lua_pushstring(L, equals + 1);
    lua_rawset(L, -3);
  }
  return 1;
}

static const luaL_Reg methods[] = {
    {"read", process_read},     {"write", process_write},
    {"finish", process_finish}, {"hang_up", process_hang_up},
    {"run", process_run},       {"wait", process_wait},
    {"kill", process_kill},     {"pid", process_pid},
    {"close", process_release}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", process_release},
    {"__close", process_release},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"spawn", process_spawn},
    {"environment", process_environment},
    {NULL, NULL},
};

int pl_open_process(lua_State *L) {
  luaL_newmetatable(L, PROCESS_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
