// What the log is told of tasks that compute for long, and the tracebacks of tasks that stand
// still.

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"

// Tracebacks.

static void push_traces(lua_State *L, lua_State *co) {
  lua_State *inner = pl_coroutine_inner(co);
  if (inner != NULL) push_traces(L, inner);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  pl_push_traceback(L, co, 0);
}

// Runs protected on the main thread: the traceback over all coroutines of the task.
static int trace_task(lua_State *L) {
  pl_task *t = lua_touserdata(L, 1);
  lua_settop(L, 0);
  push_traces(L, t->co);
  int n = lua_gettop(L);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 1; i <= n; i++) {
    if (i > 1) luaL_addchar(&b, '\n');
    lua_pushvalue(L, i);
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
  return 1;
}

char *pl_report_trace(pl_task *t) {
  lua_State *L = t->vm->L;
  char *trace = NULL;
  if (t->co == NULL || !t->started) return NULL;
  lua_pushcfunction(L, trace_task);
  lua_pushlightuserdata(L, t);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) trace = pl_strdup(lua_tostring(L, -1));
  lua_pop(L, 1);
  return trace;
}

// The first field of a CallInfo is where its function is.
PL_IN_HANDLER bool pl_frame_moves(const lua_Debug *ar) {
  enum { STACK_BYTES_MAX = 32 * 1024 * 1024 };  // twice what a stack can be
  uintptr_t function;
  memcpy(&function, ar->i_ci, sizeof function);
  return function < STACK_BYTES_MAX;
}

void pl_report_place(lua_State *L, char *text, size_t size) {
  lua_Debug ar;
  text[0] = '\0';
  for (int level = 0; lua_getstack(L, level, &ar) && !pl_frame_moves(&ar); level++) {
    if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0) continue;
    snprintf(text, size, "%s:%d", ar.short_src, ar.currentline);
    return;
  }
}

// Memory. Lua's own error says nothing but that there is not enough, and runs no handler.

void pl_report_refused(pl_alloc_state *a) {
  pl_vm *vm = pl_container(a, pl_vm, alloc);
  vm->refused_at[0] = '\0';
  if (vm->running != NULL) pl_report_place(vm->running, vm->refused_at, sizeof vm->refused_at);
}

void pl_report_memory(pl_vm *vm, char *text, size_t size) {
  static const char what[] = "not enough memory";
  if (vm->refused_at[0] == '\0') {
    snprintf(text, size, "%s", what);
    return;
  }
  snprintf(text, size, "%s: %s: memory_limit is %.4g MiB", vm->refused_at, what,
           (double)vm->alloc.limit / (1024 * 1024));
  vm->refused_at[0] = '\0';
}

// Who it is.

enum { FIELDS = 10 };

typedef struct line {
  pl_field fields[FIELDS];
  size_t count;
  char trace_id[PL_ID_HEX], caller[PL_ID_HEX], call[PL_SPAN_HEX];
} line;

static void add(line *l, pl_field field) {
  l->fields[l->count++] = field;
}

static void begin_line(line *l, const pl_vm *vm, pl_task *t) {
  l->count = 0;
  add(l, pl_f_text("script", vm->options.name));
  if (t == NULL) return;
  pl_task_about about = {0};
  if (t->type->about != NULL) t->type->about(t->user, &about);
  if (about.action.len > 0) {
    pl_id_format(&about.caller, l->caller);
    add(l, pl_f_bytes("action", (const char *)about.action.data, about.action.len));
    add(l, pl_f_text("caller", l->caller));
  } else {
    add(l, pl_f_text("kind", t->type->name));
  }
  add(l, pl_f_int("id", (int64_t)t->id));
  const pl_trace *trace = pl_task_trace(t);
  if (trace == NULL) return;
  pl_span_format(trace->span, l->call);
  add(l, pl_f_text("call", l->call));
  pl_id_format(&trace->id, l->trace_id);
  add(l, pl_f_text("trace_id", l->trace_id));
}

static void end_line(line *l, const pl_vm *vm, const char *message, const char *traceback) {
  add(l, pl_f_text("traceback", traceback != NULL ? traceback : ""));
  pl_log_write(vm->options.loop->log, PL_LOG_WARN, message, l->fields, l->count);
}

static int64_t milliseconds(unsigned ticks) {
  return (int64_t)ticks * PL_TICK_US / 1000;
}

void pl_report_stall(pl_vm *vm, lua_State *L, lua_Debug *ar) {
  vm->options.loop->metrics.stalls++;
  lua_getinfo(L, "Sl", ar);
  char at[LUA_IDSIZE + 16];
  snprintf(at, sizeof at, "%s:%d", ar->short_src, ar->currentline);
  line l;
  begin_line(&l, vm, vm->current);
  add(&l, pl_f_text("at", at));
  add(&l, pl_f_int("cpu_ms", milliseconds((unsigned)vm->slice_ticks)));
  bool enforce = vm->alloc.enforce;
  vm->alloc.enforce = false;  // the line must not fail the script
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  pl_push_traceback(L, L, 0);
  vm->alloc.enforce = enforce;
  end_line(&l, vm, "a script held up the node", lua_tostring(L, -1));
  lua_pop(L, 1);
}

void pl_report_busy(pl_task *t) {
  pl_vm *vm = t->vm;
  uint64_t now = pl_now_us(vm->options.loop);
  if (vm->busy_told_us != 0 && now - vm->busy_told_us < PL_BUSY_PAUSE_US) {
    vm->busy_untold++;
    return;
  }
  line l;
  begin_line(&l, vm, t);
  add(&l, pl_f_int("cpu_ms", milliseconds(t->cpu_ticks)));
  if (vm->busy_untold > 0) add(&l, pl_f_int("untold", vm->busy_untold));
  vm->busy_told_us = now;
  vm->busy_untold = 0;
  char *trace = pl_report_trace(t);
  end_line(&l, vm, "a task computes without a wait", trace);
  pl_free(trace);
}
