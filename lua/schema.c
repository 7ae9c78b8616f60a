// Making a schema of the rows that stdlib/perilune/schema.lua made.

#include "lua/schema.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/schema_impl.h"

static pl_schema_kind check_kind(lua_State *L) {
  static const char *const names[] = {"any",     "int",      "number", "string", "bytes",
                                      "boolean", "table",    "list",   "map",    "enum",
                                      "values",  "constant", NULL};
  lua_getfield(L, -1, "kind");
  int kind = luaL_checkoption(L, -1, NULL, names);
  lua_pop(L, 1);
  return (pl_schema_kind)kind;
}

static bool read_flag(lua_State *L, const char *key) {
  lua_getfield(L, -1, key);
  bool is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

static uint32_t read_number(lua_State *L, const char *key) {
  lua_getfield(L, -1, key);
  lua_Integer n = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return (uint32_t)n;
}

// The table of rows keeps the text.
static const char *read_text(lua_State *L, const char *key, size_t *len) {
  lua_getfield(L, -1, key);
  const char *text = luaL_optlstring(L, -1, NULL, len);
  lua_pop(L, 1);
  return text;
}

static pl_schema_bound bound_of(lua_State *L, int index) {
  pl_schema_bound b = {.given = lua_type(L, index) == LUA_TNUMBER};
  if (!b.given) return b;
  b.is_int = lua_isinteger(L, index);
  b.integer = b.is_int ? lua_tointeger(L, index) : 0;
  b.number = lua_tonumber(L, index);
  return b;
}

static pl_schema_bound read_bound(lua_State *L, const char *key) {
  lua_getfield(L, -1, key);
  pl_schema_bound b = bound_of(L, -1);
  lua_pop(L, 1);
  return b;
}

static void read_constant(lua_State *L, pl_schema_row *r) {
  lua_getfield(L, -1, "value");
  r->type = (uint8_t)lua_type(L, -1);
  if (r->type == LUA_TSTRING) {
    r->text = lua_tolstring(L, -1, &r->text_len);
  } else if (r->type == LUA_TBOOLEAN) {
    r->min.integer = lua_toboolean(L, -1);
  } else {
    r->min = bound_of(L, -1);
  }
  lua_pop(L, 1);
}

static void read_row(lua_State *L, pl_schema_row *r) {
  r->kind = (uint8_t)check_kind(L);
  r->optional = read_flag(L, "optional");
  r->extra = read_flag(L, "extra");
  r->first = read_number(L, "first");
  r->count = read_number(L, "count");
  r->name = read_text(L, "name", &r->name_len);
  if (r->kind == PL_SCHEMA_CONSTANT) {
    read_constant(L, r);
    return;
  }
  r->text = read_text(L, "pattern", &r->text_len);
  r->min = read_bound(L, "min");
  r->max = read_bound(L, "max");
}

static void count_required(pl_schema *s) {
  for (uint32_t i = 0; i < s->count; i++) {
    pl_schema_row *r = &s->rows[i];
    if (r->kind != PL_SCHEMA_MAP) continue;
    for (uint32_t c = 0; c < r->count; c++)
      r->required += !pl_schema_children(s, r)[c].optional;
  }
}

const pl_schema *pl_schema_new(lua_State *L, int index) {
  index = lua_absindex(L, index);
  luaL_checktype(L, index, LUA_TTABLE);
  luaL_checkstack(L, 8, NULL);
  size_t count = (size_t)lua_rawlen(L, index);
  pl_schema *s = lua_newuserdatauv(L, sizeof *s + count * sizeof *s->rows, 1);
  memset(s, 0, sizeof *s + count * sizeof *s->rows);
  s->count = (uint32_t)count;
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    read_row(L, &s->rows[i]);
    lua_pop(L, 1);
  }
  count_required(s);
  lua_pushvalue(L, index);
  lua_setiuservalue(L, -2, 1);
  return s;
}
