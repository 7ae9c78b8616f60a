// `require('perilune.testing').http`: the head of HTTP requests.

#include <lauxlib.h>

#include "edge/http_head.h"
#include "spec/support/testing.h"

void testing_open_http(lua_State *L);

static pl_bytes check_bytes(lua_State *L, int arg) {
  size_t len;
  const char *data = luaL_checklstring(L, arg, &len);
  return pl_bytes_of(data, len);
}

// find_end(bytes [, scanned = 0]) -> length, 0 for more or a negative status; scanned
static int find_end(lua_State *L) {
  size_t scanned = (size_t)luaL_optinteger(L, 2, 0);
  lua_pushinteger(L, pl_http_head_end(check_bytes(L, 1), &scanned));
  lua_pushinteger(L, (lua_Integer)scanned);
  return 2;
}

static void set(lua_State *L, const char *name, pl_bytes value) {
  if (value.data == NULL) return;
  lua_pushlstring(L, (const char *)value.data, value.len);
  lua_setfield(L, -2, name);
}

// decode(head) -> { method, target, path, minor, host, length, chunked, [name] = value }; or nil
// and the status
static int decode(lua_State *L) {
  pl_http_head h;
  int status = pl_http_head_decode(&h, check_bytes(L, 1));
  if (status != 0) {
    lua_pushnil(L);
    lua_pushinteger(L, status);
    return 2;
  }
  lua_newtable(L);
  for (size_t i = 0; i < h.count; i++) {
    lua_pushlstring(L, (const char *)h.fields[i].name.data, h.fields[i].name.len);
    lua_pushlstring(L, (const char *)h.fields[i].value.data, h.fields[i].value.len);
    lua_rawset(L, -3);
  }
  set(L, "method", h.method);
  set(L, "target", h.target);
  set(L, "path", pl_http_path(&h));
  set(L, "host", h.host);
  lua_pushinteger(L, h.minor);
  lua_setfield(L, -2, "minor");
  if (h.has_length) {
    lua_pushinteger(L, (lua_Integer)h.length);
    lua_setfield(L, -2, "length");
  }
  lua_pushboolean(L, h.chunked);
  lua_setfield(L, -2, "chunked");
  return 1;
}

void testing_open_http(lua_State *L) {
  static const luaL_Reg functions[] = {{"find_end", find_end}, {"decode", decode}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushinteger(L, PL_HTTP_HEAD_MAX);
  lua_setfield(L, -2, "head_max");
  lua_pushinteger(L, PL_HTTP_FIELDS_MAX);
  lua_setfield(L, -2, "fields_max");
}
