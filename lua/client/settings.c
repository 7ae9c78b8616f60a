#include "lua/client/settings.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "lua/bind_options.h"

static const char *const taken[] = {"peers",
                                    "mesh",
                                    "psk",
                                    "name",
                                    "request_timeout",
                                    "connect_timeout",
                                    "handshake_timeout",
                                    "heartbeat",
                                    "heartbeat_misses",
                                    "reconnect_max",
                                    "resume_window",
                                    "max_message",
                                    "buffer_limit",
                                    "strategy",
                                    "log_level",
                                    "log_format",
                                    "trace_sample"};

static bool is_taken(const char *name) {
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    if (strcmp(taken[i], name) == 0) return true;
  }
  return false;
}

// Of nodes that serve, the options mean nothing here.
static void refuse_others(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *name = lua_tostring(L, -2);
    const pl_option *option = pl_option_find(name);
    if (option != NULL && strcmp(option->name, name) == 0 && !is_taken(name))
      luaL_error(L, "perilune.connect: '%s' is an option of nodes that serve", name);
  }
}

// The environment counts as a default: who writes a program that asks two meshes must be able to
// say which. Only what is for clients is looked at.
static void read_environment(lua_State *L, pl_options *o) {
  char why[PL_URL_MAX];
  pl_err err = pl_options_from_environment(o, getenv, why);
  if (err != PL_OK) luaL_error(L, "perilune.connect: environment: %s", why);
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    if (!is_taken(pl_option_list[i].name)) pl_option_reset(o, &pl_option_list[i]);
    o->source[i] = PL_SOURCE_DEFAULT;
  }
}

// Of peers and a local mesh, what the program says is all there is to ask.
static void choose_mesh(pl_options *o) {
  bool peers = pl_option_is_given(o, "peers"), mesh = pl_option_is_given(o, "mesh");
  if (peers && !mesh) pl_option_reset(o, pl_option_find("mesh"));
  if (mesh && !peers) pl_option_reset(o, pl_option_find("peers"));
}

static int settings_free(lua_State *L) {
  pl_options_free(lua_touserdata(L, 1));
  return 0;
}

static pl_options *push_defaults(lua_State *L) {
  pl_options *o = lua_newuserdatauv(L, sizeof *o, 0);
  pl_options_init(o);
  if (luaL_newmetatable(L, "perilune.Settings")) {
    lua_pushcfunction(L, settings_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return o;
}

const pl_options *pl_settings_push(lua_State *L) {
  int type = lua_type(L, 1);
  luaL_argexpected(L, type <= LUA_TNIL || type == LUA_TSTRING || type == LUA_TTABLE, 1,
                   "table or address");
  if (type == LUA_TTABLE) refuse_others(L);
  if (type == LUA_TSTRING) {
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "peers");
    lua_replace(L, 1);
  }
  pl_options *o = push_defaults(L);
  const pl_option *level = pl_option_find("log_level");
  const pl_option_value quiet = {.given = PL_GIVEN_TEXT, .text = "off"};
  char why[PL_URL_MAX];
  pl_option_set(o, PL_SOURCE_DEFAULT, level, &quiet, why);
  read_environment(L, o);
  if (type > LUA_TNIL) pl_options_read(L, "perilune.connect", 1, o);
  choose_mesh(o);
  return o;
}
