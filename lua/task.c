#include "lua/task.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/hint.h"

// Keys in the registry.
static const char threads_key;   // table: reference -> coroutine, what keeps them alive
static const char contexts_key;  // table: task -> its context

enum { ZEROED = offsetof(pl_task, op) };

// A task without content: one that has ended, or a new one.
static pl_task *take_task(pl_vm *vm) {
  pl_task *t = vm->spare;
  if (t != NULL) {
    vm->spare = t->parent;
    vm->spare_count--;
    if (vm->spare != NULL) pl_prefetch(vm->spare, offsetof(pl_task, co_ref));  // for the next one
    memset((char *)t + ZEROED, 0, offsetof(pl_task, cancel.grace) - ZEROED);
    return t;
  }
  t = pl_try_alloc(sizeof *t);
  if (t == NULL) return NULL;
  memset(t, 0, sizeof *t);
  pl_list_init(&t->node);
  pl_list_init(&t->children);
  pl_list_init(&t->sibling);
  pl_list_init(&t->watchers);
  return t;
}

pl_task *pl_task_new(pl_vm *vm, const pl_task_type *type, void *user, pl_task *parent) {
  if (vm->count >= PL_TASKS_MAX) {
    vm->options.loop->metrics.tasks_refused++;
    return NULL;
  }
  pl_task *t = take_task(vm);
  if (t == NULL) return NULL;
  t->vm = vm;
  t->type = type;
  t->user = user != NULL ? user : t->own;
  t->refs = 2;
  t->co_ref = LUA_NOREF;
  t->state = PL_TASK_READY;
  t->deadline_us = PL_NEVER;
  t->cpu_limit_us = vm->options.cpu_limit_us;
  t->parent = NULL;
  pl_list_push(&vm->tasks, &t->living);
  if (parent != NULL) pl_task_adopt(t, parent);
  vm->count++;
  pl_loop *loop = vm->options.loop;
  t->id = ++loop->metrics.tasks_started;
  t->made_us = pl_now_us(loop);
  loop->metrics.tasks_now++;
  return t;
}

pl_task *pl_task_start(pl_vm *vm, const pl_task_type *type, void *user, pl_task *parent) {
  pl_task *t = pl_task_new(vm, type, user, parent);
  if (t != NULL) pl_task_make_ready(t);
  return t;
}

pl_task *pl_task_hold(pl_task *t) {
  assert(t->refs > 0);
  t->refs++;
  return t;
}

void pl_task_drop(pl_task *t) {
  assert(t->refs > 0);
  if (--t->refs > 0) return;
  assert(pl_task_has_ended(t));
  pl_vm *vm = t->vm;
  if (t->co != NULL) pl_task_give_thread(t);
  if (t->cancel.why != NULL) {
    pl_failure_drop(t->cancel.why);
    pl_free(t->cancel.why);
  }
  if (t->trace != NULL) pl_free(t->trace);
  if (vm->spare_count >= PL_THREADS_KEPT) {
    pl_free(t);
    return;
  }
  t->parent = vm->spare;
  vm->spare = t;
  vm->spare_count++;
}

void pl_task_free_spare(pl_vm *vm) {
  while (vm->spare != NULL) {
    pl_task *t = vm->spare;
    vm->spare = t->parent;
    pl_free(t);
  }
  vm->spare_count = 0;
}

void pl_task_adopt(pl_task *t, pl_task *parent) {
  pl_list_remove(&t->sibling);
  t->parent = parent;
  if (parent != NULL) pl_list_push(&parent->children, &t->sibling);
}

void pl_task_release(pl_task *t) {
  if (!t->held) return;
  t->held = false;
  pl_list_remove(&t->node);
  pl_task_make_ready(t);
}

pl_task *pl_task_current(lua_State *L) {
  return pl_vm_of(L)->current;
}

pl_vm *pl_task_vm(const pl_task *t) {
  return t->vm;
}

pl_task_state pl_task_status(const pl_task *t) {
  return t->state;
}

bool pl_task_has_begun(const pl_task *t) {
  return t->started;
}

bool pl_task_has_ended(const pl_task *t) {
  return t->state >= PL_TASK_DONE;
}

void *pl_task_user(const pl_task *t) {
  return t->user;
}

const pl_task_type *pl_task_kind(const pl_task *t) {
  return t->type;
}

size_t pl_task_count(const pl_vm *vm) {
  return vm->count;
}

void pl_task_watch(pl_task *t, pl_watcher *w, void (*on_end)(pl_watcher *w, pl_task *t)) {
  w->on_end = on_end;
  pl_list_push(&t->watchers, &w->node);
}

void pl_watcher_stop(pl_watcher *w) {
  if (w->node.next != NULL) pl_list_remove(&w->node);
}

void pl_task_set_deadline(pl_task *t, uint64_t at_us) {
  t->deadline_us = at_us;
}

// What is broken off has as long as it may clean up, whether its time was up or not.
static uint64_t time_of(const pl_interrupt *i, uint64_t deadline_us) {
  return i->why != NULL && pl_timer_active(&i->grace) ? i->grace.at_us : deadline_us;
}

uint64_t pl_task_deadline(const pl_task *t) {
  uint64_t nearest = time_of(&t->cancel, t->deadline_us);
  for (const pl_scope *s = t->scopes; s != NULL; s = s->outer) {
    uint64_t at_us = time_of(&s->interrupt, s->deadline_us);
    if (at_us < nearest && pl_scope_is_active(s)) nearest = at_us;
  }
  return nearest;
}

void pl_task_set_cpu_limit(pl_task *t, uint64_t us) {
  t->cpu_limit_us = us;
}

void pl_task_set_topic(pl_task *t, uint64_t topic) {
  t->topic = topic;
}

void pl_task_set_priority(pl_task *t, unsigned priority) {
  t->priority = (uint8_t)priority;
}

unsigned pl_task_priority(const pl_task *t) {
  return t->priority;
}

// Contexts.

// Pushes the table of the registry under `key`, which it makes at first use. [-0, +1]
static void push_table(lua_State *L, const char *key) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void pl_task_set_context(lua_State *L, pl_task *t) {
  push_table(L, &contexts_key);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, t);
  lua_pop(L, 1);
  t->has_context = true;
}

void pl_task_forget_context(pl_task *t) {
  if (!t->has_context) return;
  lua_State *L = t->vm->L;
  // Clearing a field that is there needs no memory and cannot raise.
  lua_rawgetp(L, LUA_REGISTRYINDEX, &contexts_key);
  lua_pushnil(L);
  lua_rawsetp(L, -2, t);
  lua_pop(L, 1);
  t->has_context = false;
}

void pl_task_push_context(lua_State *L, pl_task *t) {
  if (!t->has_context && t->type->context != NULL) {
    t->type->context(L, t->user);
    lua_pushvalue(L, -1);
    pl_task_set_context(L, t);
    return;
  }
  if (!t->has_context) {
    lua_pushnil(L);
    return;
  }
  push_table(L, &contexts_key);
  lua_rawgetp(L, -1, t);
  lua_remove(L, -2);
}

void pl_task_set_trace(pl_task *t, const pl_trace *trace) {
  t->call_trace = *trace;
  t->traced = true;
}

void pl_task_meter(pl_task *t) {
  t->metered = true;
}

uint64_t pl_task_cpu_us(const pl_task *t) {
  return t->cpu_ns / 1000;
}

const pl_trace *pl_task_trace(pl_task *t) {
  if (t->traced) return &t->call_trace;
  return t->type->trace != NULL ? t->type->trace(t->user) : NULL;
}

// Threads. A task borrows a coroutine from its first slice to its end.

static int make_thread(lua_State *L) {
  pl_thread *out = lua_touserdata(L, 1);
  push_table(L, &threads_key);
  out->co = lua_newthread(L);
  out->ref = luaL_ref(L, -2);
  return 0;
}

bool pl_task_get_thread(pl_task *t) {
  pl_vm *vm = t->vm;
  if (vm->idle_count > 0) {
    pl_thread thread = vm->idle[--vm->idle_count];
    t->co = thread.co;
    t->co_ref = thread.ref;
    return true;
  }
  pl_thread thread = {NULL, LUA_NOREF};
  lua_pushcfunction(vm->L, make_thread);
  lua_pushlightuserdata(vm->L, &thread);
  bool enforce = vm->alloc.enforce;
  vm->alloc.enforce = true;
  bool made = lua_pcall(vm->L, 1, 0, 0) == LUA_OK;
  vm->alloc.enforce = enforce;
  if (!made) {
    lua_pop(vm->L, 1);
    return false;
  }
  t->co = thread.co;
  t->co_ref = thread.ref;
  return true;
}

static void retire(pl_vm *vm, int ref) {
  // The place in the table is there already, so this needs no memory and cannot raise.
  lua_rawgetp(vm->L, LUA_REGISTRYINDEX, &threads_key);
  luaL_unref(vm->L, -1, ref);
  lua_pop(vm->L, 1);
}

static bool has_room(pl_vm *vm) {
  if (vm->idle_count < vm->idle_cap) return true;
  if (vm->idle_cap >= PL_THREADS_KEPT) return false;
  size_t cap = vm->idle_cap == 0 ? 16 : vm->idle_cap * 2;
  pl_thread *idle = pl_try_realloc(vm->idle, cap * sizeof *idle);
  if (idle == NULL) return false;
  vm->idle = idle;
  vm->idle_cap = cap;
  return true;
}

void pl_task_forget_threads(pl_vm *vm) {
  while (vm->idle_count > 0)
    retire(vm, vm->idle[--vm->idle_count].ref);
}

void pl_task_give_thread(pl_task *t) {
  pl_vm *vm = t->vm;
  lua_State *co = t->co;
  if (lua_status(co) == LUA_OK) lua_settop(co, 0);
  // A script that holds the handle of the coroutine must not meet the next task in it.
  if (t->escaped || lua_status(co) != LUA_OK || !has_room(vm)) {
    retire(vm, t->co_ref);
  } else {
    vm->idle[vm->idle_count++] = (pl_thread){co, t->co_ref};
  }
  t->co = NULL;
}

// Errors that leave a task.

static void keep_trace(pl_task *t, const char *text, size_t len) {
  size_t old = t->trace_live && t->trace != NULL ? strlen(t->trace) : 0;
  if (old >= PL_TRACEBACK_MAX) return;
  if (len > PL_TRACEBACK_MAX - old) len = PL_TRACEBACK_MAX - old;
  char *trace = pl_try_realloc(t->trace, old + len + 2);
  if (trace == NULL) return;
  if (old > 0) trace[old++] = '\n';
  memcpy(trace + old, text, len);
  trace[old + len] = '\0';
  t->trace = trace;
  t->trace_live = true;
}

enum {
  TRACE_DEEP = 1000,  // levels from which on only the innermost are shown
  TRACE_LEVELS = 20,
};

static void add_level(luaL_Buffer *b, lua_State *L, lua_State *co, lua_Debug *ar) {
  lua_getinfo(co, "Sln", ar);
  if (ar->currentline > 0) {
    lua_pushfstring(L, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
  } else {
    lua_pushfstring(L, "\n\t%s: in ", ar->short_src);
  }
  luaL_addvalue(b);
  if (ar->name != NULL) {
    lua_pushfstring(L, "%s '%s'", ar->namewhat, ar->name);
  } else {
    lua_pushfstring(L, "function <%s:%d>", ar->short_src, ar->linedefined);
  }
  luaL_addvalue(b);
}

void pl_push_traceback(lua_State *L, lua_State *co, int level) {
  lua_Debug ar;
  if (!lua_getstack(co, TRACE_DEEP, &ar)) {
    luaL_traceback(L, co, NULL, level);
    return;
  }
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "stack traceback:");
  for (int end = level + TRACE_LEVELS; level < end && lua_getstack(co, level, &ar); level++)
    add_level(&b, L, co, &ar);
  luaL_addstring(&b, "\n\t...\t(many more levels)");
  luaL_pushresult(&b);
}

// Keeps the text at the top, if it is one. [-1, +0]
static void keep_top(pl_task *t, lua_State *L) {
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  if (text != NULL) keep_trace(t, text, len);
  lua_pop(L, 1);
}

void pl_task_keep_traceback(pl_task *t, lua_State *L) {
  pl_push_traceback(L, L, 1);
  keep_top(t, L);
}

// Only where it arose: coroutines further out pass it on.
static void keep_hint(pl_task *t, lua_State *L) {
  if (t->trace_live || lua_type(L, 1) != LUA_TSTRING) return;
  const char *message = lua_tostring(L, 1);
  if (!pl_hint_is_slip(message)) return;
  keep_trace(t, "", 0);  // what takes too long now is not told in its place
  pl_hint_push(L, 1, message, NULL, NULL);
  keep_top(t, L);
}

int pl_task_on_error(lua_State *L) {
  pl_task *t = pl_vm_of(L)->current;
  if (t == NULL || t->cancel.raised) return 1;
  const void *error = lua_topointer(L, 1);
  bool told = t->trace_live && t->trace_co == L && t->trace_error == error;
  if (told) return 1;  // mesh.scope and its like let it through
  t->trace_co = L;
  t->trace_error = error;
  keep_hint(t, L);
  pl_task_keep_traceback(t, L);
  return 1;
}

void pl_task_untraced(lua_State *L) {
  pl_task *t = pl_vm_of(L)->current;
  keep_trace(t, "", 0);
  pl_hint_push(L, 1, lua_tostring(L, -1), NULL, NULL);
  keep_top(t, L);
  t->trace_co = L;
  t->trace_error = lua_topointer(L, -1);
}

void pl_task_follow_trace(pl_vm *vm, const pl_task *failed) {
  pl_task *t = vm->current;
  if (t == NULL || failed->trace == NULL) return;
  keep_trace(t, failed->trace, strlen(failed->trace));
  t->trace_co = NULL;
}

void pl_task_log_failure(pl_vm *vm, lua_State *L, const char *traceback) {
  if (!lua_checkstack(L, 8)) return;
  pl_push_message(L, -1);
  pl_log_error(vm->options.loop->log, "task failed", pl_f_text("script", vm->options.name),
               pl_f_text("error", lua_tostring(L, -1)), pl_f_text("traceback", traceback));
  lua_pop(L, 1);
}
