#include "spec/support/testing_pack.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/vm.h"

// What the last take had, which may have failed.
static pl_slice *given;

static void drop_given(void) {
  pl_slice_drop(given);
  given = NULL;
}

// What a task packed last; may outlive its VM.
static pl_parts packed;

// pack(codec, max, ...)
int testing_pack(lua_State *L) {
  pl_parts parts;
  pl_codec codec = testing_check_codec(L, 1);
  size_t max = (size_t)luaL_checkinteger(L, 2);
  pl_values_pack(L, codec, 3, lua_gettop(L) - 2, "args", max, &parts);
  pl_parts kept;
  bool ok = pl_parts_keep(&kept, &parts);
  pl_parts_drop(&parts);
  pl_parts_drop(&packed);
  if (!ok) return luaL_error(L, "no memory");
  packed = kept;
  return 0;
}

// packed() -> head, tail; which are given up
int testing_packed(lua_State *L) {
  drop_given();
  lua_pushlstring(L, (const char *)packed.head.data, packed.head.len);
  lua_pushlstring(L, (const char *)packed.tail.data, packed.tail.len);
  pl_parts_drop(&packed);
  return 2;
}

// take(codec, front, behind, bytes) -> whether a string stayed where it was, values…; the bytes
// have so much room around them.
int testing_take(lua_State *L) {
  size_t len, front = (size_t)luaL_checkinteger(L, 2), behind = (size_t)luaL_checkinteger(L, 3);
  pl_codec codec = testing_check_codec(L, 1);
  const char *bytes = luaL_checklstring(L, 4, &len);
  pl_slice *s = pl_slice_new(front + len + behind);
  if (s == NULL) return luaL_error(L, "no memory");
  drop_given();
  given = s;
  memcpy(s->data + front, bytes, len);
  lua_pushnil(L);
  int at = lua_gettop(L);
  int n = pl_values_take(L, codec, (pl_bytes){s->data + front, len, s});
  lua_pushboolean(L, s->refs > 1);
  lua_replace(L, at);
  drop_given();
  return n + 1;
}
