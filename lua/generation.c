#include "lua/generation.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_action.h"
#include "lua/compile.h"
#include "lua/core.h"
#include "lua/script.h"
#include "lua/value.h"

pl_generation *pl_generation_of(lua_State *L) {
  return pl_vm_host(pl_vm_of(L));
}

// Making.

// The global `arg`, with the script at 0 and its arguments from 1; and an os.exit that drains.
static int set_globals(lua_State *L) {
  const pl_script *s = lua_touserdata(L, 1);
  const pl_texts *args = pl_script_arguments(s);
  lua_createtable(L, (int)args->count, 1);
  lua_pushstring(L, pl_script_path(s));
  lua_rawseti(L, -2, 0);
  for (size_t i = 0; i < args->count; i++) {
    lua_pushstring(L, args->items[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setglobal(L, "arg");
  lua_getglobal(L, "os");
  lua_pushcfunction(L, pl_os_exit);
  lua_setfield(L, -2, "exit");
  return 0;
}

static bool prepare(pl_generation *g) {
  lua_State *L = pl_vm_state(g->vm);
  lua_pushcfunction(L, set_globals);
  lua_pushlightuserdata(L, g->script);
  bool ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
  if (!ok) lua_pop(L, 1);
  return ok;
}

static pl_err read_script(pl_generation *g, char *detail) {
  pl_origin s;
  const pl_origin *known = pl_origins_find(&g->replay, "");
  pl_err err = known != NULL ? pl_origin_of(&s, "", known->path,
                                            pl_bytes_of(known->text->data, known->text->len))
                             : pl_script_read(g->script, &s, detail);
  if (err == PL_OK) pl_origins_add(&g->sources, &s);
  return err;
}

pl_err pl_generation_new(pl_generation **out, pl_script *s, unsigned number,
                         const pl_origins *replay, char *detail) {
  pl_generation *g = pl_new(pl_generation);
  pl_list_init(&g->node);
  pl_list_init(&g->actions);
  g->script = s;
  g->number = number;
  for (int i = 0; i < PL_HOOK_COUNT; i++)
    g->hooks[i] = LUA_NOREF;
  if (replay != NULL) pl_origins_share(&g->replay, replay);
  pl_err err = read_script(g, detail);
  if (err == PL_OK) {
    pl_vm_options options = pl_script_vm_options(s);
    options.generation = number;
    options.sources = &g->sources;
    options.replay = replay != NULL ? &g->replay : NULL;
    g->vm = pl_vm_new(&options);
    if (g->vm == NULL || !prepare(g)) {
      snprintf(detail, PL_URL_MAX, "no memory for the script");
      err = PL_NO_MEMORY;
    }
  }
  if (err != PL_OK) {
    pl_generation_free(g);
    return err;
  }
  pl_vm_set_host(g->vm, g);
  *out = g;
  return PL_OK;
}

void pl_generation_free(pl_generation *g) {
  g->state = PL_GENERATION_CLOSING;
  pl_list_remove(&g->node);
  pl_timer_stop(&g->limit);
  if (g->vm != NULL) {
    pl_vm_end_tasks(g->vm);
    pl_registrations_close(g);
    pl_vm_free(g->vm);
  }
  pl_origins_fini(&g->sources);
  pl_origins_fini(&g->replay);
  pl_free(g);
}

void pl_generation_set_limits(pl_generation *g, const pl_options *o) {
  pl_vm_set_limits(g->vm, (size_t)o->memory_limit, (uint64_t)(o->cpu_limit * 1e6),
                   (uint64_t)(o->cleanup_grace * 1e6));
}

// The main chunk and the hooks, each in a task. What a task needs lies in its own memory.

typedef struct errand {
  pl_generation *generation;
  pl_generation_done *done;
  pl_hook hook;
  const pl_slice *given;
  pl_slice **returned;
} errand;

_Static_assert(sizeof(errand) <= PL_TASK_OWN, "an errand lives in its task");

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)t, (void)n;
  const errand *e = user;
  e->done(e->generation, state, L, traceback);
}

static pl_task *start(pl_generation *g, const pl_task_type *type, const errand *e) {
  pl_task *t = pl_task_start(g->vm, type, NULL, NULL);
  if (t != NULL) *(errand *)pl_task_user(t) = *e;
  return t;
}

static int end_main(lua_State *L, int status, lua_KContext ctx) {
  (void)L;
  (void)status;
  (void)ctx;
  return 0;
}

// path, function or nil, why not
static int run_main(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  if (!lua_isnil(L, -2)) {
    lua_pop(L, 1);
    lua_callk(L, 0, 0, 0, end_main);
    return 0;
  }
  // Not all messages of the parser say where.
  const char *path = lua_tostring(L, -3), *why = lua_tostring(L, -1);
  if (why != NULL && strstr(why, path) == NULL) lua_pushfstring(L, "%s: %s", path, why);
  pl_task_untraced(L);
  return lua_error(L);
}

int pl_main_chunk(lua_State *L) {
  const pl_origin *s = lua_touserdata(L, 1);
  lua_pushstring(L, s->path);
  lua_pushcfunction(L, pl_compile);
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  lua_callk(L, 1, 2, 0, run_main);
  return run_main(L, LUA_OK, 0);
}

static int main_begin(lua_State *L, void *user) {
  const errand *e = user;
  const pl_origin *s = pl_origins_find(&e->generation->sources, "");
  if (s->text->len > 0 && s->text->data[0] == LUA_SIGNATURE[0])
    return luaL_error(L, "%s: bytecode is refused, a script is text", s->path);
  lua_pushcfunction(L, pl_main_chunk);
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  return 1;
}

static const pl_task_type main_type = {.name = "main", .begin = main_begin, .on_end = on_end};

pl_task *pl_generation_load(pl_generation *g, bool free_spawns, pl_generation_done *done) {
  pl_vm_hold_spawns(g->vm, !free_spawns);
  const errand e = {.generation = g, .done = done};
  return start(g, &main_type, &e);
}

static int hook_begin(lua_State *L, void *user) {
  const errand *e = user;
  lua_rawgeti(L, LUA_REGISTRYINDEX, e->generation->hooks[e->hook]);
  if (e->given == NULL) return 0;
  return pl_values_decode(L, PL_CODEC_MSGPACK, pl_bytes_of(e->given->data, e->given->len));
}

static void hook_return(lua_State *L, int n, void *user) {
  const errand *e = user;
  if (e->returned == NULL) return;
  pl_buf *scratch = pl_vm_scratch(e->generation->vm);
  size_t most = (size_t)pl_script_options(e->generation->script)->max_message;
  pl_values_encode(L, PL_CODEC_MSGPACK, lua_gettop(L) - n + 1, n, "value", most, scratch);
  *e->returned = pl_slice_copy(pl_buf_data(scratch), pl_buf_len(scratch));
  if (*e->returned == NULL) luaL_error(L, "no memory for what is handed over");
}

static const pl_task_type hook_type = {
    .name = "hook", .begin = hook_begin, .on_end = on_end, .on_return = hook_return};

pl_task *pl_generation_run_hook(pl_generation *g, pl_hook hook, const pl_slice *given,
                                pl_slice **returned, pl_generation_done *done) {
  const errand e = {g, done, hook, given, returned};
  return start(g, &hook_type, &e);
}

// Serving.

static void on_idle(void *user) {
  pl_generation *g = user;
  g->idle = true;
  pl_script_changed(g->script);
}

void pl_generation_go(pl_generation *g) {
  pl_vm_hold_spawns(g->vm, false);
  pl_vm_release_spawns(g->vm);
  g->idle = pl_task_count(g->vm) == 0;
  if (!g->idle) pl_vm_on_idle(g->vm, on_idle, g);
}

// Draining.

static const char over_text[] = "another generation of the script has taken over";

static void on_retired(void *user) {
  pl_script_generation_gone(user);
}

static void retire(pl_generation *g) {
  pl_timer_stop(&g->limit);
  pl_registrations_close(g);
  pl_vm_retire(g->vm, on_retired, g);
}

static void on_last_idle(void *user) {
  retire(user);
}

static void on_close_over(pl_timer *t) {
  pl_failure why = pl_failure_of(PL_TIMEOUT, PL_UNKNOWN, "mesh.on_close lasts too long");
  pl_vm_cancel_all(pl_container(t, pl_generation, limit)->vm, &why);
}

static void on_closed(pl_generation *g, pl_task_state state, lua_State *L, const char *traceback) {
  if (state != PL_TASK_DONE) pl_script_log_error(g->script, "mesh.on_close failed", L, traceback);
  pl_vm_on_idle(g->vm, on_last_idle, g);
}

// No task is left.
static void on_drained(void *user) {
  pl_generation *g = user;
  g->state = PL_GENERATION_CLOSING;
  pl_task *t = NULL;
  if (pl_generation_has_hook(g, PL_HOOK_CLOSE))
    t = pl_generation_run_hook(g, PL_HOOK_CLOSE, NULL, NULL, on_closed);
  if (t == NULL) {
    retire(g);
    return;
  }
  pl_task_drop(t);
  pl_loop *loop = pl_vm_loop(g->vm);
  pl_timer_start(&loop->clock, &g->limit, pl_vm_settings(g->vm)->cleanup_grace_us, on_close_over);
}

static void end_rest(pl_generation *g) {
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, over_text);
  pl_vm_cancel_all(g->vm, &why);
  pl_vm_on_idle(g->vm, on_drained, g);
}

static void on_drain_over(pl_timer *t) {
  pl_generation *g = pl_container(t, pl_generation, limit);
  pl_log_warn(pl_vm_loop(g->vm)->log, "a generation is cancelled, its calls last too long",
              pl_f_text("script", pl_script_path(g->script)), pl_f_int("generation", g->number),
              pl_f_int("tasks", (int64_t)pl_task_count(g->vm)));
  g->state = PL_GENERATION_CLOSING;  // what waits for a turn does not begin any more
  end_rest(g);
}

// Nothing is served any more; what calls have left behind goes with the last of them.
void pl_generation_actions_gone(pl_generation *g) {
  if (g->state == PL_GENERATION_DRAINING) end_rest(g);
}

void pl_generation_drain(pl_generation *g, uint64_t drain_us, void (*swept)(void *user),
                         void *user) {
  g->state = PL_GENERATION_DRAINING;
  pl_vm_on_idle(g->vm, NULL, NULL);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, over_text);
  pl_vm_sweep(g->vm, &why, swept, user);
  if (drain_us > 0) pl_timer_start(&pl_vm_loop(g->vm)->clock, &g->limit, drain_us, on_drain_over);
  if (pl_list_empty(&g->actions)) end_rest(g);
}

void pl_generation_discard(pl_generation *g) {
  g->state = PL_GENERATION_CLOSING;
  retire(g);
}
