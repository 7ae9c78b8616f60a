// Lua values <-> MessagePack.
//
//   nil, mesh.null   nil        table 1..n          array
//   boolean          bool       marked mesh.array   array, nil for a hole
//   integer, float   int, f64   other table         map; keys are strings or numbers
//   string           str when it is valid UTF-8, else bin; mesh.bytes is always bin

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/alloc.h"
#include "lua/pass.h"
#include "lua/value_impl.h"
#include "wire/msgpack.h"
#include "wire/utf8.h"

static void encode_table(pl_encoder *e, int index);

static void commit(pl_encoder *e, uint8_t *end) {
  pl_buf_commit(e->out, (size_t)(end - (e->out->data + e->out->end)));
}

// What is too long is refused before it is looked at.
static uint8_t *bytes_room(pl_encoder *e, size_t len) {
  if (len > UINT32_MAX) pl_encode_fail(e, "is a string of more than 4 GiB");
  return pl_encode_room(e, len + PL_MP_TOKEN_MAX);
}

static void encode_bytes(pl_encoder *e, const char *s, size_t len) {
  commit(e, pl_mp_put_bin(bytes_room(e, len), s, (uint32_t)len));
}

// A long string that ends the list stays where it is, and only its head is written. False: it does
// not, and nothing is written.
static bool encode_tail(pl_encoder *e, int index, const char *s, size_t len) {
  if (e->tail == NULL || e->depth > 0 || e->frame->index != e->count) return false;
  size_t used = pl_buf_len(e->out) - e->start;
  if (len > UINT32_MAX || len > e->max || used + PL_MP_TOKEN_MAX > e->max - len) return false;
  if (used + PL_MP_TOKEN_MAX > PL_PREFIX_MAX) return false;
  uint8_t *p = pl_encode_room(e, PL_MP_TOKEN_MAX);
  pl_slice *owner = pl_alloc_pin(lua_topointer(e->L, index), s, len);
  if (owner == NULL) return false;
  bool text = pl_utf8_valid(s, len);
  commit(e, text ? pl_mp_put_str_head(p, (uint32_t)len) : pl_mp_put_bin_head(p, (uint32_t)len));
  *e->tail = (pl_bytes){(const uint8_t *)s, len, owner};
  return true;
}

static void encode_string(pl_encoder *e, int index) {
  size_t len;
  const char *s = lua_tolstring(e->L, index, &len);
  if (len > PL_FRAGMENT_MAX && encode_tail(e, index, s, len)) return;
  uint8_t *p = bytes_room(e, len);
  bool text = pl_utf8_valid(s, len);
  commit(e, text ? pl_mp_put_str(p, s, (uint32_t)len) : pl_mp_put_bin(p, s, (uint32_t)len));
}

static inline void encode_integer(pl_encoder *e, int index) {
  lua_Integer v = lua_tointegerx(e->L, index, NULL);
  uint8_t *p = pl_encode_room(e, PL_MP_TOKEN_MAX);
  pl_buf_commit(e->out, (size_t)(pl_mp_put_int(p, v) - p));
}

static void encode_number(pl_encoder *e, int index) {
  // Only the type tells an integer from a float that has no fraction.
  if (lua_isinteger(e->L, index)) {
    encode_integer(e, index);
  } else {
    commit(e, pl_mp_put_float(pl_encode_room(e, PL_MP_TOKEN_MAX), lua_tonumber(e->L, index)));
  }
}

static void encode_userdata(pl_encoder *e, int index) {
  const char *s;
  size_t len;
  luaL_checkstack(e->L, 4, NULL);
  const pl_blob *blob = pl_value_blob(e->L, index, &s, &len);
  if (blob == NULL && pl_pass_is_stream(e->L, index)) {
    pl_pass_encode(e, index);
    return;
  }
  if (blob == NULL) pl_encode_fail(e, "is a userdata");
  if (!blob->is_ext) {
    encode_bytes(e, s, len);
    return;
  }
  uint8_t *p = pl_mp_put_ext_head(bytes_room(e, len), blob->ext, (uint32_t)len);
  if (len > 0) memcpy(p, s, len);
  commit(e, p + len);
}

static void encode_other(pl_encoder *e, int index, int type) {
  switch (type) {
    case LUA_TSTRING: encode_string(e, index); break;
    case LUA_TTABLE: encode_table(e, index); break;
    case LUA_TNIL: commit(e, pl_mp_put_nil(pl_encode_room(e, PL_MP_TOKEN_MAX))); break;
    case LUA_TBOOLEAN:
      commit(e, pl_mp_put_bool(pl_encode_room(e, PL_MP_TOKEN_MAX), lua_toboolean(e->L, index)));
      break;
    case LUA_TUSERDATA: encode_userdata(e, index); break;
    case LUA_TLIGHTUSERDATA:
      if (!pl_is_null(e->L, index)) pl_encode_fail_type(e, type);
      commit(e, pl_mp_put_nil(pl_encode_room(e, PL_MP_TOKEN_MAX)));
      break;
    default: pl_encode_fail_type(e, type);
  }
}

static inline void encode_any(pl_encoder *e, int index) {
  int type = lua_type(e->L, index);
  if (type == LUA_TNUMBER) {
    encode_number(e, index);
  } else {
    encode_other(e, index, type);
  }
}

static void encode_array(pl_encoder *e, int index, lua_Integer n) {
  commit(e, pl_mp_put_array(pl_encode_room(e, PL_MP_TOKEN_MAX), (uint32_t)n));
  for (lua_Integer i = 1; i <= n; i++) {
    e->frame->index = i;
    lua_rawgeti(e->L, index, i);
    encode_any(e, lua_gettop(e->L));
    lua_pop(e->L, 1);
  }
}

static bool encode_sequence(pl_encoder *e, int index, lua_Integer n) {
  lua_State *L = e->L;
  size_t begin = e->out->end - e->out->start;
  commit(e, pl_mp_put_array(pl_encode_room(e, PL_MP_TOKEN_MAX), (uint32_t)n));
  lua_Integer i = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (i == n || !lua_isinteger(L, -2) || lua_tointeger(L, -2) != i + 1) {
      lua_pop(L, 2);
      goto rewind;
    }
    i++;
    if (lua_isinteger(L, -1)) {
      encode_integer(e, -1);
    } else {
      e->frame->index = i;
      encode_any(e, lua_gettop(L));
    }
  }
  if (i == n) return true;
rewind:
  e->out->end = e->out->start + begin;
  return false;
}

// The head is one byte until the count is known to need more.
static void patch_map_head(pl_encoder *e, size_t at, uint32_t n) {
  uint8_t head[PL_MP_TOKEN_MAX];
  size_t len = (size_t)(pl_mp_put_map(head, n) - head);
  if (len > 1) {
    pl_encode_room(e, len - 1);
    uint8_t *p = e->out->data + e->out->start + at;
    memmove(p + len, p + 1, pl_buf_len(e->out) - at - 1);
    pl_buf_commit(e->out, len - 1);
  }
  memcpy(e->out->data + e->out->start + at, head, len);
}

static void encode_map(pl_encoder *e, int index) {
  lua_State *L = e->L;
  size_t at = pl_buf_len(e->out);
  pl_encode_room(e, 1);
  pl_buf_commit(e->out, 1);
  int key = lua_gettop(L) + 1;
  pl_key_kind kind = PL_KEY_NONE;
  uint32_t n = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), n++) {
    kind = pl_encode_key(e, key, kind);
    if (kind == PL_KEY_STRING) {
      encode_string(e, key);
    } else {
      encode_number(e, key);
    }
    encode_any(e, key + 1);
  }
  patch_map_head(e, at, n);
}

static void encode_table(pl_encoder *e, int index) {
  static const pl_table_writer writer = {encode_array, encode_sequence, encode_map};
  pl_encode_table(e, index, &writer);
}

void pl_msgpack_encode(pl_encoder *e, int index) {
  encode_any(e, index);
}

void pl_msgpack_encode_list(pl_encoder *e, int first, int n) {
  pl_value_frame f = {.index = 0};
  commit(e, pl_mp_put_array(pl_encode_room(e, PL_MP_TOKEN_MAX), (uint32_t)n));
  e->frame = &f;
  e->count = n;
  for (int i = 0; i < n; i++) {
    f.index = i + 1;
    encode_any(e, first + i);
  }
  e->frame = NULL;
}

// Decoding.

// What is read: a list of a call, in which streams may be, or a value by itself.
typedef struct decoder {
  pl_mp_reader r;
  bool passes;
} decoder;

static void decode_token(lua_State *L, pl_mp_reader *r, unsigned depth, bool nested);
static void decode_array(lua_State *L, pl_mp_reader *r, uint32_t n, unsigned depth);

// The head of an array of less than 16 elements; false for anything else, and nothing is read.
static inline bool take_small_array(pl_mp_reader *r, uint32_t *n) {
  if (r->at == r->end || (*r->at & 0xf0) != 0x90) return false;
  *n = *r->at & 0x0fU;
  if (*n >= (size_t)(r->end - r->at)) return false;
  r->at++;
  return true;
}

// Small numbers and short arrays are most of what travels, and need none of the rest.
static inline __attribute__((always_inline)) void decode_any(lua_State *L, pl_mp_reader *r,
                                                             unsigned depth, bool nested) {
  uint32_t n;
  if (r->at < r->end && *r->at < 0x80) {
    lua_pushinteger(L, *r->at++);
  } else if (take_small_array(r, &n)) {
    decode_array(L, r, n, depth + 1);
  } else {
    decode_token(L, r, depth, nested);
  }
}

static void read_token(lua_State *L, pl_mp_reader *r, pl_mp_token *t) {
  if (pl_mp_read(r, t) != PL_OK) pl_decode_fail(L, "the value is malformed or cut short");
}

static void push_text(lua_State *L, const pl_mp_token *t) {
  const char *s = (const char *)t->data;
  if (!pl_utf8_valid(s, t->len)) pl_decode_fail(L, "the value holds text that is not UTF-8");
  lua_pushlstring(L, s, t->len);
}

// Values at the top, and levels below them, for which every C function has the room: a container
// and a key on each level, and what is next to each other at the top.
enum { TOP_ROOM = 8, LEVELS_ROOM = 2 };

static inline void enter(lua_State *L, unsigned depth) {
  if (depth <= LEVELS_ROOM) return;
  if (depth > PL_DEPTH_MAX) pl_decode_fail(L, "the value is nested deeper than 64");
  luaL_checkstack(L, 4, NULL);
}

// A count is not trusted with memory before the elements are here.
static int prealloc(uint32_t n) {
  return n < PL_KEYS_PREALLOC ? (int)n : PL_KEYS_PREALLOC;
}

static void decode_array(lua_State *L, pl_mp_reader *r, uint32_t n, unsigned depth) {
  enter(L, depth);
  if (n == 0) {
    pl_push_empty_array(L);
    return;
  }
  lua_createtable(L, prealloc(n), 0);
  for (uint32_t i = 1; i <= n; i++) {
    decode_any(L, r, depth, true);
    lua_rawseti(L, -2, i);
  }
}

static void decode_key(lua_State *L, pl_mp_reader *r) {
  pl_mp_token t;
  read_token(L, r, &t);
  switch (t.kind) {
    case PL_MP_STR: push_text(L, &t); break;
    case PL_MP_BIN: lua_pushlstring(L, (const char *)t.data, t.len); break;
    case PL_MP_INT: lua_pushinteger(L, t.v.integer); break;
    case PL_MP_UINT: lua_pushnumber(L, (lua_Number)t.v.natural); break;
    case PL_MP_FLOAT:
      if (t.v.number != t.v.number) pl_decode_fail(L, "a key of the value is not a number");
      lua_pushnumber(L, t.v.number);
      break;
    default: pl_decode_fail(L, "a key of the value is neither a string nor a number");
  }
}

static void decode_map(lua_State *L, pl_mp_reader *r, uint32_t n, unsigned depth) {
  enter(L, depth);
  lua_createtable(L, 0, prealloc(n));
  for (uint32_t i = 0; i < n; i++) {
    decode_key(L, r);
    decode_any(L, r, depth, true);
    lua_rawset(L, -3);
  }
}

static void decode_ext(lua_State *L, pl_mp_reader *r, const pl_mp_token *t) {
  const decoder *d = pl_container(r, decoder, r);
  bool is_stream = d->passes && t->ext == PL_MP_EXT_STREAM;
  if (is_stream && pl_pass_push(L, t->data, t->len)) return;
  pl_push_ext(L, t->ext, t->data, t->len);
}

static void decode_token(lua_State *L, pl_mp_reader *r, unsigned depth, bool nested) {
  pl_mp_token t;
  read_token(L, r, &t);
  switch (t.kind) {
    case PL_MP_NIL:
      if (nested) {
        pl_push_null(L);
      } else {
        lua_pushnil(L);
      }
      break;
    case PL_MP_BOOL: lua_pushboolean(L, t.v.boolean); break;
    case PL_MP_INT: lua_pushinteger(L, t.v.integer); break;
    case PL_MP_UINT: lua_pushnumber(L, (lua_Number)t.v.natural); break;  // never wrapped
    case PL_MP_FLOAT: lua_pushnumber(L, t.v.number); break;
    case PL_MP_STR: push_text(L, &t); break;
    case PL_MP_BIN: lua_pushlstring(L, (const char *)t.data, t.len); break;
    case PL_MP_EXT: decode_ext(L, r, &t); break;
    case PL_MP_ARRAY: decode_array(L, r, t.len, depth + 1); break;
    case PL_MP_MAP: decode_map(L, r, t.len, depth + 1); break;
  }
}

static void check_end(lua_State *L, const pl_mp_reader *r) {
  if (r->at != r->end) pl_decode_fail(L, "bytes follow the value");
}

static uint32_t take_array(lua_State *L, pl_mp_reader *r) {
  pl_mp_token t;
  read_token(L, r, &t);
  if (t.kind != PL_MP_ARRAY) pl_decode_fail(L, "the values are not an array");
  return t.len;
}

// A long string that is all that is left becomes one of Lua where it lies. False: it does not, or
// is no such string, and nothing was read.
static bool take_string(lua_State *L, pl_mp_reader *r, pl_slice *owner) {
  pl_mp_reader ahead = *r;
  pl_mp_token t;
  if (pl_mp_read(&ahead, &t) != PL_OK || ahead.at != r->end) return false;
  if (t.kind != PL_MP_BIN && t.kind != PL_MP_STR) return false;
  const char *s = (const char *)t.data;
  if (t.kind == PL_MP_STR && !pl_utf8_valid(s, t.len)) return false;
  void *alloc;
  lua_getallocf(L, &alloc);
  if (!pl_alloc_offer(alloc, owner, t.data, t.len)) return false;
  lua_pushlstring(L, s, t.len);
  pl_alloc_withdraw(alloc);
  r->at = r->end;
  return true;
}

int pl_msgpack_decode_list(lua_State *L, pl_bytes src, bool take) {
  decoder d = {{src.data, src.data + src.len}, true};
  pl_mp_reader *r = &d.r;
  uint32_t n;
  if (!take_small_array(r, &n)) n = take_array(L, r);
  if (n > TOP_ROOM && (n > INT32_MAX || !lua_checkstack(L, (int)n + LUA_MINSTACK))) {
    pl_decode_fail(L, "more values than a function can take");
  }
  if (src.len <= PL_FRAGMENT_MAX || src.owner == NULL) take = false;
  for (uint32_t i = 0; i < n; i++) {
    bool is_long = take && i == n - 1 && (size_t)(r->end - r->at) > PL_FRAGMENT_MAX;
    if (is_long && take_string(L, r, src.owner)) break;
    decode_any(L, r, 0, false);
  }
  check_end(L, r);
  return (int)n;
}

void pl_msgpack_decode(lua_State *L, pl_bytes src) {
  decoder d = {{src.data, src.data + src.len}, false};
  luaL_checkstack(L, 8, NULL);
  decode_any(L, &d.r, 0, false);
  check_end(L, &d.r);
}
