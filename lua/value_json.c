// Lua values <-> JSON. As MessagePack, but binary is {"$bytes": "<base64>"}, the keys of objects
// are strings, and NaN and infinities are refused. The reader is cJSON behind wire/json.h, the
// writer goes straight from the stack.

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "lua/base64.h"
#include "lua/error.h"
#include "lua/guard.h"
#include "lua/pass.h"
#include "lua/value_impl.h"
#include "wire/json.h"

static void encode_table(pl_encoder *e, int index);

static void put(pl_encoder *e, const char *text, size_t len) {
  memcpy(pl_encode_room(e, len), text, len);
  pl_buf_commit(e->out, len);
}

static void put_char(pl_encoder *e, char c) {
  *pl_encode_room(e, 1) = (uint8_t)c;
  pl_buf_commit(e->out, 1);
}

static void check(pl_encoder *e, pl_err err, const char *invalid) {
  if (err == PL_INVALID) pl_encode_fail(e, invalid);
  pl_encode_room(e, err == PL_OK ? 0 : SIZE_MAX);  // raises past the limit, and without memory
}

static void encode_bytes(pl_encoder *e, const char *s, size_t len) {
  static const char head[] = "{\"$bytes\":\"", tail[] = "\"}";
  put(e, head, sizeof head - 1);
  size_t n = pl_base64_len(len);
  pl_base64_encode((char *)pl_encode_room(e, n), s, len);
  pl_buf_commit(e->out, n);
  put(e, tail, sizeof tail - 1);
}

static void encode_string(pl_encoder *e, int index) {
  size_t len;
  const char *s = lua_tolstring(e->L, index, &len);
  pl_encode_room(e, len);
  pl_err err = pl_json_put_string(e->out, s, len);
  if (err == PL_INVALID) {
    encode_bytes(e, s, len);
  } else {
    check(e, err, "");
  }
}

static void encode_number(pl_encoder *e, int index) {
  if (lua_isinteger(e->L, index)) {
    check(e, pl_json_put_integer(e->out, lua_tointeger(e->L, index)), "");
  } else {
    check(e, pl_json_put_float(e->out, lua_tonumber(e->L, index)),
          "is NaN or infinite, which JSON does not have");
  }
}

static void encode_other(pl_encoder *e, int index, int type) {
  if (type == LUA_TUSERDATA) {
    const char *s;
    size_t len;
    const pl_blob *blob = pl_value_blob(e->L, index, &s, &len);
    if (blob != NULL && !blob->is_ext) {
      encode_bytes(e, s, len);
      return;
    }
    if (pl_pass_is_stream(e->L, index)) pl_encode_fail(e, "is a stream, which JSON does not have");
  }
  if (pl_is_null(e->L, index)) {
    put(e, "null", 4);
    return;
  }
  pl_encode_fail_type(e, type);
}

static void encode_any(pl_encoder *e, int index) {
  int type = lua_type(e->L, index);
  switch (type) {
    case LUA_TNUMBER: encode_number(e, index); break;
    case LUA_TSTRING: encode_string(e, index); break;
    case LUA_TTABLE: encode_table(e, index); break;
    case LUA_TNIL: put(e, "null", 4); break;
    case LUA_TBOOLEAN:
      if (lua_toboolean(e->L, index)) {
        put(e, "true", 4);
      } else {
        put(e, "false", 5);
      }
      break;
    default: encode_other(e, index, type);
  }
}

static void encode_array(pl_encoder *e, int index, lua_Integer n) {
  put_char(e, '[');
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) put_char(e, ',');
    e->frame->index = i;
    lua_rawgeti(e->L, index, i);
    encode_any(e, lua_gettop(e->L));
    lua_pop(e->L, 1);
  }
  put_char(e, ']');
}

static bool encode_sequence(pl_encoder *e, int index, lua_Integer n) {
  lua_State *L = e->L;
  size_t begin = pl_buf_len(e->out);
  int key = lua_gettop(L) + 1;
  lua_Integer i = 0;
  put_char(e, '[');
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (i == n || !lua_isinteger(L, key) || lua_tointeger(L, key) != i + 1) {
      lua_pop(L, 2);
      goto rewind;
    }
    if (i > 0) put_char(e, ',');
    e->frame->index = ++i;
    encode_any(e, key + 1);
  }
  if (i == n) {
    put_char(e, ']');
    return true;
  }
rewind:
  e->out->end = e->out->start + begin;
  return false;
}

static void encode_key(pl_encoder *e, int key) {
  lua_State *L = e->L;
  size_t len;
  lua_pushvalue(L, key);  // a number is converted, and the key must stay for lua_next
  const char *s = lua_tolstring(L, -1, &len);
  pl_encode_room(e, len);
  check(e, pl_json_put_string(e->out, s, len), "has a key that is not UTF-8");
  put_char(e, ':');
}

static void encode_object(pl_encoder *e, int index) {
  lua_State *L = e->L;
  int key = lua_gettop(L) + 1;
  pl_key_kind kind = PL_KEY_NONE;
  bool first = true;
  put_char(e, '{');
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_settop(L, key)) {
    if (!first) put_char(e, ',');
    first = false;
    kind = pl_encode_key(e, key, kind);
    encode_key(e, key);
    encode_any(e, key + 1);
  }
  put_char(e, '}');
}

static void encode_table(pl_encoder *e, int index) {
  static const pl_table_writer writer = {encode_array, encode_sequence, encode_object};
  pl_encode_table(e, index, &writer);
}

void pl_json_encode(pl_encoder *e, int index) {
  encode_any(e, index);
}

void pl_json_encode_list(pl_encoder *e, int first, int n) {
  pl_value_frame f = {.index = 0};
  e->frame = &f;
  put_char(e, '[');
  for (int i = 0; i < n; i++) {
    if (i > 0) put_char(e, ',');
    f.index = i + 1;
    encode_any(e, first + i);
  }
  put_char(e, ']');
  e->frame = NULL;
}

// Decoding.

static void push_node(lua_State *L, const cJSON *node, bool nested);

// {"$bytes": "<base64>"}
static bool push_bytes(lua_State *L, const cJSON *object) {
  const cJSON *member = object->child;
  const char *text;
  size_t len;
  if (member == NULL || member->next != NULL || !pl_json_key(member, &text, &len)) return false;
  if (len != 6 || memcmp(text, "$bytes", 6) != 0) return false;
  if (!pl_json_string(member, &text, &len)) return false;
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, pl_base64_max(len));
  size_t n;
  bool valid = pl_base64_decode(out, &n, text, len);
  luaL_pushresultsize(&b, valid ? n : 0);
  if (!valid) lua_pop(L, 1);
  return valid;
}

static void push_object(lua_State *L, const cJSON *object) {
  if (push_bytes(L, object)) return;
  lua_newtable(L);
  for (const cJSON *member = object->child; member != NULL; member = member->next) {
    const char *key = "";
    size_t len = 0;
    pl_json_key(member, &key, &len);
    lua_pushlstring(L, key, len);
    push_node(L, member, true);
    lua_rawset(L, -3);
  }
}

static void push_array(lua_State *L, const cJSON *array) {
  if (array->child == NULL) {
    pl_push_empty_array(L);
    return;
  }
  lua_newtable(L);
  lua_Integer i = 0;
  for (const cJSON *item = array->child; item != NULL; item = item->next) {
    push_node(L, item, true);
    lua_rawseti(L, -2, ++i);
  }
}

static void push_number(lua_State *L, const cJSON *node) {
  int64_t integer;
  double number = 0;
  if (pl_json_integer(node, &integer)) {
    lua_pushinteger(L, integer);
  } else {
    pl_json_number(node, &number);
    lua_pushnumber(L, number);
  }
}

// cJSON marks what wire/json.h keeps exactly by types of its own, so strings and numbers are asked
// for first.
static void push_node(lua_State *L, const cJSON *node, bool nested) {
  luaL_checkstack(L, 6, NULL);
  const char *text;
  size_t len;
  double number;
  if (pl_json_number(node, &number)) {
    push_number(L, node);
  } else if (pl_json_string(node, &text, &len)) {
    lua_pushlstring(L, text, len);
  } else if (cJSON_IsObject(node)) {
    push_object(L, node);
  } else if (cJSON_IsArray(node)) {
    push_array(L, node);
  } else if (cJSON_IsBool(node)) {
    lua_pushboolean(L, cJSON_IsTrue(node));
  } else if (nested) {
    pl_push_null(L);
  } else {
    lua_pushnil(L);
  }
}

static void free_document(void *document) {
  cJSON_Delete(document);
}

// The document, owned by a guard at the top of the stack. [-0, +1]
static cJSON *parse(lua_State *L, pl_bytes src, size_t depth, pl_guard **guard) {
  luaL_checkstack(L, 8, NULL);
  *guard = pl_guard_push(L, free_document);
  cJSON *document;
  pl_json_error error = {0};
  pl_err err = pl_json_parse(&document, src, depth, &error);
  if (err == PL_NO_MEMORY) pl_raise_code(L, err, PL_UNKNOWN, "no memory for the JSON document");
  if (err != PL_OK) {
    pl_raise_code(L, PL_PROTOCOL, PL_UNKNOWN, "JSON, line %zu column %zu: %s", error.line,
                  error.column, error.what);
  }
  (*guard)->object = document;
  return document;
}

int pl_json_decode_list(lua_State *L, pl_bytes src) {
  pl_guard *guard;
  const cJSON *document = parse(L, src, PL_DEPTH_MAX + 1, &guard);
  if (!cJSON_IsArray(document)) pl_decode_fail(L, "the values are not an array");
  int at = lua_gettop(L), n = cJSON_GetArraySize(document);
  if (!lua_checkstack(L, n + 8)) pl_decode_fail(L, "more values than a function can take");
  for (const cJSON *item = document->child; item != NULL; item = item->next) {
    push_node(L, item, false);
  }
  pl_guard_free(guard);
  lua_remove(L, at);
  return n;
}

void pl_json_decode(lua_State *L, pl_bytes src) {
  pl_guard *guard;
  const cJSON *document = parse(L, src, PL_DEPTH_MAX, &guard);
  push_node(L, document, false);
  pl_guard_free(guard);
  lua_remove(L, -2);
}
