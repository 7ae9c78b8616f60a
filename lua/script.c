#include "lua/script.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/hint.h"
#include "lua/task.h"
#include "lua/value.h"
#include "lua/watch.h"

struct pl_script {
  pl_list node;
  pl_host *host;
  pl_loop *loop;
  char *path;
  char *directory;
  pl_slice *given;  // the text, where it is no file; or NULL
  pl_texts args;
  pl_script_state state;
  bool command;         // one of the program's own
  pl_list generations;  // of pl_generation, oldest first
  pl_generation *current;
  pl_reload *reload;       // NULL while it is freed
  pl_script_watch *watch;  // or NULL
};

pl_list *pl_script_node(pl_script *s) {
  return &s->node;
}

pl_script *pl_script_from(pl_list *node) {
  return pl_container(node, pl_script, node);
}

pl_script_state pl_script_status(const pl_script *s) {
  return s->state;
}

bool pl_script_is_command(const pl_script *s) {
  return s->command;
}

pl_host *pl_script_host(const pl_script *s) {
  return s->host;
}

pl_loop *pl_script_loop(const pl_script *s) {
  return s->loop;
}

const char *pl_script_path(const pl_script *s) {
  return s->path;
}

const pl_texts *pl_script_arguments(const pl_script *s) {
  return &s->args;
}

const pl_options *pl_script_options(const pl_script *s) {
  return pl_host_settings(s->host);
}

pl_reload *pl_script_reload(const pl_script *s) {
  return s->reload;
}

pl_generation *pl_script_current(const pl_script *s) {
  return s->current;
}

pl_vm *pl_script_vm(const pl_script *s) {
  return s->current->vm;
}

size_t pl_script_generations(const pl_script *s) {
  size_t n = 0;
  for (pl_list *at = s->generations.next; at != &s->generations; at = at->next)
    n++;
  return n;
}

bool pl_script_is_alive(const pl_script *s) {
  return s->current->keeps || !s->current->idle || !pl_reload_is_idle(s->reload);
}

pl_script *pl_script_of(lua_State *L) {
  const pl_generation *g = pl_generation_of(L);
  return g == NULL ? NULL : g->script;
}

// Generations.

pl_vm_options pl_script_vm_options(const pl_script *s) {
  const pl_options *o = pl_script_options(s);
  pl_vm_options options = {
      .loop = s->loop,
      .name = s->path,
      .directory = s->command ? NULL : s->directory,
      .memory_limit = (size_t)o->memory_limit,
      .cpu_limit_us = (uint64_t)(o->cpu_limit * 1e6),
      .cleanup_grace_us = (uint64_t)(o->cleanup_grace * 1e6),
  };
  if (!s->command) options.sandboxed = pl_options_sandbox(o, &options.allowed);
  return options;
}

pl_err pl_script_read(const pl_script *s, pl_origin *out, char *detail) {
  if (s->given == NULL) return pl_origin_read(out, "", s->path, detail);
  return pl_origin_of(out, "", s->path, pl_bytes_of(s->given->data, s->given->len));
}

void pl_script_add(pl_script *s, pl_generation *g) {
  pl_list_push(&s->generations, &g->node);
  pl_host_made_vm(s->host, g->vm);
}

void pl_script_put(pl_script *s, pl_generation *g) {
  g->state = PL_GENERATION_SERVING;
  s->current = g;
}

void pl_script_generation_gone(pl_generation *g) {
  pl_script *s = g->script;
  pl_generation_free(g);
  pl_mem_trim();
  pl_reload_go_on(s->reload);
}

void pl_script_changed(pl_script *s) {
  pl_host_script_changed(s->host);
}

// Making.

static char *directory_of(const char *path) {
  char *dir = pl_strdup(path);
  char *slash = strrchr(dir, '/');
  if (slash != NULL) {
    slash[slash == dir ? 1 : 0] = '\0';
    return dir;
  }
  pl_free(dir);
  return pl_strdup(".");
}

pl_err pl_script_set_text(pl_script *s, pl_bytes source) {
  pl_slice *text = pl_slice_copy(source.data, source.len);
  if (text == NULL) return PL_NO_MEMORY;
  pl_slice_drop(s->given);
  s->given = text;
  return PL_OK;
}

pl_err pl_script_new(pl_script **out, pl_host *h, pl_loop *loop, const char *path, pl_bytes source,
                     const char *const *args, size_t count, bool command, char *detail) {
  pl_script *s = pl_new(pl_script);
  pl_list_init(&s->node);
  pl_list_init(&s->generations);
  s->host = h;
  s->loop = loop;
  s->path = pl_strdup(path);
  s->directory = directory_of(s->path);
  s->command = command;
  for (size_t i = 0; i < count; i++)
    pl_texts_add(&s->args, args[i]);
  pl_err err = source.data == NULL ? PL_OK : pl_script_set_text(s, source);
  if (err == PL_OK) err = pl_generation_new(&s->current, s, 1, NULL, detail);
  if (err != PL_OK) {
    pl_script_free(s);
    return err;
  }
  s->reload = pl_reload_new(s);
  pl_script_add(s, s->current);
  *out = s;
  return PL_OK;
}

void pl_script_watch_files(pl_script *s) {
  s->watch = pl_script_watch_new(s);
}

void pl_script_set_limits(pl_script *s, const pl_options *o) {
  for (pl_list *at = s->generations.next; at != &s->generations; at = at->next)
    pl_generation_set_limits(pl_container(at, pl_generation, node), o);
}

void pl_script_free(pl_script *s) {
  pl_list_remove(&s->node);
  if (s->watch != NULL) pl_script_watch_free(s->watch);
  pl_reload *reload = s->reload;
  s->reload = NULL;  // nothing more comes of it
  if (reload != NULL) pl_reload_free(reload);
  while (!pl_list_empty(&s->generations))
    pl_generation_free(pl_container(s->generations.next, pl_generation, node));
  pl_slice_drop(s->given);
  pl_texts_free(&s->args);
  pl_free(s->path);
  pl_free(s->directory);
  pl_free(s);
}

// Errors.

// Prints the field of the error at index 1 that is a text. [-0, +0]
static void print_text(lua_State *L, const char *field) {
  lua_getfield(L, 1, field);
  if (lua_isstring(L, -1)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
}

static void print_details(lua_State *L) {
  lua_pushliteral(L, "details");
  lua_rawget(L, 1);
  if (!lua_isnil(L, -1)) {
    pl_buf *json = pl_vm_scratch(pl_vm_of(L));
    pl_value_encode(L, PL_CODEC_JSON, -1, "details", PL_FRAGMENT_MAX, json);
    fprintf(stderr, "  details: %.*s\n", (int)pl_buf_len(json), (const char *)pl_buf_data(json));
  }
  lua_pop(L, 1);
}

// A slip has its hint in the traceback. The message is at the top. [-0, +0]
static void print_hint(lua_State *L, const char *traceback) {
  static const char plain[] = "stack traceback:";
  bool has = traceback != NULL && traceback[0] != '\0';
  if (has && strncmp(traceback, plain, sizeof plain - 1) != 0) return;
  pl_hint_push(L, 1, lua_tostring(L, -1), traceback, NULL);
  if (lua_isstring(L, -1)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
}

// An error as it is shown to a person: CODE: message, the line of the script and a hint, details,
// the traceback of where it arose, then that of where it came up here.
static int describe(lua_State *L) {
  const char *traceback = lua_touserdata(L, 2);
  fprintf(stderr, "%s\n", pl_error_push_shown(L, 1));
  print_hint(L, traceback);
  if (lua_istable(L, 1)) print_details(L);
  if (pl_error_is(L, 1)) print_text(L, "traceback");
  if (traceback != NULL && traceback[0] != '\0') fprintf(stderr, "%s\n", traceback);
  return 0;
}

static void print_error(lua_State *L, const char *traceback) {
  lua_pushcfunction(L, describe);
  lua_pushvalue(L, -2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)traceback);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    fprintf(stderr, "error in the error: %s\n",
            lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no text)");
    lua_pop(L, 1);
  }
}

void pl_script_log_error(const pl_script *s, const char *text, lua_State *L,
                         const char *traceback) {
  pl_failure f = pl_error_take(L, NULL, traceback);
  pl_log_error(s->loop->log, text, pl_f_text("script", s->path),
               pl_f_bytes("error", (const char *)f.message.data, f.message.len),
               pl_f_bytes("traceback", (const char *)f.traceback.data, f.traceback.len));
  pl_failure_drop(&f);
}

// The first generation.

static int start_node(lua_State *L) {
  pl_host_start(L);
  return 0;
}

// With an address to listen on the node runs even if the script never mentioned the mesh.
static bool start_listening(const pl_script *s, lua_State *L) {
  pl_node *n = pl_host_node(s->host);
  if ((n != NULL && pl_node_started(n)) || !pl_host_listens(s->host)) return true;
  lua_pushcfunction(L, start_node);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return true;
  print_error(L, NULL);
  return false;
}

static void on_loaded(pl_generation *g, pl_task_state state, lua_State *L, const char *traceback) {
  pl_script *s = g->script;
  if (state == PL_TASK_DONE && start_listening(s, L)) {
    s->state = PL_SCRIPT_LOADED;
    pl_script_put(s, g);
    pl_generation_go(g);
    if (s->reload != NULL) pl_reload_go_on(s->reload);
  } else {
    s->state = PL_SCRIPT_FAILED;
    // Why a node could not start is no business of the line that first needed it.
    bool started = pl_host_node(s->host) == NULL || pl_node_started(pl_host_node(s->host));
    if (state == PL_TASK_FAILED) print_error(L, started ? traceback : NULL);
  }
  pl_script_changed(s);
}

void pl_script_start(pl_script *s) {
  pl_task *t = pl_generation_load(s->current, s->command, on_loaded);
  if (t == NULL) {
    s->state = PL_SCRIPT_FAILED;
    pl_script_changed(s);
    return;
  }
  pl_task_drop(t);
}
