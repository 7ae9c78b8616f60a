#include "lua/vm.h"

#include <assert.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/hint.h"
#include "lua/io.h"
#include "lua/modules.h"
#include "lua/sandbox.h"
#include "lua/view.h"
#include "lua/watchdog.h"

// Only an unprotected call of the host can end here, with no memory left in the system.
static int on_panic(lua_State *L) {
  const pl_vm *vm = pl_vm_of(L);
  const char *message = lua_tostring(L, -1);
  pl_log_error(vm->options.loop->log, "lua panic", pl_f_text("error", message));
  abort();
}

static void open_libraries(lua_State *L) {
  static const luaL_Reg libraries[] = {
      {LUA_GNAME, luaopen_base},
      {LUA_LOADLIBNAME, luaopen_package},
      {LUA_COLIBNAME, pl_open_coroutine},
      {LUA_TABLIBNAME, luaopen_table},
      {LUA_IOLIBNAME, luaopen_io},
      {LUA_OSLIBNAME, luaopen_os},
      {LUA_STRLIBNAME, luaopen_string},
      {LUA_MATHLIBNAME, luaopen_math},
      {LUA_UTF8LIBNAME, luaopen_utf8},
      {LUA_DBLIBNAME, luaopen_debug},
      {NULL, NULL},
  };
  for (const luaL_Reg *lib = libraries; lib->func != NULL; lib++) {
    luaL_requiref(L, lib->name, lib->func, 1);
    lua_pop(L, 1);
  }
}

// How far the text of a long string is from where its block begins.
static void measure_strings(lua_State *L) {
  static const char text[64];
  const char *at = lua_pushlstring(L, text, sizeof text);
  pl_vm_of(L)->alloc.string_front = (size_t)(at - (const char *)lua_topointer(L, -1));
  lua_pop(L, 1);
}

static int set_up(lua_State *L) {
  measure_strings(L);
  open_libraries(L);
  pl_open_base(L);
  pl_open_views(L);
  pl_open_require(L);
  pl_io_install(L);
  pl_open_hints(L);
  if (pl_vm_of(L)->options.sandboxed) pl_open_sandbox(L);
  return 0;
}

// Warnings, as of errors in finalizers, are lines of the log.
static void on_warning(void *user, const char *message, int to_be_continued) {
  pl_vm *vm = user;
  if (pl_buf_len(&vm->warning) < PL_ERROR_TEXT_MAX) {
    pl_buf_append(&vm->warning, message, strlen(message));
  }
  if (to_be_continued) return;
  const char *text = (const char *)pl_buf_data(&vm->warning);
  size_t len = pl_buf_len(&vm->warning);
  if (len > 0 && text[0] != '@') {  // a control message
    pl_log_warn(vm->options.loop->log, "lua warning", pl_f_text("script", vm->options.name),
                pl_f_bytes("text", text, len));
  }
  pl_buf_clear(&vm->warning);
}

pl_list *pl_vm_all(void) {
  static _Thread_local pl_list all;
  if (all.next == NULL) pl_list_init(&all);
  return &all;
}

pl_vm *pl_vm_new(const pl_vm_options *options) {
  pl_vm *vm = pl_new(pl_vm);
  vm->options = *options;
  vm->number = pl_watchdog_number();
  vm->options.name = pl_strdup(options->name != NULL ? options->name : "script");
  vm->options.directory = options->directory != NULL ? pl_strdup(options->directory) : NULL;
  if (vm->options.generation == 0) vm->options.generation = 1;
  vm->alloc.limit = options->memory_limit;
  vm->alloc.on_refused = pl_report_refused;
  pl_sched_init(vm);
  pl_list_push(pl_vm_all(), &vm->node);
  pl_governor_hold();
  vm->L = lua_newstate(pl_alloc_lua, &vm->alloc);
  if (vm->L == NULL) goto free_vm;
  *(pl_vm **)lua_getextraspace(vm->L) = vm;
  lua_atpanic(vm->L, on_panic);
  lua_setwarnf(vm->L, on_warning, vm);
  if (options->loop->network != NULL) pl_governor_simulate(vm);

  vm->alloc.enforce = true;
  lua_pushcfunction(vm->L, set_up);
  int status = lua_pcall(vm->L, 0, 0, 0);
  vm->alloc.enforce = false;
  if (status == LUA_OK) return vm;
  pl_log_error(options->loop->log, "lua set-up", pl_f_text("error", lua_tostring(vm->L, -1)));

free_vm:
  pl_vm_free(vm);
  return NULL;
}

void pl_vm_end_tasks(pl_vm *vm) {
  static const char why_text[] = "the script was closed";
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, why_text);
  vm->on_idle = NULL;
  while (!pl_list_empty(&vm->tasks)) {
    pl_task *t = pl_container(vm->tasks.next, pl_task, living);
    pl_task_cancel(t, &why);
    pl_list_remove(&t->node);
    pl_task_end_hard(t, PL_CANCELLED, NULL);
  }
}

void pl_vm_free(pl_vm *vm) {
  assert(vm->level == NULL && !vm->in_work);
  if (vm->L != NULL) {
    pl_vm_end_tasks(vm);
    pl_entry e;
    pl_vm_enter(vm, &e, vm->L, NULL);
    // The tick looks at what runs, and lua_close gives this state back before it returns. What it
    // may have to end are finalizers, and those run in coroutines of their own.
    vm->running = NULL;
    lua_close(vm->L);
    pl_vm_leave(vm, &e);
  }
  pl_list_remove(&vm->node);
  pl_work_cancel(&vm->work);
  pl_work_cancel(&vm->idle_work);
  pl_work_cancel(&vm->swept_work);
  pl_work_cancel(&vm->retire_work);
  pl_task_free_spare(vm);
  pl_alloc_fini(&vm->alloc);
  pl_buf_fini(&vm->scratch);
  pl_buf_fini(&vm->warning);
  pl_free(vm->idle);
  pl_free((char *)vm->options.name);
  pl_free((char *)vm->options.directory);
  pl_governor_drop();
  pl_free(vm);
}

lua_State *pl_vm_state(pl_vm *vm) {
  return vm->L;
}

pl_loop *pl_vm_loop(const pl_vm *vm) {
  return vm->options.loop;
}

const pl_vm_options *pl_vm_settings(const pl_vm *vm) {
  return &vm->options;
}

void pl_vm_set_limits(pl_vm *vm, size_t memory_limit, uint64_t cpu_limit_us,
                      uint64_t cleanup_grace_us) {
  for (pl_list *n = vm->tasks.next; n != &vm->tasks; n = n->next) {
    pl_task *t = pl_container(n, pl_task, living);
    if (t->cpu_limit_us == vm->options.cpu_limit_us) t->cpu_limit_us = cpu_limit_us;
  }
  vm->alloc.limit = vm->options.memory_limit = memory_limit;
  vm->options.cpu_limit_us = cpu_limit_us;
  vm->options.cleanup_grace_us = cleanup_grace_us;
}

void pl_vm_set_abandoned(pl_vm *vm, const atomic_bool *abandoned) {
  vm->abandoned = abandoned;
}

void pl_vm_set_host(pl_vm *vm, void *host) {
  vm->host = host;
}

void *pl_vm_host(const pl_vm *vm) {
  return vm->host;
}

unsigned *pl_vm_passing(pl_vm *vm) {
  return &vm->passing;
}

pl_buf *pl_vm_scratch(pl_vm *vm) {
  enum { KEPT = 256 * 1024 };  // a rare big value does not stay for ever
  if (vm->scratch.cap > KEPT) pl_buf_fini(&vm->scratch);
  pl_buf_clear(&vm->scratch);
  return &vm->scratch;
}

void pl_vm_hold_spawns(pl_vm *vm, bool hold) {
  vm->hold = hold;
}

void pl_vm_release_spawns(pl_vm *vm) {
  while (!pl_list_empty(&vm->held)) {
    pl_task_release(pl_container(vm->held.next, pl_task, node));
  }
}

size_t pl_vm_memory(const pl_vm *vm) {
  return vm->alloc.used;
}

bool pl_vm_is_full(const pl_vm *vm) {
  size_t limit = vm->alloc.limit;
  return limit > 0 && vm->alloc.used / PL_MEMORY_FULL_PERCENT >= limit / 100;
}
