// The streams of the node as scripts see them: what mesh.streams tells.

#include <lauxlib.h>
#include <string.h>

#include "lua/core.h"
#include "lua/error.h"
#include "lua/host.h"
#include "lua/rows.h"

// With its texts.
typedef struct row {
  pl_stream_info info;
  char action[PL_NAME_MAX + 1], name[PL_NAME_MAX + 1], to_name[PL_NAME_MAX + 1];
} row;

static void keep(const pl_stream_info *info, void *user) {
  row one = {.info = *info};
  size_t len = info->action.len < PL_NAME_MAX ? info->action.len : PL_NAME_MAX;
  memcpy(one.action, info->action.data, len);
  one.info.action.len = len;
  memccpy(one.name, info->name, '\0', PL_NAME_MAX);
  if (info->relayed) memccpy(one.to_name, info->to_name, '\0', PL_NAME_MAX);
  pl_rows_add(user, &one);
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_id(lua_State *L, const char *key, const pl_id *id) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  lua_pushstring(L, hex);
  lua_setfield(L, -2, key);
}

// [-0, +1]
static void push_stream(lua_State *L, const void *user) {
  const row *one = user;
  const pl_stream_info *i = &one->info;
  static const char *const waits[] = {
      [PL_WAITS_PRODUCER] = "producer",
      [PL_WAITS_CONSUMER] = "consumer",
      [PL_WAITS_LINK] = "link",
  };
  lua_createtable(L, 0, i->relayed ? 11 : 9);
  lua_pushlstring(L, one->action, i->action.len);
  lua_setfield(L, -2, "action");
  set_id(L, "node", &i->node);
  lua_pushstring(L, one->name);
  lua_setfield(L, -2, "name");
  if (i->relayed) {
    set_id(L, "to", &i->to);
    lua_pushstring(L, one->to_name);
    lua_setfield(L, -2, "to_name");
  }
  lua_pushstring(L, i->relayed ? "through" : i->incoming ? "in" : "out");
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

// streams() -> list of {action, node, name, direction, chunks, bytes, credit, waits_for, waited,
// to, to_name}
static int l_streams(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_rows *r = pl_rows_new(L, sizeof(row));
  pl_node_each_stream(n, keep, r);
  return pl_rows_push(L, r, push_stream);
}

int pl_open_streams(lua_State *L) {
  static const luaL_Reg functions[] = {{"streams", l_streams}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
