// The Lua module of a program that is no node: `local perilune = require 'perilune'` in plain
// Lua 5.4. It is built on its own (perilune.so), and finds the functions of Lua in whoever loads
// it.

#include <lauxlib.h>
#include <stdio.h>

#include "lua/client/ask.h"
#include "lua/client/settings.h"
#include "lua/client/stream.h"
#include "lua/error.h"
#include "lua/modules.h"

#define BOX "perilune.Client"
#define HANDLE "perilune client"

// A client. What a program has of it is a table of functions, which share the box.

// Also __gc: NULL when it was never opened.
static int box_free(lua_State *L) {
  pl_client **box = lua_touserdata(L, 1);
  if (*box == NULL) return 0;
  pl_asks_end(*box);
  pl_client_free(*box);
  *box = NULL;
  return 0;
}

static void close_client(pl_client *c) {
  if (c == NULL) return;
  pl_asks_end(c);
  pl_client_close(c);
}

// close(): what is under way ends. Again is fine.
static int l_close(lua_State *L) {
  close_client(*(pl_client **)lua_touserdata(L, lua_upvalueindex(1)));
  return 0;
}

// Calls.

static int l_call(lua_State *L) {
  pl_ask *a = pl_ask_push(L, PL_ASK, false);
  pl_ask_open(L, a);
  while (!pl_call_ended(a->call)) {
    a->woken = false;
    pl_ask_wait(L, a);
  }
  pl_ask_settle(a);
  pl_client_drop(a->client);
  if (a->failed) pl_ask_raise(L, a);
  return pl_ask_decode(L, a);
}

// The functions of a table at the top that ask, with the client and the wants at these indices.
static void set_functions(lua_State *L, int box, int wants) {
  static const luaL_Reg functions[] = {{"call", l_call}, {"stream", pl_ask_stream}, {NULL, NULL}};
  lua_pushvalue(L, box);
  lua_pushvalue(L, wants);
  luaL_setfuncs(L, functions, 2);
}

// with(options) -> the same functions with these options
static int l_with(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pl_ask_client(L);
  pl_wants_push(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_createtable(L, 0, 2);
  set_functions(L, 3, 2);
  return 1;
}

// Connecting.

typedef struct reasons {
  char text[PL_ERROR_TEXT_MAX];
  size_t used;
  bool unauthorized;
} reasons;

static void add_reason(const pl_contact_info *i, void *user) {
  reasons *r = user;
  if (i->err == PL_UNAUTHORIZED) r->unauthorized = true;
  if (i->err == PL_OK || (i->found && i->err != PL_UNAUTHORIZED) || r->used >= sizeof r->text)
    return;
  int n = snprintf(r->text + r->used, sizeof r->text - r->used, "%s%s: %s", r->used > 0 ? "; " : "",
                   i->url, i->why[0] != '\0' ? i->why : pl_err_text(i->err));
  r->used += n > 0 ? (size_t)n : 0;
}

// Nobody is there: why. The client is held.
static pl_failure unreached(pl_client *c, reasons *r) {
  const pl_options *o = pl_node_options(c->node);
  pl_node_each_contact(c->node, add_reason, r);
  if (r->used == 0)
    snprintf(r->text, sizeof r->text, "no node runs in the local mesh '%.64s' of this user",
             o->mesh != NULL ? o->mesh : "default");
  return pl_failure_of(r->unauthorized ? PL_UNAUTHORIZED : PL_CONNECT_FAILED, PL_NOT_SENT, r->text);
}

static bool has_joined(void *user) {
  return ((pl_client *)user)->joined;
}

// Raises if nobody of the mesh is reached.
static void join(lua_State *L, pl_client *c) {
  pl_client_hold(c);
  if (!pl_turn_until(L, c, has_joined, c, PL_NEVER)) {
    close_client(c);
    lua_error(L);
  }
  if (pl_client_reaches(c)) {
    pl_client_drop(c);
    return;
  }
  reasons r = {0};
  const pl_failure f = unreached(c, &r);
  pl_client_drop(c);
  close_client(c);
  pl_raise(L, &f);
}

// The table at the top, which a program closes by what it calls `close`.
static int handle_close(lua_State *L) {
  lua_getfield(L, 1, "close");
  lua_call(L, 0, 0);
  return 0;
}

static int handle_tostring(lua_State *L) {
  lua_pushfstring(L, HANDLE ": %p", lua_topointer(L, 1));
  return 1;
}

static void register_handle(lua_State *L) {
  luaL_newmetatable(L, HANDLE);
  lua_pushcfunction(L, handle_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, handle_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}

// connect([address | options]) -> client
static int l_connect(lua_State *L) {
  lua_settop(L, 1);
  const pl_options *o = pl_settings_push(L);
  pl_client **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, BOX);
  char why[PL_URL_MAX] = "";
  pl_err err = pl_client_open(box, o, why);
  if (err != PL_OK)
    return pl_raise_code(L, err, PL_NOT_SENT, "%s", why[0] != '\0' ? why : pl_err_text(err));
  join(L, *box);

  static const luaL_Reg functions[] = {{"with", l_with}, {"close", l_close}, {NULL, NULL}};
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, 3);
  luaL_setfuncs(L, functions, 1);
  pl_wants_push(L, 0);
  lua_insert(L, 4);
  set_functions(L, 3, 4);
  luaL_setmetatable(L, HANDLE);
  return 1;
}

// The module.

__attribute__((visibility("default"))) int luaopen_perilune(lua_State *L) {
  luaL_checkversion(L);
  luaL_newmetatable(L, BOX);
  lua_pushcfunction(L, box_free);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  register_handle(L);
  pl_ask_register(L);
  pl_ask_stream_register(L);
  pl_open_value(L);  // null, bytes, array
  lua_pushcfunction(L, l_connect);
  lua_setfield(L, -2, "connect");
  lua_pushliteral(L, PL_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
