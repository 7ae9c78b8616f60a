#include "values.h"

#include <endian.h>
#include <lauxlib.h>

enum {
  DEPTH_MAX = 64,
  PREALLOCATE_MAX = 65536,
};

typedef struct encoder {
  batch *b;
  lua_State *L, *anchors;
} encoder;

typedef struct decoder {
  lua_State *L;
  const uint8_t *at, *end;
} decoder;

static bool encode(encoder *e, int at, int depth);

// A type byte and an integer of 1, 2, 4 or 8 bytes after it.
static void put_tagged(encoder *e, uint8_t tag, uint64_t v, int size) {
  uint8_t *p = batch_room(e->b, 9);
  uint64_t bytes = htobe64(v << (64 - 8 * size));
  p[0] = tag;
  memcpy(p + 1, &bytes, sizeof bytes);
  e->b->len += 1 + (size_t)size;
}

static void put_byte(encoder *e, uint8_t byte) {
  *batch_room(e->b, 1) = byte;
  e->b->len++;
}

static void encode_integer(encoder *e, lua_Integer v) {
  uint64_t bits = (uint64_t)v;
  if (v >= -32 && v <= 127) {
    put_byte(e, (uint8_t)v);
  } else if (v >= 0) {
    if (v <= UINT8_MAX) {
      put_tagged(e, 0xcc, bits, 1);
    } else if (v <= UINT16_MAX) {
      put_tagged(e, 0xcd, bits, 2);
    } else {
      put_tagged(e, v <= UINT32_MAX ? 0xce : 0xcf, bits, v <= UINT32_MAX ? 4 : 8);
    }
  } else if (v >= INT8_MIN) {
    put_tagged(e, 0xd0, bits, 1);
  } else if (v >= INT16_MIN) {
    put_tagged(e, 0xd1, bits, 2);
  } else {
    put_tagged(e, v >= INT32_MIN ? 0xd2 : 0xd3, bits, v >= INT32_MIN ? 4 : 8);
  }
}

static void encode_float(encoder *e, lua_Number v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_tagged(e, 0xcb, bits, 8);
}

static void encode_string(encoder *e, int at) {
  size_t len;
  const char *s = lua_tolstring(e->L, at, &len);
  if (len < 32) {
    put_byte(e, (uint8_t)(0xa0 | len));
  } else if (len <= UINT8_MAX) {
    put_tagged(e, 0xd9, len, 1);
  } else {
    put_tagged(e, len <= UINT16_MAX ? 0xda : 0xdb, len, len <= UINT16_MAX ? 2 : 4);
  }
  if (len >= BORROW_MIN && lua_checkstack(e->anchors, 1) && batch_borrow(e->b, s, len)) {
    lua_pushvalue(e->L, at);
    lua_xmove(e->L, e->anchors, 1);
  } else {
    batch_copy(e->b, s, len);
  }
}

// The head of an array (`fix` 0x90) or a map (0x80) of `n`.
static void encode_head(encoder *e, uint8_t fix, uint8_t tag16, size_t n) {
  if (n < 16) {
    put_byte(e, (uint8_t)(fix | n));
  } else if (n <= UINT16_MAX) {
    put_tagged(e, tag16, n, 2);
  } else {
    put_tagged(e, (uint8_t)(tag16 + 1), n, 4);
  }
}

static bool encode_array(encoder *e, int at, size_t n, int depth) {
  encode_head(e, 0x90, 0xdc, n);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(e->L, at, (lua_Integer)i);
    bool ok = encode(e, lua_gettop(e->L), depth);
    lua_pop(e->L, 1);
    if (!ok) return false;
  }
  return true;
}

static bool encode_map(encoder *e, int at, int depth) {
  lua_State *L = e->L;
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
    n++;
  encode_head(e, 0x80, 0xde, n);
  for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
    int top = lua_gettop(L);
    if (encode(e, top - 1, depth) && encode(e, top, depth)) continue;
    lua_pop(L, 2);
    return false;
  }
  return true;
}

static bool encode_table(encoder *e, int at, int depth) {
  if (depth == 0 || !lua_checkstack(e->L, 4)) return false;
  size_t n = lua_rawlen(e->L, at);
  return n > 0 ? encode_array(e, at, n, depth - 1) : encode_map(e, at, depth - 1);
}

static bool encode(encoder *e, int at, int depth) {
  switch (lua_type(e->L, at)) {
    case LUA_TNIL: put_byte(e, 0xc0); return true;
    case LUA_TBOOLEAN: put_byte(e, lua_toboolean(e->L, at) ? 0xc3 : 0xc2); return true;
    case LUA_TNUMBER:
      if (lua_isinteger(e->L, at)) {
        encode_integer(e, lua_tointeger(e->L, at));
      } else {
        encode_float(e, lua_tonumber(e->L, at));
      }
      return true;
    case LUA_TSTRING: encode_string(e, at); return true;
    case LUA_TTABLE: return encode_table(e, at, depth);
    default: return false;
  }
}

bool values_encode(batch *b, lua_State *L, int first, lua_State *anchors) {
  encoder e = {b, L, anchors};
  int top = lua_gettop(L);
  for (int at = first; at <= top; at++) {
    if (!encode(&e, at, DEPTH_MAX)) return false;
  }
  return true;
}

static bool decode(decoder *d, int depth);

static bool take_be(decoder *d, int size, uint64_t *v) {
  if (d->end - d->at < size) return false;
  uint64_t bytes = 0;
  memcpy((uint8_t *)&bytes + 8 - size, d->at, (size_t)size);
  *v = be64toh(bytes);
  d->at += size;
  return true;
}

static bool decode_string(decoder *d, uint64_t len) {
  if ((uint64_t)(d->end - d->at) < len) return false;
  lua_pushlstring(d->L, (const char *)d->at, (size_t)len);
  d->at += len;
  return true;
}

static bool decode_array(decoder *d, uint64_t n, int depth) {
  if (depth == 0 || (uint64_t)(d->end - d->at) < n || !lua_checkstack(d->L, 4)) return false;
  lua_createtable(d->L, n < PREALLOCATE_MAX ? (int)n : PREALLOCATE_MAX, 0);
  for (uint64_t i = 1; i <= n; i++) {
    if (!decode(d, depth - 1)) return false;
    lua_rawseti(d->L, -2, (lua_Integer)i);
  }
  return true;
}

static bool decode_map(decoder *d, uint64_t n, int depth) {
  if (depth == 0 || (uint64_t)(d->end - d->at) / 2 < n || !lua_checkstack(d->L, 4)) return false;
  lua_createtable(d->L, 0, n < PREALLOCATE_MAX ? (int)n : PREALLOCATE_MAX);
  for (uint64_t i = 0; i < n; i++) {
    if (!decode(d, depth - 1)) return false;
    if (lua_isnil(d->L, -1) || (lua_isnumber(d->L, -1) && !lua_rawequal(d->L, -1, -1)))
      return false;
    if (!decode(d, depth - 1)) return false;
    lua_rawset(d->L, -3);
  }
  return true;
}

static bool decode_float(decoder *d, int size) {
  uint64_t bits;
  if (!take_be(d, size, &bits)) return false;
  if (size == 4) {
    uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    lua_pushnumber(d->L, (lua_Number)f);
  } else {
    lua_Number v;
    memcpy(&v, &bits, sizeof v);
    lua_pushnumber(d->L, v);
  }
  return true;
}

static bool decode_unsigned(decoder *d, int size) {
  uint64_t v;
  if (!take_be(d, size, &v) || v > INT64_MAX) return false;
  lua_pushinteger(d->L, (lua_Integer)v);
  return true;
}

static bool decode_signed(decoder *d, int size) {
  uint64_t v;
  if (!take_be(d, size, &v)) return false;
  int unused_bits = 64 - 8 * size;
  lua_pushinteger(d->L, (lua_Integer)(v << unused_bits) >> unused_bits);
  return true;
}

// The types whose head byte is followed by a length of `size` bytes.
static bool decode_long(decoder *d, uint8_t tag, int size, int depth) {
  uint64_t n;
  if (!take_be(d, size, &n)) return false;
  if (tag >= 0xde) return decode_map(d, n, depth);
  if (tag >= 0xdc) return decode_array(d, n, depth);
  return decode_string(d, n);
}

static bool decode_tagged(decoder *d, uint8_t tag, int depth) {
  switch (tag) {
    case 0xc0: lua_pushnil(d->L); return true;
    case 0xc2:
    case 0xc3: lua_pushboolean(d->L, tag == 0xc3); return true;
    case 0xca: return decode_float(d, 4);
    case 0xcb: return decode_float(d, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return decode_unsigned(d, 1 << (tag - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: return decode_signed(d, 1 << (tag - 0xd0));
    case 0xd9:
    case 0xda:
    case 0xdb: return decode_long(d, tag, 1 << (tag - 0xd9), depth);
    case 0xc4:
    case 0xc5:
    case 0xc6: return decode_long(d, tag, 1 << (tag - 0xc4), depth);
    case 0xdc:
    case 0xde: return decode_long(d, tag, 2, depth);
    case 0xdd:
    case 0xdf: return decode_long(d, tag, 4, depth);
    default: return false;
  }
}

static bool decode(decoder *d, int depth) {
  if (d->at == d->end) return false;
  uint8_t tag = *d->at++;
  if (tag <= 0x7f || tag >= 0xe0) {
    lua_pushinteger(d->L, (int8_t)tag);
    return true;
  }
  if (tag >= 0xc0) return decode_tagged(d, tag, depth);
  if (tag >= 0xa0) return decode_string(d, tag & 0x1f);
  return tag >= 0x90 ? decode_array(d, tag & 0x0f, depth) : decode_map(d, tag & 0x0f, depth);
}

int values_decode(lua_State *L, const uint8_t *bytes, size_t len) {
  decoder d = {L, bytes, bytes + len};
  int count = 0;
  for (; d.at < d.end; count++) {
    if (!lua_checkstack(L, 1) || !decode(&d, DEPTH_MAX)) return -1;
  }
  return count;
}
