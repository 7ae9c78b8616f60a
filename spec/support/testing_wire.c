// `require('perilune.testing').wire`: runtime/wire/ as tables of functions.

#include <stdlib.h>
#include <string.h>

#include "spec/support/testing_wire.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/msgpack.h"
#include "wire/utf8.h"

void testing_open_wire(lua_State *L);

int testing_push_error(lua_State *L, int err) {
  lua_pushnil(L);
  lua_pushstring(L, pl_err_name((pl_err)err));
  return 2;
}

int testing_push_encoded(lua_State *L, pl_err err, pl_buf *b) {
  if (err == PL_OK) lua_pushlstring(L, (const char *)pl_buf_data(b), pl_buf_len(b));
  pl_buf_fini(b);
  return err == PL_OK ? 1 : testing_push_error(L, err);
}

// A copy of exactly its size, so that a sanitizer sees reads past the end.
pl_bytes testing_check_bytes(lua_State *L, int arg) {
  size_t len = 0;
  const char *text = luaL_checklstring(L, arg, &len);
  if (len == 0) return (pl_bytes){0};
  uint8_t *copy = lua_newuserdatauv(L, len, 0);
  memcpy(copy, text, len);
  lua_replace(L, arg);
  return pl_bytes_of(copy, len);
}

// Frames

// decode(bytes [, body_max]) -> bytes taken, frame; 0 for more; nil, error
static int frame_decode(lua_State *L) {
  pl_bytes src = testing_check_bytes(L, 1);
  pl_frame f;
  ptrdiff_t took = pl_frame_decode(&f, src, (size_t)luaL_optinteger(L, 2, 16384));
  if (took < 0) return testing_push_error(L, (int)took);
  lua_pushinteger(L, took);
  if (took == 0) return 1;
  const struct {
    const char *name;
    lua_Integer value;
  } numbers[] = {{"type", f.type}, {"flags", f.flags}, {"aux", f.aux}, {"label", f.label}};
  lua_newtable(L);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushinteger(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].name);
  }
  lua_pushlstring(L, (const char *)f.body.data, f.body.len);
  lua_setfield(L, -2, "body");
  return 2;
}

// header(type, flags, aux, label, len) -> bytes
static int frame_header(lua_State *L) {
  uint8_t out[PL_FRAME_HEADER];
  pl_frame_put_header(out, (uint8_t)luaL_checkinteger(L, 1), (uint8_t)luaL_checkinteger(L, 2),
                      (uint16_t)luaL_checkinteger(L, 3), (uint32_t)luaL_checkinteger(L, 4),
                      (size_t)luaL_checkinteger(L, 5));
  lua_pushlstring(L, (const char *)out, sizeof out);
  return 1;
}

static int frame_preamble(lua_State *L) {
  uint8_t out[PL_PREAMBLE];
  pl_preamble_put(out);
  lua_pushlstring(L, (const char *)out, sizeof out);
  return 1;
}

// check_preamble(bytes) -> 1, 0 or the name of an error, major, minor (-1: not told)
static int frame_check_preamble(lua_State *L) {
  unsigned major = (unsigned)-1;
  unsigned minor = (unsigned)-1;
  int result = pl_preamble_check(testing_check_bytes(L, 1), &major, &minor);
  if (result >= 0) lua_pushinteger(L, result);
  if (result < 0) lua_pushstring(L, pl_err_name((pl_err)result));
  lua_pushinteger(L, (int)major);
  lua_pushinteger(L, (int)minor);
  return 3;
}

static int item_put_len(lua_State *L) {
  uint8_t out[5];
  size_t n = pl_item_put_len(out, (uint32_t)luaL_checkinteger(L, 1));
  lua_pushlstring(L, (const char *)out, n);
  return 1;
}

// get_len(bytes) -> bytes taken, length; 0; nil, error
static int item_get_len(lua_State *L) {
  uint32_t len = 0;
  int took = pl_item_get_len(testing_check_bytes(L, 1), &len);
  if (took < 0) return testing_push_error(L, took);
  lua_pushinteger(L, took);
  if (took > 0) lua_pushinteger(L, len);
  return took > 0 ? 2 : 1;
}

// MessagePack

static const char *const kinds[] = {[PL_MP_NIL] = "nil",
                                    [PL_MP_BOOL] = "bool",
                                    [PL_MP_INT] = "int",
                                    [PL_MP_UINT] = "uint",
                                    [PL_MP_FLOAT] = "float",
                                    [PL_MP_STR] = "str",
                                    [PL_MP_BIN] = "bin",
                                    [PL_MP_EXT] = "ext",
                                    [PL_MP_ARRAY] = "array",
                                    [PL_MP_MAP] = "map",
                                    NULL};

static void push_token_value(lua_State *L, const pl_mp_token *t) {
  switch (t->kind) {
    case PL_MP_NIL: lua_pushnil(L); break;
    case PL_MP_BOOL: lua_pushboolean(L, t->v.boolean); break;
    case PL_MP_INT: lua_pushinteger(L, t->v.integer); break;
    case PL_MP_UINT: lua_pushinteger(L, (lua_Integer)t->v.natural); break;
    case PL_MP_FLOAT: lua_pushnumber(L, t->v.number); break;
    case PL_MP_STR:
    case PL_MP_BIN:
    case PL_MP_EXT: lua_pushlstring(L, (const char *)t->data, t->len); break;
    case PL_MP_ARRAY:
    case PL_MP_MAP: lua_pushinteger(L, t->len); break;
  }
}

// read(bytes) -> bytes taken, kind, value (count of array and map), type of an ext; nil, error
static int msgpack_read(lua_State *L) {
  pl_bytes src = testing_check_bytes(L, 1);
  pl_mp_reader r = {.at = src.data, .end = src.len > 0 ? src.data + src.len : src.data};
  pl_mp_token t;
  pl_err err = pl_mp_read(&r, &t);
  if (err != PL_OK) {
    if (r.at != src.data) return luaL_error(L, "the reader moved");
    return testing_push_error(L, err);
  }
  lua_pushinteger(L, r.at - src.data);
  lua_pushstring(L, kinds[t.kind]);
  push_token_value(L, &t);
  if (t.kind == PL_MP_EXT) lua_pushinteger(L, t.ext);
  return t.kind == PL_MP_EXT ? 4 : 3;
}

// skip(bytes [, depth]) -> bytes taken; nil, error
static int msgpack_skip(lua_State *L) {
  pl_bytes src = testing_check_bytes(L, 1);
  pl_mp_reader r = {.at = src.data, .end = src.len > 0 ? src.data + src.len : src.data};
  pl_err err = pl_mp_skip(&r, (unsigned)luaL_optinteger(L, 2, PL_DEPTH_MAX));
  if (err != PL_OK) {
    if (r.at != src.data) return luaL_error(L, "the reader moved");
    return testing_push_error(L, err);
  }
  lua_pushinteger(L, r.at - src.data);
  return 1;
}

// put(kind, value [, ext type]) -> bytes. Of array and map, the head for so many.
static int msgpack_put(lua_State *L) {
  size_t len = 0;
  const char *text = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : "";
  uint8_t *start = lua_newuserdatauv(L, PL_MP_TOKEN_MAX + len, 0);
  uint8_t *p = start;
  switch ((pl_mp_kind)luaL_checkoption(L, 1, NULL, kinds)) {
    case PL_MP_NIL: p = pl_mp_put_nil(p); break;
    case PL_MP_BOOL: p = pl_mp_put_bool(p, lua_toboolean(L, 2)); break;
    case PL_MP_INT: p = pl_mp_put_int(p, luaL_checkinteger(L, 2)); break;
    case PL_MP_UINT: p = pl_mp_put_uint(p, (uint64_t)luaL_checkinteger(L, 2)); break;
    case PL_MP_FLOAT: p = pl_mp_put_float(p, luaL_checknumber(L, 2)); break;
    case PL_MP_STR: p = pl_mp_put_str(p, text, (uint32_t)len); break;
    case PL_MP_BIN: p = pl_mp_put_bin(p, text, (uint32_t)len); break;
    case PL_MP_EXT:
      p = pl_mp_put_ext_head(p, (int8_t)luaL_checkinteger(L, 3), (uint32_t)len);
      memcpy(p, text, len);
      p += len;
      break;
    case PL_MP_ARRAY: p = pl_mp_put_array(p, (uint32_t)luaL_checkinteger(L, 2)); break;
    case PL_MP_MAP: p = pl_mp_put_map(p, (uint32_t)luaL_checkinteger(L, 2)); break;
  }
  lua_pushlstring(L, (const char *)start, (size_t)(p - start));
  return 1;
}

// UTF-8

// prefix(text) -> length of the valid start
static int utf8_prefix(lua_State *L) {
  pl_bytes text = testing_check_bytes(L, 1);
  size_t len = pl_utf8_prefix(text.data, text.len);
  if (pl_utf8_valid(text.data, text.len) != (len == text.len)) return luaL_error(L, "disagreement");
  lua_pushinteger(L, (lua_Integer)len);
  return 1;
}

void testing_open_wire(lua_State *L) {
  static const luaL_Reg frame[] = {{"decode", frame_decode},
                                   {"header", frame_header},
                                   {"preamble", frame_preamble},
                                   {"check_preamble", frame_check_preamble},
                                   {NULL, NULL}};
  static const luaL_Reg item[] = {
      {"put_len", item_put_len}, {"get_len", item_get_len}, {NULL, NULL}};
  static const luaL_Reg msgpack[] = {
      {"read", msgpack_read}, {"skip", msgpack_skip}, {"put", msgpack_put}, {NULL, NULL}};
  static const luaL_Reg utf8[] = {{"prefix", utf8_prefix}, {NULL, NULL}};
  lua_newtable(L);
  luaL_newlib(L, frame);
  lua_setfield(L, -2, "frame");
  luaL_newlib(L, item);
  lua_setfield(L, -2, "item");
  luaL_newlib(L, msgpack);
  lua_setfield(L, -2, "msgpack");
  luaL_newlib(L, utf8);
  lua_setfield(L, -2, "utf8");
  testing_push_json(L);
  lua_setfield(L, -2, "json");
  testing_push_message(L);
  lua_setfield(L, -2, "message");
}
