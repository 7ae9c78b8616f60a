// Links for specs. A world is a loop with its links; callbacks are Lua functions in tables, with
// the names of pl_link_ops without "on_". An error in one is kept and raised by what made it run.

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/mem.h"
#include "link/link.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_link.h"

void testing_open_link(lua_State *L);

#define WORLD "perilune.testing.LinkWorld"
#define LINK "perilune.testing.Link"
#define LISTENER "perilune.testing.Listener"

enum { KEPT_MAX = 1024 };

typedef struct world {
  pl_loop *loop;  // NULL once freed
  lua_State *L;
  int error;  // reference to the first error of a callback, or LUA_NOREF
  pl_timer step;
} world;

// Both boxes hold themselves in the registry until the object is gone.
typedef struct link_box {
  pl_link *link;  // NULL after on_close
  world *world;   // alive: user value 1
  int ops;        // reference to the table, or LUA_NOREF
  int self;
  pl_bytes kept[KEPT_MAX];
  unsigned kept_count;
} link_box;

typedef struct listener_box {
  pl_listener *listener;  // NULL once closed
  world *world;
  int ops;
  int self;
} listener_box;

static world *check_world(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  luaL_argcheck(L, w->loop != NULL, 1, "freed");
  return w;
}

static void raise_kept(lua_State *L, world *w) {
  if (w->error == LUA_NOREF) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->error);
  luaL_unref(L, LUA_REGISTRYINDEX, w->error);
  w->error = LUA_NOREF;
  lua_error(L);
}

// Pushes the callback and its first argument; false, with nothing pushed, when there is none.
static bool push_callback(world *w, int ops, const char *name, int self) {
  lua_State *L = w->L;
  luaL_checkstack(L, 10, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ops);
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
  }
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, self);
  return true;
}

// Calls what push_callback and further pushes prepared, and makes `step` return.
static bool finish_callback(world *w, int args, int results) {
  lua_State *L = w->L;
  if (w->loop->uv != NULL) pl_loop_stop(w->loop);
  if (lua_pcall(L, args, results, 0) == LUA_OK) return true;
  if (w->error == LUA_NOREF)
    w->error = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_pop(L, 1);
  return false;
}

static void on_open(pl_link *l, void *user) {
  (void)l;
  link_box *b = user;
  if (push_callback(b->world, b->ops, "open", b->self)) finish_callback(b->world, 1, 0);
}

// The Lua function returns how many bytes it used (nil: all), and whether to keep a view of them.
static size_t on_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l;
  link_box *b = user;
  lua_State *L = b->world->L;
  if (!push_callback(b->world, b->ops, "bytes", b->self)) return bytes.len;
  lua_pushlstring(L, (const char *)bytes.data, bytes.len);
  if (!finish_callback(b->world, 2, 2)) return bytes.len;
  size_t used = (size_t)luaL_optinteger(L, -2, (lua_Integer)bytes.len);
  pl_bytes view = {bytes.data, used, bytes.owner};
  if (lua_toboolean(L, -1) && b->kept_count < KEPT_MAX &&
      pl_bytes_keep(&b->kept[b->kept_count], view))
    b->kept_count++;
  lua_pop(L, 2);
  return used;
}

static void on_drained(pl_link *l, void *user) {
  (void)l;
  link_box *b = user;
  if (push_callback(b->world, b->ops, "drained", b->self)) finish_callback(b->world, 1, 0);
}

static void on_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l;
  link_box *b = user;
  if (push_callback(b->world, b->ops, "close", b->self)) {
    lua_pushstring(b->world->L, why == PL_OK ? "OK" : pl_err_name(why));
    lua_pushstring(b->world->L, detail);
    finish_callback(b->world, 3, 0);
  }
  b->link = NULL;
  luaL_unref(b->world->L, LUA_REGISTRYINDEX, b->ops);
  luaL_unref(b->world->L, LUA_REGISTRYINDEX, b->self);
  b->ops = b->self = LUA_NOREF;
}

static const pl_link_ops link_ops = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_close = on_close,
};

// A box without a link yet, held by its own reference.  [-0, +1]
static link_box *push_link_box(lua_State *L, int world_index) {
  world *w = lua_touserdata(L, world_index);
  lua_pushvalue(L, world_index);
  link_box *b = lua_newuserdatauv(L, sizeof *b, 1);
  memset(b, 0, sizeof *b);
  b->world = w;
  b->ops = LUA_NOREF;
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, LINK);
  lua_pushvalue(L, -1);
  b->self = luaL_ref(L, LUA_REGISTRYINDEX);
  return b;
}

static void set_ops(lua_State *L, int *ops, int index) {
  luaL_unref(L, LUA_REGISTRYINDEX, *ops);
  lua_pushvalue(L, index);
  *ops = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void abandon(lua_State *L, link_box *b) {
  luaL_unref(L, LUA_REGISTRYINDEX, b->ops);
  luaL_unref(L, LUA_REGISTRYINDEX, b->self);
  b->ops = b->self = LUA_NOREF;
}

static int push_err(lua_State *L, pl_err err, const char *detail) {
  lua_pushnil(L);
  lua_pushstring(L, pl_err_name(err));
  lua_pushstring(L, detail);
  return 3;
}

// The address of an argument; raises when it does not parse.
static pl_url check_url(lua_State *L, int arg) {
  pl_url url;
  const char *why;
  if (pl_url_parse(&url, luaL_checkstring(L, arg), &why) != PL_OK) luaL_argerror(L, arg, why);
  return url;
}

// world:dial(url, ops) -> link, or nil and the code
static int world_dial(lua_State *L) {
  world *w = check_world(L);
  pl_url url = check_url(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  link_box *b = push_link_box(L, 1);
  set_ops(L, &b->ops, 3);
  pl_err err = pl_link_dial(&b->link, w->loop, &url, &link_ops, b);
  if (err == PL_OK) return 1;
  abandon(L, b);
  return push_err(L, err, "");
}

// world:pair() -> link, link
static int world_pair(lua_State *L) {
  world *w = check_world(L);
  link_box *a = push_link_box(L, 1);
  link_box *b = push_link_box(L, 1);
  pl_link_pair(&a->link, &b->link, w->loop);
  return 2;
}

// The new link is the second argument of `accept`. Without `accept`, it is aborted.
static void on_accept(pl_listener *s, pl_link *l, void *user) {
  (void)s;
  listener_box *box = user;
  world *w = box->world;
  if (!push_callback(w, box->ops, "accept", box->self)) {
    pl_link_abort(l, PL_OK, "");
    return;
  }
  lua_getiuservalue(w->L, -1, 1);
  link_box *b = push_link_box(w->L, lua_gettop(w->L));
  b->link = l;
  lua_remove(w->L, -2);
  finish_callback(w, 2, 0);
}

static void on_error(pl_listener *s, pl_err why, const char *detail, void *user) {
  (void)s;
  listener_box *box = user;
  if (!push_callback(box->world, box->ops, "error", box->self)) return;
  lua_pushstring(box->world->L, pl_err_name(why));
  lua_pushstring(box->world->L, detail);
  finish_callback(box->world, 3, 0);
}

static const pl_listener_ops listener_ops = {.on_accept = on_accept, .on_error = on_error};

// world:listen(url, ops) -> listener, or nil, code, detail
static int world_listen(lua_State *L) {
  world *w = check_world(L);
  pl_url url = check_url(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  listener_box *b = lua_newuserdatauv(L, sizeof *b, 1);
  *b = (listener_box){.world = w, .ops = LUA_NOREF, .self = LUA_NOREF};
  luaL_setmetatable(L, LISTENER);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  char detail[PL_URL_MAX];
  pl_err err = pl_listener_open(&b->listener, w->loop, &url, &listener_ops, b, detail);
  if (err != PL_OK) return push_err(L, err, detail);
  set_ops(L, &b->ops, 3);
  set_ops(L, &b->self, lua_gettop(L));
  return 1;
}

static void on_step(pl_timer *t) {
  pl_loop_stop(pl_container(t, world, step)->loop);
}

// world:step(seconds): runs until a callback was called, at most so long. In virtual time it
// advances by so much.
static int world_step(lua_State *L) {
  world *w = check_world(L);
  uint64_t us = (uint64_t)(luaL_checknumber(L, 2) * 1e6);
  if (w->loop->uv == NULL) {
    pl_loop_advance(w->loop, us);
  } else {
    pl_timer_start(&w->loop->clock, &w->step, us, on_step);
    pl_loop_run(w->loop);
    pl_timer_stop(&w->step);
  }
  raise_kept(L, w);
  return 0;
}

static int world_metrics(lua_State *L) {
  world *w = check_world(L);
  testing_push_metrics(L, &w->loop->metrics);
  return 1;
}

// Fails an assertion when links or listeners are left.
static int world_free(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  if (w->loop != NULL) pl_loop_free(w->loop);
  w->loop = NULL;
  return 0;
}

static const luaL_Reg world_methods[] = {
    {"dial", world_dial}, {"pair", world_pair},       {"listen", world_listen},
    {"step", world_step}, {"metrics", world_metrics}, {"free", world_free},
    {NULL, NULL},
};

// link.world(), link.world 'virtual'
static int new_world(lua_State *L) {
  bool is_virtual = lua_toboolean(L, 1);
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  w->error = LUA_NOREF;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  w->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  w->loop = is_virtual ? pl_loop_new_virtual(pl_log_new(), 1) : pl_loop_new(pl_log_new());
  luaL_setmetatable(L, WORLD);
  return 1;
}

static link_box *check_link(lua_State *L) {
  link_box *b = luaL_checkudata(L, 1, LINK);
  luaL_argcheck(L, b->link != NULL, 1, "closed");
  return b;
}

static int link_start(lua_State *L) {
  link_box *b = check_link(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  set_ops(L, &b->ops, 2);
  pl_link_start(b->link, &link_ops, b);
  lua_settop(L, 1);
  return 1;
}

// link:pause(): in `bytes`, for what it does not use
static int link_pause(lua_State *L) {
  pl_link_pause(check_link(L)->link);
  return 0;
}

// link:write(text [, owned]): a borrowed view, or one of a slice
static int link_write(lua_State *L) {
  link_box *b = check_link(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  pl_bytes view = pl_bytes_of(text, len);
  if (lua_toboolean(L, 3)) {
    view.owner = pl_slice_copy(text, len);
    view.data = view.owner->data;
  }
  lua_pushboolean(L, pl_link_append(b->link, view));
  pl_slice_drop(view.owner);
  return 1;
}

// link:put(text [, reserve]): through reserve and commit
static int link_put(lua_State *L) {
  link_box *b = check_link(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  size_t room = (size_t)luaL_optinteger(L, 3, (lua_Integer)len);
  luaL_argcheck(L, len <= room && room <= PL_WRITE_BATCH, 3, "out of range");
  memcpy(pl_link_reserve(b->link, room), text, len);
  pl_link_commit(b->link, len);
  return 0;
}

// link:amend(text): overwrites as many last bytes; false when they are gone
static int link_amend(lua_State *L) {
  link_box *b = check_link(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  uint8_t *at = pl_link_recent(b->link, len);
  if (at != NULL) memcpy(at, text, len);
  lua_pushboolean(L, at != NULL);
  return 1;
}

static int link_backlog(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_link_backlog(check_link(L)->link));
  return 1;
}

static int link_close(lua_State *L) {
  pl_link_close(check_link(L)->link);
  return 0;
}

// link:abort([code [, detail]])
static int link_abort(lua_State *L) {
  link_box *b = check_link(L);
  const char *name = luaL_optstring(L, 2, NULL);
  pl_link_abort(b->link, name != NULL ? pl_err_find(name) : PL_OK, luaL_optstring(L, 3, ""));
  if (b->ops == LUA_NOREF) {  // was never started: there will be no on_close
    b->link = NULL;
    abandon(L, b);
  }
  return 0;
}

static int link_info(lua_State *L) {
  pl_link *l = check_link(L)->link;
  lua_newtable(L);
  lua_pushstring(L, pl_link_remote(l));
  lua_setfield(L, -2, "remote");
  lua_pushstring(L, pl_link_scheme(l));
  lua_setfield(L, -2, "scheme");
  lua_pushboolean(L, pl_link_is_local(l));
  lua_setfield(L, -2, "is_local");
  lua_pushinteger(L, pl_link_peer_uid(l));
  lua_setfield(L, -2, "peer_uid");
  return 1;
}

// What views were kept of, and lets go of it.
static int link_kept(lua_State *L) {
  link_box *b = luaL_checkudata(L, 1, LINK);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (unsigned i = 0; i < b->kept_count; i++) {
    luaL_addlstring(&out, (const char *)b->kept[i].data, b->kept[i].len);
    pl_bytes_drop(&b->kept[i]);
  }
  b->kept_count = 0;
  luaL_pushresult(&out);
  return 1;
}

static int link_is_open(lua_State *L) {
  link_box *b = luaL_checkudata(L, 1, LINK);
  lua_pushboolean(L, b->link != NULL);
  return 1;
}

static int link_gc(lua_State *L) {
  link_box *b = luaL_checkudata(L, 1, LINK);
  for (unsigned i = 0; i < b->kept_count; i++)
    pl_bytes_drop(&b->kept[i]);
  b->kept_count = 0;
  return 0;
}

static const luaL_Reg link_methods[] = {
    {"start", link_start}, {"pause", link_pause},     {"write", link_write},
    {"put", link_put},     {"amend", link_amend},     {"backlog", link_backlog},
    {"close", link_close}, {"abort", link_abort},     {"info", link_info},
    {"kept", link_kept},   {"is_open", link_is_open}, {NULL, NULL},
};

static listener_box *check_listener(lua_State *L) {
  listener_box *b = luaL_checkudata(L, 1, LISTENER);
  luaL_argcheck(L, b->listener != NULL, 1, "closed");
  return b;
}

static int listener_url(lua_State *L) {
  char text[PL_URL_MAX];
  pl_url_format(pl_listener_url(check_listener(L)->listener), text);
  lua_pushstring(L, text);
  return 1;
}

static int listener_close(lua_State *L) {
  listener_box *b = check_listener(L);
  pl_listener_close(b->listener);
  b->listener = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, b->ops);
  luaL_unref(L, LUA_REGISTRYINDEX, b->self);
  return 0;
}

static const luaL_Reg listener_methods[] = {
    {"url", listener_url},
    {"close", listener_close},
    {NULL, NULL},
};

void testing_open_link(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"world", new_world}, {"parse", testing_parse_url}, {NULL, NULL}};
  testing_new_class(L, WORLD, world_methods, world_free);
  testing_new_class(L, LINK, link_methods, link_gc);
  testing_new_class(L, LISTENER, listener_methods, NULL);
  luaL_newlib(L, functions);
  testing_add_sockets(L);
  testing_add_outq(L);
}
