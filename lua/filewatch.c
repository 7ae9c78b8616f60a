#include "lua/filewatch.h"

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/task.h"
#include "lua/vm.h"

#define WATCH_TYPE "perilune.Watcher"

typedef struct change {
  pl_list node;
  const char *kind;  // static
  char name[];       // empty: the watched file itself
} change;

typedef struct watcher {
  uv_fs_event_t handle;
  pl_loop *loop;
  pl_op op;         // of the task that waits
  bool waiting;     // and has not been woken
  unsigned refs;    // the script's, the handle's, and the waiting task's
  pl_list changes;  // of change, oldest first, at most PL_CHANGES_MAX and an overflow
  unsigned count;
  int error;
  bool closed;
} watcher;

static void drop(watcher *w) {
  if (--w->refs > 0) return;
  for (pl_list *n; (n = pl_list_pop(&w->changes)) != NULL;) {
    pl_free(pl_container(n, change, node));
  }
  pl_free(w);
}

static void wake(watcher *w) {
  if (!w->waiting) return;
  w->waiting = false;
  pl_op_wake(&w->op);
}

static bool is_last(const watcher *w, const char *kind, const char *name) {
  if (pl_list_empty(&w->changes)) return false;
  const change *last = pl_container(w->changes.prev, change, node);
  return last->kind == kind && strcmp(last->name, name) == 0;
}

// A change that repeats the newest one tells nothing new.
static void keep(watcher *w, const char *kind, const char *name) {
  static const char overflow[] = "overflow";
  if (w->count >= PL_CHANGES_MAX) {
    kind = overflow;
    name = "";
    w->loop->metrics.changes_lost++;
  }
  if (is_last(w, kind, name)) return;
  size_t size = strlen(name) + 1;
  change *c = pl_alloc(sizeof *c + size);
  c->kind = kind;
  memcpy(c->name, name, size);
  pl_list_push(&w->changes, &c->node);
  w->count++;
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status) {
  static const char changed[] = "change", renamed[] = "rename";
  watcher *w = pl_container(handle, watcher, handle);
  if (status < 0) w->error = status;
  if (name == NULL) name = "";
  if ((events & UV_RENAME) != 0) keep(w, renamed, name);
  if ((events & UV_CHANGE) != 0) keep(w, changed, name);
  wake(w);
}

static void on_closed(uv_handle_t *handle) {
  drop(pl_container((uv_fs_event_t *)handle, watcher, handle));
}

static void close_watcher(watcher *w) {
  w->closed = true;
  wake(w);
  uv_close((uv_handle_t *)&w->handle, on_closed);
  drop(w);
}

static int push_next(lua_State *L, watcher *w) {
  pl_list *node = pl_list_pop(&w->changes);
  if (node == NULL) return pl_raise_io(L, w->error, "watch", "files");
  w->count--;
  change *c = pl_container(node, change, node);
  // The name goes first through a buffer of the stack: nothing may be lost when memory is short.
  char name[PL_URL_MAX];
  strncpy(name, c->name, sizeof name - 1);
  name[sizeof name - 1] = '\0';
  const char *kind = c->kind;
  pl_free(c);
  if (name[0] != '\0') {
    lua_pushstring(L, name);
  } else {
    lua_pushnil(L);
  }
  lua_pushstring(L, kind);
  return 2;
}

static int finish(lua_State *L, pl_op *op) {
  watcher *w = pl_container(op, watcher, op);
  bool closed = w->closed;
  drop(w);  // unless it is closed the script's reference is still there
  return closed ? 0 : push_next(L, w);
}

static void cancel(pl_op *op) {
  watcher *w = pl_container(op, watcher, op);
  w->waiting = false;
  drop(w);
}

static const pl_op_type next_type = {.name = "fs.watch", .finish = finish, .cancel = cancel};

static int watcher_next(lua_State *L) {
  watcher **box = luaL_checkudata(L, 1, WATCH_TYPE);
  watcher *w = *box;
  if (w == NULL) return 0;
  if (!pl_list_empty(&w->changes) || w->error != 0) return push_next(L, w);
  if (w->waiting) {
    return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "watch: another task is waiting for it");
  }
  pl_op_check(L, &next_type);
  w->op.type = &next_type;
  w->waiting = true;
  w->refs++;
  return pl_op_wait(L, &w->op);
}

// Also __gc and __close.
static int watcher_close(lua_State *L) {
  watcher **box = luaL_checkudata(L, 1, WATCH_TYPE);
  watcher *w = *box;
  *box = NULL;
  if (w != NULL) close_watcher(w);
  return 0;
}

int pl_filewatch_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  pl_loop *loop = pl_vm_loop(pl_vm_of(L));
  if (loop->uv == NULL) {
    return pl_raise_code(L, PL_UNSUPPORTED, PL_NOT_EXECUTED, "fs.watch: not in virtual time");
  }
  watcher **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, WATCH_TYPE);
  watcher *w = pl_new(watcher);
  w->loop = loop;
  pl_list_init(&w->changes);
  int rc = uv_fs_event_init(loop->uv, &w->handle);
  if (rc != 0) {
    pl_free(w);
    return pl_raise_io(L, rc, "watch", path);
  }
  w->refs = 2;
  *box = w;
  rc = uv_fs_event_start(&w->handle, on_event, path, 0);
  if (rc == 0) return 1;
  *box = NULL;
  close_watcher(w);
  return pl_raise_io(L, rc, "watch", path);
}

static const luaL_Reg methods[] = {
    {"next", watcher_next},
    {"close", watcher_close},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", watcher_close},
    {"__close", watcher_close},
    {NULL, NULL},
};

void pl_filewatch_register(lua_State *L) {
  luaL_newmetatable(L, WATCH_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
