#include "lua/value.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "lua/error.h"
#include "lua/modules.h"
#include "lua/value_impl.h"
#include "lua/view.h"

// Keys: in the registry, and of a metatable that marks an array (true, or its length).
static const char array_key;
static const char blob_key;
static const char null_mark;

// Null.

void pl_push_null(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&null_mark);
}

bool pl_is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == &null_mark;
}

// Arrays.

// The metatable of arrays whose length is that of the table. [-0, +1]
static void push_array_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, 1);
  lua_rawsetp(L, -2, &array_key);
  lua_pushliteral(L, "perilune.array");
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

void pl_push_empty_array(lua_State *L) {
  lua_newtable(L);
  push_array_metatable(L);
  lua_setmetatable(L, -2);
}

// mesh.array(t [, n]) -> t
static int make_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  bool view = lua_getmetatable(L, 1) && pl_view_target(L, 1);
  lua_settop(L, 2);
  luaL_argcheck(L, !view, 1, "a table that was read from mesh.state is not yours to mark");
  lua_Integer n = luaL_optinteger(L, 2, -1);
  luaL_argcheck(L, lua_isnoneornil(L, 2) || (n >= 0 && n <= INT32_MAX), 2,
                "the length must be between 0 and 2147483647");
  if (n < 0) {
    push_array_metatable(L);
  } else {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, n);
    lua_rawsetp(L, -2, &array_key);
    lua_pushliteral(L, "perilune.array");
    lua_setfield(L, -2, "__name");
  }
  lua_setmetatable(L, 1);
  lua_settop(L, 1);
  return 1;
}

// Blobs.

const pl_blob *pl_value_blob(lua_State *L, int index, const char **bytes, size_t *len) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &blob_key);
  bool same = lua_rawequal(L, -1, -2) && !lua_isnil(L, -1);
  lua_pop(L, 2);
  if (!same) return NULL;
  lua_getiuservalue(L, index, 1);
  *bytes = lua_tolstring(L, -1, len);
  lua_pop(L, 1);  // the userdata keeps it
  return lua_touserdata(L, index);
}

static int blob_tostring(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int blob_len(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
  return 1;
}

static void push_blob_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &blob_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  static const luaL_Reg functions[] = {
      {"__tostring", blob_tostring},
      {"__len", blob_len},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  lua_pushliteral(L, "perilune.bytes");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);  // closed to setmetatable and getmetatable
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &blob_key);
}

// The string at the top becomes a blob. [-1, +1]
static void wrap_blob(lua_State *L, pl_blob blob) {
  pl_blob *b = lua_newuserdatauv(L, sizeof *b, 1);
  *b = blob;
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  push_blob_metatable(L);
  lua_setmetatable(L, -2);
}

void pl_push_ext(lua_State *L, int8_t ext, const void *bytes, size_t len) {
  lua_pushlstring(L, bytes, len);
  wrap_blob(L, (pl_blob){.is_ext = true, .ext = ext});
}

// mesh.bytes(s)
static int make_bytes(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  wrap_blob(L, (pl_blob){0});
  return 1;
}

// Encoding.

uint8_t *pl_encode_grow(pl_encoder *e, size_t n) {
  size_t used = pl_buf_len(e->out) - e->start;
  if (n > e->max || used > e->max - n) {
    pl_raise_code(e->L, PL_TOO_LARGE, PL_NOT_SENT, "%s: more than %zu bytes encoded", e->root,
                  e->max);
  }
  uint8_t *p = pl_buf_reserve(e->out, n);
  if (p == NULL) pl_raise_code(e->L, PL_NO_MEMORY, PL_NOT_SENT, "%s: no memory", e->root);
  return p;
}

// Adds the path down to `f` inclusive, the outermost first.
static void add_path(luaL_Buffer *b, const pl_encoder *e, const pl_value_frame *f) {
  if (f->up != NULL) add_path(b, e, f->up);
  char text[32];
  if (f->key == NULL) {
    snprintf(text, sizeof text, "[%lld]", (long long)f->index);
    luaL_addstring(b, text);
  } else {
    luaL_addchar(b, '.');
    luaL_addlstring(b, f->key, strnlen(f->key, 80));
  }
}

static int fail_at(pl_encoder *e, const pl_value_frame *f, const char *what) {
  luaL_checkstack(e->L, LUA_MINSTACK, NULL);
  luaL_Buffer b;
  luaL_buffinit(e->L, &b);
  luaL_addstring(&b, e->root);
  if (f != NULL) add_path(&b, e, f);
  luaL_addchar(&b, ' ');
  luaL_addstring(&b, what);
  luaL_pushresult(&b);
  return pl_raise_code(e->L, PL_INVALID, PL_NOT_SENT, "%s", lua_tostring(e->L, -1));
}

int pl_encode_fail(pl_encoder *e, const char *what) {
  return fail_at(e, e->frame, what);
}

// The entry where a table holds one of its own ancestors for the first time; NULL without a cycle.
static pl_value_frame *find_cycle(lua_State *L, pl_value_frame *innermost) {
  pl_value_frame *first = NULL;
  for (pl_value_frame *f = innermost; f != NULL; f = f->up) {
    for (pl_value_frame *g = f->up; g != NULL; g = g->up) {
      if (g->table != 0 && lua_rawequal(L, f->table, g->table)) first = f->up;
    }
  }
  return first;
}

// At entry of a table: depth and cycles.
static void enter(pl_encoder *e, pl_value_frame *f, int table) {
  f->up = e->frame;
  f->table = table;
  f->key = NULL;
  f->index = 0;
  if (++e->depth > PL_DEPTH_MAX) {
    pl_value_frame *cycle = find_cycle(e->L, f);
    if (cycle != NULL) fail_at(e, cycle, "contains itself");
    pl_encode_fail(e, "is nested deeper than 64 tables");
  }
  luaL_checkstack(e->L, 8, NULL);
  e->frame = f;
}

int pl_encode_fail_type(pl_encoder *e, int type) {
  switch (type) {
    case LUA_TFUNCTION: return pl_encode_fail(e, "is a function");
    case LUA_TTHREAD: return pl_encode_fail(e, "is a coroutine");
    default: return pl_encode_fail(e, "is a userdata");
  }
}

int pl_encode_fail_key(pl_encoder *e, pl_key_kind kind) {
  e->frame = e->frame->up;  // it is the table that is wrong
  return pl_encode_fail(e, kind == PL_KEY_NONE ? "has a key that is neither a string nor a number"
                                               : "mixes string and number keys");
}

void pl_encode_at_number(pl_encoder *e, int key) {
  e->frame->key = NULL;
  if (lua_isinteger(e->L, key)) {
    e->frame->index = lua_tointeger(e->L, key);
  } else {
    lua_Number v = lua_tonumber(e->L, key);
    e->frame->index = v > -1e18 && v < 1e18 ? (lua_Integer)v : 0;
  }
}

bool pl_value_is_marked(lua_State *L, int *index, lua_Integer *n) {
  for (int hops = 0; hops < 2 && lua_getmetatable(L, *index); hops++) {
    int type = lua_rawgetp(L, -1, &array_key);
    if (type == LUA_TNUMBER) {
      *n = lua_tointeger(L, -1);
    } else if (type != LUA_TNIL) {
      *n = (lua_Integer)lua_rawlen(L, *index);
    }
    lua_pop(L, 1);
    bool view = type == LUA_TNIL && pl_view_target(L, *index);
    if (!view) {
      lua_pop(L, 1);
      return type != LUA_TNIL;
    }
    lua_remove(L, -2);
    *index = lua_gettop(L);
  }
  return false;
}

// Whether the keys of the table, whose length is `n` > 0, are exactly 1 to n, in whatever order
// lua_next gives them: those of a table that was filled from its end come in any.
static bool is_array(lua_State *L, int table, lua_Integer n) {
  lua_Integer count = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1), count++) {
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (key >= 1 && key <= n) continue;
    lua_pop(L, 2);
    return false;
  }
  return count == n;
}

void pl_encode_table(pl_encoder *e, int index, const pl_table_writer *w) {
  pl_value_frame f;
  enter(e, &f, index);
  int given = index, top = lua_gettop(e->L);
  lua_Integer n;
  if (pl_value_is_marked(e->L, &index, &n)) {
    w->array(e, index, n);
  } else if ((n = (lua_Integer)lua_rawlen(e->L, index)) == 0 || n > UINT32_MAX) {
    w->map(e, index);
  } else if (!w->sequence(e, index, n)) {
    if (is_array(e->L, index, n)) {
      w->array(e, index, n);
    } else {
      w->map(e, index);
    }
  }
  if (index != given) lua_settop(e->L, top);
  e->frame = f.up;
  e->depth--;
}

pl_encoder pl_encoder_of(lua_State *L, const char *root, size_t max, pl_buf *out) {
  size_t start = pl_buf_len(out);
  size_t bound = max < SIZE_MAX - start ? start + max : SIZE_MAX;
  return (pl_encoder){.L = L, .out = out, .start = start, .max = max, .bound = bound, .root = root};
}

void pl_encode_list(pl_encoder *e, pl_codec codec, int first, int n) {
  if (codec == PL_CODEC_JSON) {
    luaL_checkstack(e->L, 8, NULL);
    pl_json_encode_list(e, first, n);
  } else {
    pl_msgpack_encode_list(e, first, n);
  }
}

void pl_values_encode(lua_State *L, pl_codec codec, int first, int n, const char *root, size_t max,
                      pl_buf *out) {
  pl_encoder e = pl_encoder_of(L, root, max, out);
  pl_encode_list(&e, codec, first, n);
}

void pl_value_encode(lua_State *L, pl_codec codec, int index, const char *root, size_t max,
                     pl_buf *out) {
  pl_encoder e = pl_encoder_of(L, root, max, out);
  luaL_checkstack(L, 8, NULL);
  index = lua_absindex(L, index);
  if (codec == PL_CODEC_JSON) {
    pl_json_encode(&e, index);
  } else {
    pl_msgpack_encode(&e, index);
  }
}

// Decoding.

int pl_decode_fail(lua_State *L, const char *what) {
  return pl_raise_code(L, PL_PROTOCOL, PL_UNKNOWN, "%s", what);
}

int pl_values_decode(lua_State *L, pl_codec codec, pl_bytes src) {
  if (codec == PL_CODEC_JSON) return pl_json_decode_list(L, src);
  return pl_msgpack_decode_list(L, src, false);
}

int pl_values_take(lua_State *L, pl_codec codec, pl_bytes src) {
  if (codec == PL_CODEC_JSON) return pl_json_decode_list(L, src);
  return pl_msgpack_decode_list(L, src, true);
}

void pl_value_decode(lua_State *L, pl_codec codec, pl_bytes src) {
  if (codec == PL_CODEC_JSON) {
    pl_json_decode(L, src);
  } else {
    pl_msgpack_decode(L, src);
  }
}

int pl_open_value(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"bytes", make_bytes},
      {"array", make_array},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  pl_push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
