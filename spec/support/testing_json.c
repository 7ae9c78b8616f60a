// `require('perilune.testing').wire.json`.

#include "spec/support/testing_wire.h"
#include "wire/json.h"

// The address is json.null.
static char null_key;

// Pushes the value: integers and floats as such, null as json.null.
static void push_node(lua_State *L, const cJSON *node) {
  luaL_checkstack(L, 4, "too deep");
  int64_t integer;
  double number;
  const char *text;
  size_t len;
  if (pl_json_integer(node, &integer)) {
    lua_pushinteger(L, integer);
  } else if (pl_json_number(node, &number)) {
    lua_pushnumber(L, number);
  } else if (pl_json_string(node, &text, &len)) {
    lua_pushlstring(L, text, len);
  } else if (cJSON_IsBool(node)) {
    lua_pushboolean(L, cJSON_IsTrue(node));
  } else if (cJSON_IsNull(node)) {
    lua_pushlightuserdata(L, &null_key);
  } else {
    lua_newtable(L);
    lua_Integer i = 0;
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
      bool keyed = pl_json_key(child, &text, &len);
      if (keyed) lua_pushlstring(L, text, len);
      if (!keyed) lua_pushinteger(L, ++i);
      push_node(L, child);
      lua_rawset(L, -3);
    }
  }
}

// parse(text [, depth]) -> true, value; nil, "line:column: what"; nil, error
static int json_parse(lua_State *L) {
  pl_bytes text = testing_check_bytes(L, 1);
  cJSON *root = NULL;
  pl_json_error error = {0};
  pl_err err = pl_json_parse(&root, text, (size_t)luaL_optinteger(L, 2, 64), &error);
  if (err != PL_OK && err != PL_INVALID) return testing_push_error(L, err);
  if (err == PL_INVALID) {
    lua_pushnil(L);
    lua_pushfstring(L, "%d:%d: %s", (int)error.line, (int)error.column, error.what);
    return 2;
  }
  lua_pushboolean(L, true);
  push_node(L, root);
  cJSON_Delete(root);
  return 2;
}

static int json_put_string(lua_State *L) {
  pl_buf out = {0};
  pl_bytes text = testing_check_bytes(L, 1);
  return testing_push_encoded(L, pl_json_put_string(&out, text.data, text.len), &out);
}

static int json_put_float(lua_State *L) {
  pl_buf out = {0};
  return testing_push_encoded(L, pl_json_put_float(&out, luaL_checknumber(L, 1)), &out);
}

static int json_put_integer(lua_State *L) {
  pl_buf out = {0};
  return testing_push_encoded(L, pl_json_put_integer(&out, luaL_checkinteger(L, 1)), &out);
}

void testing_push_json(lua_State *L) {
  static const luaL_Reg functions[] = {{"parse", json_parse},
                                       {"put_string", json_put_string},
                                       {"put_float", json_put_float},
                                       {"put_integer", json_put_integer},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, &null_key);
  lua_setfield(L, -2, "null");
}
