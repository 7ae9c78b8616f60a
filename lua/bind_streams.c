// The streams of the node as scripts see them: what mesh.streams tells.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/host.h"

// Collected first, with their texts: a walk survives no error of Lua, nor a collection of handles.
typedef struct row {
  pl_stream_info info;
  char action[PL_NAME_MAX + 1], name[PL_NAME_MAX + 1];
} row;

typedef struct rows {
  pl_buf infos;
  bool failed;
} rows;

static void keep(const pl_stream_info *info, void *user) {
  rows *r = user;
  row one = {.info = *info};
  size_t len = info->action.len < PL_NAME_MAX ? info->action.len : PL_NAME_MAX;
  memcpy(one.action, info->action.data, len);
  one.info.action.len = len;
  memccpy(one.name, info->name, '\0', PL_NAME_MAX);
  r->failed |= !pl_buf_append(&r->infos, &one, sizeof one);
}

static int rows_free(lua_State *L) {
  pl_buf_fini(&((rows *)lua_touserdata(L, 1))->infos);
  return 0;
}

static rows *new_rows(lua_State *L) {
  rows *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (rows){0};
  if (luaL_newmetatable(L, "perilune.StreamRows")) {
    lua_pushcfunction(L, rows_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return r;
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

// [-0, +1]
static void push_stream(lua_State *L, const row *one) {
  const pl_stream_info *i = &one->info;
  static const char *const waits[] = {
      [PL_WAITS_PRODUCER] = "producer",
      [PL_WAITS_CONSUMER] = "consumer",
      [PL_WAITS_LINK] = "link",
  };
  char hex[PL_ID_HEX];
  pl_id_format(&i->node, hex);
  lua_createtable(L, 0, 10);
  lua_pushlstring(L, one->action, i->action.len);
  lua_setfield(L, -2, "action");
  lua_pushstring(L, hex);
  lua_setfield(L, -2, "node");
  lua_pushstring(L, one->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, i->incoming ? "in" : "out");
  lua_setfield(L, -2, "direction");
  set_integer(L, "chunks", i->chunks);
  set_integer(L, "bytes", i->bytes);
  lua_createtable(L, 0, 2);
  set_integer(L, "chunks", i->credit_chunks);
  set_integer(L, "bytes", i->credit_bytes);
  lua_setfield(L, -2, "credit");
  lua_pushstring(L, waits[i->waits_for]);
  lua_setfield(L, -2, "waits_for");
  lua_pushnumber(L, (double)i->waited_us / 1e6);
  lua_setfield(L, -2, "waited");
}

// streams() -> list of {action, node, name, direction, chunks, bytes, credit, waits_for, waited}
static int l_streams(lua_State *L) {
  pl_node *n = pl_host_start(L);
  rows *r = new_rows(L);
  pl_node_each_stream(n, keep, r);
  if (r->failed)
    return pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for the list of streams");
  const row *infos = (const void *)pl_buf_data(&r->infos);
  size_t count = pl_buf_len(&r->infos) / sizeof *infos;
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_stream(L, &infos[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

int pl_open_streams(lua_State *L) {
  static const luaL_Reg functions[] = {{"streams", l_streams}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
