// perilune.core.task: tasks of scripts. stdlib/perilune/task.lua makes mesh.spawn and its kin of
// it.

#include "lua/bind_task.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/modules.h"

#define TASK_TYPE "perilune.Task"
#define SCOPE_TYPE "perilune.Scope"

// User value 1 is the result when there is just one: that frees the coroutine of an ended task,
// which holds several results, or an error, until its handle is collected.
typedef struct handle {
  pl_task *task;  // one reference; NULL while it is being made
  bool has_one;
} handle;

pl_task *pl_check_task(lua_State *L, int arg) {
  handle *h = luaL_checkudata(L, arg, TASK_TYPE);
  luaL_argcheck(L, h->task != NULL, arg, "no task");
  return h->task;
}

static uint64_t check_seconds(lua_State *L, int arg) {
  lua_Number s = luaL_checknumber(L, arg);
  luaL_argcheck(L, s >= 0, arg, "seconds must be a number from 0 on");
  return s < 1e9 ? (uint64_t)ceil(s * 1e6) : (uint64_t)1e15;
}

// Spawning.

// In the memory of the task.
typedef struct spawned {
  uint64_t ended_us;
  bool heard;         // task:on sees to its error
  unsigned watchers;  // at its end: 0, 1, or 2 for more
} spawned;

static unsigned count_watchers(const pl_task *t) {
  const pl_list *first = t->watchers.next;
  if (first == &t->watchers) return 0;
  return first->next == &t->watchers ? 1 : 2;
}

static void on_spawn_end(pl_task *t, pl_task_state state, lua_State *L, int n,
                         const char *traceback, void *user) {
  (void)n;
  spawned *s = user;
  s->ended_us = pl_now_us(t->vm->options.loop);
  s->watchers = count_watchers(t);
  if (state != PL_TASK_FAILED || s->watchers > 0 || s->heard) return;
  pl_loop *loop = t->vm->options.loop;
  loop->metrics.tasks_failed++;
  if (!t->kill) pl_task_log_failure(t->vm, L, traceback);  // else it has been
}

static void on_spawn_return(lua_State *L, int n, void *user) {
  (void)user;
  handle *h = lua_touserdata(L, 2);
  if (n == 1) {
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 2, 1);
  }
  h->has_one = n == 1;
  h->task->keep_results = n > 1;
}

static const pl_task_type spawn_type = {
    .name = "spawn", .on_end = on_spawn_end, .on_return = on_spawn_return};

// Moves the function at 2 and its arguments, on the stack up to its top, to the task's coroutine,
// with the handle at 1.
static void load_task(lua_State *L, pl_task *t) {
  lua_pushvalue(L, 1);
  lua_insert(L, 2);
  int n = lua_gettop(L) - 1;
  // What cannot be prepared for lack of memory fails when it is run.
  if (!pl_task_get_thread(t) || !lua_checkstack(t->co, n + 4)) {
    t->kill = true;
    return;
  }
  pl_task_prepare(t);
  lua_xmove(L, t->co, n);
  t->prepared = n;
}

static int spawn(lua_State *L, bool child) {
  luaL_argexpected(L, lua_isfunction(L, 1) || luaL_getmetafield(L, 1, "__call") != LUA_TNIL, 1,
                   "function");
  pl_vm *vm = pl_vm_of(L);
  pl_task *current = vm->current;
  handle *h = lua_newuserdatauv(L, sizeof *h, 1);
  *h = (handle){0};
  luaL_setmetatable(L, TASK_TYPE);
  lua_insert(L, 1);

  pl_task *t = pl_task_new(vm, &spawn_type, NULL, child ? current : NULL);
  if (t == NULL) return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "too many tasks");
  h->task = t;
  *(spawned *)t->user = (spawned){0};
  t->keep_results = true;
  if (child && current != NULL) t->deadline_us = pl_task_deadline(current);
  load_task(L, t);
  if (vm->hold && !child) {
    t->held = true;
    pl_list_push(&vm->held, &t->node);
  } else {
    pl_task_make_ready(t);
  }
  lua_settop(L, 1);
  if (current != NULL) {
    const pl_trace *trace = pl_task_trace(current);
    if (trace != NULL) pl_task_set_trace(t, trace);
    t->priority = current->priority;
    pl_task_push_context(L, current);
    if (!lua_isnil(L, -1)) pl_task_set_context(L, t);
  }
  lua_settop(L, 1);
  return 1;
}

// spawn(fn, ...) -> task
static int task_spawn(lua_State *L) {
  return spawn(L, false);
}

// spawn_child(fn, ...) -> task, cancelled with the running task; inherits its deadline
static int task_spawn_child(lua_State *L) {
  return spawn(L, true);
}

// Awaiting.

typedef struct awaiter {
  pl_op op;
  pl_watcher watcher;  // of the task of the handle on the stack
} awaiter;

_Static_assert(sizeof(awaiter) <= PL_TASK_SPACE, "an awaiter lives in the space of its task");

int pl_task_push_results(lua_State *L, int index) {
  const handle *h = lua_touserdata(L, index);
  pl_task *t = h->task;
  if (t->state == PL_TASK_DONE && t->co == NULL) {
    if (h->has_one) lua_getiuservalue(L, index, 1);
    return h->has_one;
  }
  if (t->co == NULL) {  // it never ran
    pl_failure f = pl_failure_of(PL_MEMORY_LIMIT, PL_NOT_EXECUTED, "not enough memory");
    return pl_raise(L, t->cancel.why != NULL ? t->cancel.why : &f);
  }
  int n = t->state == PL_TASK_DONE ? lua_gettop(t->co) : 1;
  luaL_checkstack(L, n, "too many results");
  if (!lua_checkstack(t->co, n)) return luaL_error(L, "not enough memory");
  int first = lua_gettop(t->co) - n + 1;
  for (int i = 0; i < n; i++)
    lua_pushvalue(t->co, first + i);
  lua_xmove(t->co, L, n);
  if (t->state == PL_TASK_DONE) return n;
  pl_task_follow_trace(t->vm, t);
  return lua_error(L);
}

static int finish_await(lua_State *L, pl_op *op) {
  (void)op;
  return pl_task_push_results(L, 1);
}

static void cancel_await(pl_op *op) {
  pl_watcher_stop(&pl_container(op, awaiter, op)->watcher);
}

static const pl_op_type await_type = {"task:await", finish_await, cancel_await};

static void on_target_end(pl_watcher *w, pl_task *t) {
  (void)t;
  pl_op_wake(&pl_container(w, awaiter, watcher)->op);
}

const pl_task *pl_task_waiter(const pl_task *t) {
  if (t->parent != NULL) return t->parent;
  for (pl_list *n = t->watchers.next; n != &t->watchers; n = n->next) {
    const pl_watcher *w = pl_container(n, pl_watcher, node);
    if (w->on_end == on_target_end) return pl_container(w, awaiter, watcher)->op.task;
  }
  return NULL;
}

// task:await() -> results; raises the task's error
static int task_await(lua_State *L) {
  pl_task *target = pl_check_task(L, 1);
  lua_settop(L, 1);
  if (pl_task_has_ended(target)) return pl_task_push_results(L, 1);
  pl_op_check(L, &await_type);
  pl_task *t = pl_vm_of(L)->current;
  if (t == target) return luaL_error(L, "a task cannot await itself");
  pl_task_release(target);
  awaiter *a = (awaiter *)(void *)t->space;
  a->op.type = &await_type;
  a->watcher = (pl_watcher){0};
  pl_task_watch(target, &a->watcher, on_target_end);
  return pl_op_wait(L, &a->op);
}

// task:cancel([message])
static int task_cancel(lua_State *L) {
  pl_task *t = pl_check_task(L, 1);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, luaL_optstring(L, 2, NULL));
  pl_task_cancel(t, &why);
  return 0;
}

static const char *const state_names[] = {
    [PL_TASK_READY] = "ready", [PL_TASK_RUNNING] = "running", [PL_TASK_WAITING] = "waiting",
    [PL_TASK_DONE] = "done",   [PL_TASK_FAILED] = "failed",   [PL_TASK_CANCELLED] = "cancelled",
};

// Seconds from its start to its end, or to now.
static double duration_of(const pl_task *t) {
  const spawned *s = t->user;
  uint64_t end_us = pl_task_has_ended(t) ? s->ended_us : pl_now_us(t->vm->options.loop);
  return (double)(end_us - t->made_us) / 1e6;
}

// hear(task): its error is not logged at its end
static int task_hear(lua_State *L) {
  spawned *s = pl_check_task(L, 1)->user;
  s->heard = true;
  return 0;
}

// watchers(task) -> how many waited for its end: 0, 1, or 2 for more
static int task_watchers(lua_State *L) {
  const spawned *s = pl_check_task(L, 1)->user;
  lua_pushinteger(L, s->watchers);
  return 1;
}

static int task_index(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, TASK_TYPE);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (key[0] == 'd' && h->task != NULL && strcmp(key, "duration") == 0) {
    lua_pushnumber(L, duration_of(h->task));
    return 1;
  }
  if (key[0] == 's' && h->task != NULL && strcmp(key, "status") == 0) {
    lua_pushstring(L, state_names[h->task->state]);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int task_gc(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, TASK_TYPE);
  pl_task *t = h->task;
  h->task = NULL;
  if (t != NULL) pl_task_drop(t);
  return 0;
}

static int task_tostring(lua_State *L) {
  lua_pushfstring(L, "task (%s)", state_names[pl_check_task(L, 1)->state]);
  return 1;
}

// Sleeping.

typedef struct sleeper {
  pl_op op;
  pl_timer timer;
} sleeper;

_Static_assert(sizeof(sleeper) <= PL_TASK_SPACE, "a sleeper lives in the space of its task");

static int finish_sleep(lua_State *L, pl_op *op) {
  (void)L;
  (void)op;
  return 0;
}

static void cancel_sleep(pl_op *op) {
  pl_timer_stop(&pl_container(op, sleeper, op)->timer);
}

static const pl_op_type sleep_type = {"mesh.sleep", finish_sleep, cancel_sleep};

static void on_sleep_over(pl_timer *timer) {
  pl_op_wake(&pl_container(timer, sleeper, timer)->op);
}

static int task_sleep(lua_State *L) {
  uint64_t us = check_seconds(L, 1);
  pl_op_check(L, &sleep_type);
  if (us == 0) return pl_task_requeue(L);
  pl_task *t = pl_vm_of(L)->current;
  sleeper *s = (sleeper *)(void *)t->space;
  s->op.type = &sleep_type;
  s->timer = (pl_timer){0};
  pl_timer_start(&t->vm->options.loop->clock, &s->timer, us, on_sleep_over);
  return pl_op_wait(L, &s->op);
}

// Scopes.

static int scope_gc(lua_State *L) {
  pl_scope_close(luaL_checkudata(L, 1, SCOPE_TYPE));
  return 0;
}

pl_scope *pl_scope_push(lua_State *L) {
  pl_scope *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (pl_scope){0};
  luaL_setmetatable(L, SCOPE_TYPE);
  return s;
}

// 1 scope, 2 message handler, results or error
static int end_timeout(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  pl_scope_close(lua_touserdata(L, 1));
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  return lua_gettop(L) - 2;
}

// timeout(seconds, fn, ...) -> what fn returns; raises TIMEOUT when a wait of it takes longer
int pl_task_timeout(lua_State *L) {
  uint64_t us = check_seconds(L, 1);
  luaL_checkany(L, 2);
  pl_task *t = pl_vm_of(L)->current;
  if (t == NULL) return luaL_error(L, "mesh.timeout is only possible in a task");
  pl_scope *s = pl_scope_push(L);
  lua_replace(L, 1);
  lua_pushcfunction(L, pl_task_on_error);
  lua_insert(L, 2);
  pl_scope_open(s, L, t, us);
  int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, end_timeout);
  return end_timeout(L, status, 0);
}

// now() -> seconds of the loop's clock
static int task_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_now_us(pl_vm_of(L)->options.loop) / 1e6);
  return 1;
}

// log_failure(error, traceback): counts and logs what nobody will see, unless it is the cancel of
// the task
static int task_log_failure(lua_State *L) {
  pl_vm *vm = pl_vm_of(L);
  const char *traceback = luaL_optstring(L, 2, NULL);
  lua_settop(L, 2);
  lua_pushvalue(L, 1);
  if (vm->current != NULL && pl_is_interrupt(L, 1, &vm->current->cancel)) return 0;
  vm->options.loop->metrics.tasks_failed++;
  pl_task_log_failure(vm, L, traceback);
  return 0;
}

// Pushes the table of the methods of tasks, to which task.lua adds. [-0, +1]
static void make_types(lua_State *L) {
  static const luaL_Reg methods[] = {{"await", task_await}, {"cancel", task_cancel}, {NULL, NULL}};
  luaL_newlib(L, methods);
  luaL_newmetatable(L, TASK_TYPE);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, task_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, task_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, task_tostring);
  lua_setfield(L, -2, "__tostring");
  luaL_newmetatable(L, SCOPE_TYPE);
  lua_pushcfunction(L, scope_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 2);
}

int pl_open_task(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"spawn", task_spawn}, {"spawn_child", task_spawn_child},
      {"sleep", task_sleep}, {"timeout", pl_task_timeout},
      {"now", task_now},     {"log_failure", task_log_failure},
      {"hear", task_hear},   {"watchers", task_watchers},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  make_types(L);
  lua_setfield(L, -2, "methods");
  return 1;
}
