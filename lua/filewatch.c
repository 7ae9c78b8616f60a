#include "lua/filewatch.h"

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/feed.h"
#include "lua/vm.h"

#define WATCH_TYPE "perilune.Watcher"

typedef struct change {
  pl_list node;
  const char *kind;  // static
  char name[];       // empty: the watched file itself
} change;

typedef struct watcher {
  pl_feed feed;  // held by the handle, too
  uv_fs_event_t handle;
  pl_loop *loop;
  pl_list changes;  // of change, oldest first, at most PL_CHANGES_MAX and an overflow
  unsigned count;
  int error;
} watcher;

static watcher *watcher_of(pl_feed *f) {
  return pl_container(f, watcher, feed);
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
  pl_feed_wake(&w->feed);
}

static void on_closed(uv_handle_t *handle) {
  pl_feed_drop(&pl_container((uv_fs_event_t *)handle, watcher, handle)->feed);
}

static void close_watcher(watcher *w) {
  uv_close((uv_handle_t *)&w->handle, on_closed);
  pl_feed_close(&w->feed);
}

static bool has_change(pl_feed *f) {
  const watcher *w = watcher_of(f);
  return w->count > 0 || w->error != 0;
}

static int push_change(lua_State *L, pl_feed *f) {
  watcher *w = watcher_of(f);
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

static void free_watcher(pl_feed *f) {
  watcher *w = watcher_of(f);
  for (pl_list *n; (n = pl_list_pop(&w->changes)) != NULL;)
    pl_free(pl_container(n, change, node));
  pl_free(w);
}

static const pl_feed_type watch_type = {
    .op = PL_FEED("fs.watch"), .has = has_change, .push = push_change, .free = free_watcher};

static int watcher_next(lua_State *L) {
  watcher *w = *(watcher **)luaL_checkudata(L, 1, WATCH_TYPE);
  return w != NULL ? pl_feed_next(L, &w->feed) : 0;
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
  pl_feed_init(&w->feed, &watch_type);
  w->loop = loop;
  pl_list_init(&w->changes);
  int rc = uv_fs_event_init(loop->uv, &w->handle);
  if (rc != 0) {
    pl_free(w);
    return pl_raise_io(L, rc, "watch", path);
  }
  pl_feed_hold(&w->feed);
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
