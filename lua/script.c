#include "lua/script.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/value.h"

enum { SOURCE_MAX = 16 * 1024 * 1024 };  // of a script file

struct pl_script {
  pl_list node;
  pl_host *host;
  pl_vm *vm;
  char *path;
  char *directory;
  pl_slice *source;
  pl_script_state state;
  bool keeps;    // has registered something that keeps the process alive
  bool command;  // one of the program's own
  bool idle;
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

const char *pl_script_path(const pl_script *s) {
  return s->path;
}

pl_host *pl_script_host(const pl_script *s) {
  return s->host;
}

pl_vm *pl_script_vm(const pl_script *s) {
  return s->vm;
}

bool pl_script_is_alive(const pl_script *s) {
  return s->keeps || !s->idle;
}

pl_script *pl_script_of(lua_State *L) {
  return pl_vm_host(pl_vm_of(L));
}

void pl_script_keeps(pl_script *s) {
  s->keeps = true;
}

// Reading.

static pl_err read_source(pl_slice **out, const char *path, char *detail) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    snprintf(detail, PL_URL_MAX, "cannot open %.300s: %s", path, strerror(errno));
    return PL_INVALID;
  }
  pl_buf text = {0};
  size_t n = 1;
  while (n > 0 && pl_buf_len(&text) <= SOURCE_MAX) {
    uint8_t *room = pl_buf_reserve(&text, 65536);
    n = room == NULL ? 0 : fread(room, 1, 65536, f);
    pl_buf_commit(&text, n);
  }
  const char *wrong = ferror(f)                        ? strerror(errno)
                      : pl_buf_len(&text) > SOURCE_MAX ? "larger than 16 MiB"
                                                       : NULL;
  fclose(f);
  if (wrong != NULL) {
    snprintf(detail, PL_URL_MAX, "cannot read %.300s: %s", path, wrong);
    pl_buf_fini(&text);
    return PL_INVALID;
  }
  if (pl_buf_len(&text) == 0) pl_buf_append(&text, "\n", 1);
  *out = pl_buf_take(&text).owner;
  return PL_OK;
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

typedef struct setup {
  const pl_script *script;
  const char *const *args;
  size_t count;
} setup;

// The global `arg`, with the script at 0 and its arguments from 1; and an os.exit that drains.
static int set_globals(lua_State *L) {
  const setup *s = lua_touserdata(L, 1);
  lua_createtable(L, (int)s->count, 1);
  lua_pushstring(L, s->script->path);
  lua_rawseti(L, -2, 0);
  for (size_t i = 0; i < s->count; i++) {
    lua_pushstring(L, s->args[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setglobal(L, "arg");
  lua_getglobal(L, "os");
  lua_pushcfunction(L, pl_os_exit);
  lua_setfield(L, -2, "exit");
  return 0;
}

static bool prepare(pl_script *s, const char *const *args, size_t count) {
  lua_State *L = pl_vm_state(s->vm);
  setup set = {.script = s, .args = args, .count = count};
  lua_pushcfunction(L, set_globals);
  lua_pushlightuserdata(L, &set);
  bool ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
  if (!ok) lua_pop(L, 1);
  return ok;
}

pl_err pl_script_new(pl_script **out, pl_host *h, pl_loop *loop, const pl_options *o,
                     const char *path, pl_bytes source, const char *const *args, size_t count,
                     bool command, char *detail) {
  pl_slice *text = NULL;
  pl_err err = PL_OK;
  if (source.data != NULL) {
    text = pl_slice_copy(source.data, source.len);
    if (text == NULL) err = PL_NO_MEMORY;
  } else {
    err = read_source(&text, path, detail);
  }
  if (err != PL_OK) return err;

  pl_script *s = pl_new(pl_script);
  pl_list_init(&s->node);
  s->host = h;
  s->path = pl_strdup(path);
  s->source = text;
  s->command = command;
  s->directory = directory_of(s->path);
  pl_vm_options options = {
      .loop = loop,
      .name = s->path,
      .directory = command ? NULL : s->directory,
      .memory_limit = (size_t)o->memory_limit,
      .cpu_limit_us = (uint64_t)(o->cpu_limit * 1e6),
      .cleanup_grace_us = (uint64_t)(o->cleanup_grace * 1e6),
  };
  if (!command) options.sandboxed = pl_options_sandbox(o, &options.allowed);
  s->vm = pl_vm_new(&options);
  if (s->vm == NULL || !prepare(s, args, count)) {
    snprintf(detail, PL_URL_MAX, "no memory for the script");
    pl_script_free(s);
    return PL_NO_MEMORY;
  }
  pl_vm_set_host(s->vm, s);
  *out = s;
  return PL_OK;
}

void pl_script_set_limits(pl_script *s, const pl_options *o) {
  pl_vm_set_limits(s->vm, (size_t)o->memory_limit, (uint64_t)(o->cpu_limit * 1e6),
                   (uint64_t)(o->cleanup_grace * 1e6));
}

void pl_script_free(pl_script *s) {
  pl_list_remove(&s->node);
  if (s->vm != NULL) pl_vm_free(s->vm);
  pl_slice_drop(s->source);
  pl_free(s->path);
  pl_free(s->directory);
  pl_free(s);
}

// Running.

static void on_idle(void *user) {
  pl_script *s = user;
  s->idle = true;
  pl_host_script_changed(s->host);
}

static int main_begin(lua_State *L, void *user) {
  pl_script *s = user;
  lua_pushfstring(L, "@%s", s->path);
  // A file may begin with "#!…", as with the plain interpreter.
  const char *text = (const char *)s->source->data;
  size_t len = s->source->len;
  if (len > 0 && text[0] == '#') {
    const char *newline = memchr(text, '\n', len);
    size_t skip = newline == NULL ? len : (size_t)(newline - text);
    text += skip;
    len -= skip;
  }
  if (len > 0 && text[0] == LUA_SIGNATURE[0])
    return luaL_error(L, "%s: bytecode is refused, a script is text", s->path);
  int status = luaL_loadbufferx(L, text, len, lua_tostring(L, -1), "t");
  if (status != LUA_OK) {
    // Not all messages of the parser say where.
    const char *why = lua_tostring(L, -1);
    if (why != NULL && strstr(why, s->path) == NULL) lua_pushfstring(L, "%s: %s", s->path, why);
    lua_error(L);
  }
  lua_remove(L, -2);
  return 0;
}

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

// An error as it is shown to a person: CODE: message, details, the traceback of where it arose,
// then that of where it came up here.
static int describe(lua_State *L) {
  const char *traceback = lua_touserdata(L, 2);
  fprintf(stderr, "%s\n", pl_error_push_shown(L, 1));
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

static int start_node(lua_State *L) {
  pl_host_start(L);
  return 0;
}

// With an address to listen on the node runs even if the script never mentioned the mesh.
static bool start_listening(pl_script *s, lua_State *L) {
  pl_node *n = pl_host_node(s->host);
  if ((n != NULL && pl_node_started(n)) || !pl_host_listens(s->host)) return true;
  lua_pushcfunction(L, start_node);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return true;
  print_error(L, NULL);
  return false;
}

static void main_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                     void *user) {
  (void)t, (void)n;
  pl_script *s = user;
  if (state == PL_TASK_DONE && start_listening(s, L)) {
    s->state = PL_SCRIPT_LOADED;
    pl_vm_hold_spawns(s->vm, false);
    s->idle = pl_task_count(s->vm) == 0;
    if (!s->idle) pl_vm_on_idle(s->vm, on_idle, s);
  } else {
    s->state = PL_SCRIPT_FAILED;
    // Why a node could not start is no business of the line that first needed it.
    bool started = pl_host_node(s->host) == NULL || pl_node_started(pl_host_node(s->host));
    if (state == PL_TASK_FAILED) print_error(L, started ? traceback : NULL);
  }
  pl_host_script_changed(s->host);
}

static const pl_task_type main_type = {.name = "main", .begin = main_begin, .on_end = main_end};

void pl_script_start(pl_script *s) {
  pl_vm_hold_spawns(s->vm, !s->command);
  pl_task *t = pl_task_start(s->vm, &main_type, s, NULL);
  if (t == NULL) {
    s->state = PL_SCRIPT_FAILED;
    pl_host_script_changed(s->host);
    return;
  }
  pl_task_drop(t);
}
