// The check of values by a schema. It takes tables in the order of lua_next, and makes nothing.
// Only when something is wrong it is done once more, in an order that is always the same, to tell
// what.

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "lua/pattern.h"
#include "lua/schema_impl.h"
#include "lua/schema_told.h"
#include "lua/value_impl.h"
#include "wire/utf8.h"

enum { STEPS_PER_BYTE = 16 };

typedef pl_schema_checker checker;
typedef pl_schema_place place;

static bool check(checker *c, const pl_schema_row *r, int index, const place *at);

// Numbers.

// Whether the number at `index` is less than the bound, or the bound less than it; NaN is both.
static bool is_below(lua_State *L, int index, const pl_schema_bound *b) {
  if (!b->given) return false;
  if (b->is_int && lua_isinteger(L, index)) return lua_tointeger(L, index) < b->integer;
  return !(lua_tonumber(L, index) >= b->number);
}

static bool is_above(lua_State *L, int index, const pl_schema_bound *b) {
  if (!b->given) return false;
  if (b->is_int && lua_isinteger(L, index)) return lua_tointeger(L, index) > b->integer;
  return !(lua_tonumber(L, index) <= b->number);
}

static bool check_number(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  bool fits =
      r->kind == PL_SCHEMA_INT ? lua_isinteger(L, index) : lua_type(L, index) == LUA_TNUMBER;
  if (!fits) return pl_schema_fail(c, r, at, "type", index);
  if (is_below(L, index, &r->min)) return pl_schema_fail(c, r, at, "min", index);
  if (is_above(L, index, &r->max)) return pl_schema_fail(c, r, at, "max", index);
  return true;
}

// Strings.

typedef struct trial {
  const char *subject, *pattern;
  size_t len, pattern_len;
  uint64_t steps;
  bool found;
} trial;

static int try_pattern(lua_State *L) {
  trial *t = lua_touserdata(L, 1);
  const char *pattern = t->pattern, *end = t->subject + t->len;
  bool anchored = t->pattern_len > 0 && *pattern == '^';
  pl_matcher m;
  pl_matcher_init(&m, L, t->subject, t->len, pattern, t->pattern_len);
  m.steps_left = t->steps;
  for (const char *s = t->subject; s <= end && !t->found; s++) {
    t->found = pl_matcher_try(&m, s, pattern + anchored) != NULL;
    if (anchored) break;
  }
  t->steps = m.steps_left;
  return 0;
}

// One that takes too many steps does not match: nobody may make a node busy by its arguments. The
// steps are those of all strings of the values, and some for each byte.
static bool matches(checker *c, const pl_schema_row *r, const char *text, size_t len) {
  lua_State *L = c->L;
  trial t = {.subject = text, .pattern = r->text, .len = len, .pattern_len = r->text_len};
  t.steps = c->steps + (uint64_t)STEPS_PER_BYTE * len;
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, try_pattern);
  lua_pushlightuserdata(L, &t);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) {
    if (t.steps < c->steps) c->steps = t.steps;
    return t.found;
  }
  lua_pop(L, 1);
  c->tired = true;
  return false;
}

static bool check_string(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  size_t len = 0;
  const char *text = NULL;
  bool blob = false;
  if (lua_type(L, index) == LUA_TSTRING) {
    text = lua_tolstring(L, index, &len);
  } else {
    luaL_checkstack(L, 4, NULL);
    const pl_blob *b = pl_value_blob(L, index, &text, &len);
    blob = b != NULL && !b->is_ext;
    if (!blob) return pl_schema_fail(c, r, at, "type", index);
  }
  if (r->kind == PL_SCHEMA_STRING && (blob || !pl_utf8_valid(text, len)))
    return pl_schema_fail(c, r, at, "type", index);
  if (r->min.given && len < (size_t)r->min.integer) return pl_schema_fail(c, r, at, "min", index);
  if (r->max.given && len > (size_t)r->max.integer) return pl_schema_fail(c, r, at, "max", index);
  if (r->text == NULL || matches(c, r, text, len)) return true;
  return pl_schema_fail(c, r, at, "pattern", index);
}

// Constants.

static bool is_constant(lua_State *L, const pl_schema_row *r, int index) {
  size_t len;
  if (lua_type(L, index) != r->type) return false;
  switch (r->type) {
    case LUA_TSTRING: {
      const char *text = lua_tolstring(L, index, &len);
      return len == r->text_len && memcmp(text, r->text, len) == 0;
    }
    case LUA_TBOOLEAN: return lua_toboolean(L, index) == (int)r->min.integer;
    default:
      if (r->min.is_int && lua_isinteger(L, index))
        return lua_tointeger(L, index) == r->min.integer;
      return lua_tonumber(L, index) == r->min.number;
  }
}

static bool check_enum(checker *c, const pl_schema_row *r, int index, const place *at) {
  const pl_schema_row *values = pl_schema_children(c->schema, r);
  for (uint32_t i = 0; i < r->count; i++) {
    if (is_constant(c->L, &values[i], index)) return true;
  }
  return pl_schema_fail(c, r, at, "enum", index);
}

// Tables.

// Of a table that was read from mesh.state the index becomes that of what it shows.
static bool length_of(lua_State *L, int *index, lua_Integer *n) {
  bool marked = pl_value_is_marked(L, index, n);
  if (!marked) *n = (lua_Integer)lua_rawlen(L, *index);
  return marked;
}

static bool check_length(checker *c, const pl_schema_row *r, int index, lua_Integer n,
                         const place *at) {
  c->length = n;
  if (r->min.given && n < r->min.integer) return pl_schema_fail(c, r, at, "min", index);
  if (r->max.given && n > r->max.integer) return pl_schema_fail(c, r, at, "max", index);
  return true;
}

static bool has_other_keys(lua_State *L, int index, lua_Integer n) {
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (key >= 1 && key <= n) continue;
    lua_pop(L, 2);
    return true;
  }
  return false;
}

// The elements in their order: what is wrong with the first that does not fit.
static bool tell_list(checker *c, const pl_schema_row *r, int index, lua_Integer n, bool marked,
                      const place *at) {
  const pl_schema_row *of = pl_schema_children(c->schema, r);
  if (!marked && has_other_keys(c->L, index, n)) return pl_schema_fail(c, r, at, "type", index);
  for (place p = {.up = at, .index = 1}; p.index <= n; p.index++) {
    lua_rawgeti(c->L, index, p.index);
    if (!check(c, of, lua_gettop(c->L), &p)) return false;
    lua_pop(c->L, 1);
  }
  return true;
}

static bool check_list(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  if (!lua_istable(L, index)) return pl_schema_fail(c, r, at, "type", index);
  luaL_checkstack(L, 8, NULL);
  const pl_schema_row *of = pl_schema_children(c->schema, r);
  lua_Integer n, found = 0;
  bool marked = length_of(L, &index, &n), fits = true;
  if (!check_length(c, r, index, n, at)) return false;
  if (c->telling) return tell_list(c, r, index, n, marked, at);
  for (lua_pushnil(L); fits && lua_next(L, index) != 0; lua_pop(L, 1)) {
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    bool inside = key >= 1 && key <= n;
    fits = inside ? check(c, of, lua_gettop(L), NULL) : marked;
    found += inside;
  }
  return fits && (found == n || of->optional);
}

static const pl_schema_row *find_field(const pl_schema *s, const pl_schema_row *r, const char *name,
                                       size_t len) {
  const pl_schema_row *fields = pl_schema_children(s, r);
  for (uint32_t i = 0; i < r->count; i++) {
    // Short strings are the same where they are equal.
    bool same = fields[i].name == name ||
                (fields[i].name_len == len && memcmp(fields[i].name, name, len) == 0);
    if (same) return &fields[i];
  }
  return NULL;
}

// The row for the key at `key`; NULL when there may be none.
static const pl_schema_row *row_of(const checker *c, const pl_schema_row *r, int key) {
  size_t len;
  const pl_schema_row *field = NULL;
  if (lua_type(c->L, key) == LUA_TSTRING) {
    const char *name = lua_tolstring(c->L, key, &len);
    field = find_field(c->schema, r, name, len);
  }
  if (field != NULL || !r->extra) return field;
  return &pl_schema_children(c->schema, r)[r->count];
}

// Numbers come before strings.
static bool comes_before(lua_State *L, int a, int b) {
  int type_a = lua_type(L, a), type_b = lua_type(L, b);
  if (type_a != type_b) return type_a < type_b;
  if (type_a != LUA_TNUMBER && type_a != LUA_TSTRING) return false;
  return lua_compare(L, a, b, LUA_OPLT) == 1;
}

// Pushes the first key that is no field, or whose value does not fit `extra`; nil if there is none.
// [-0, +1]
static void push_first_wrong(checker *c, const pl_schema_row *r, int index) {
  lua_State *L = c->L;
  lua_pushnil(L);
  int found = lua_gettop(L);
  const pl_schema_row *extra = &pl_schema_children(c->schema, r)[r->count];
  c->telling = false;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    const pl_schema_row *row = row_of(c, r, -2);
    bool is_other = row == NULL || row == extra;
    bool wrong = is_other && (row == NULL || !check(c, row, lua_gettop(L), NULL));
    if (!wrong || !(lua_isnil(L, found) || comes_before(L, found + 1, found))) continue;
    lua_pushvalue(L, found + 1);
    lua_replace(L, found);
  }
  c->telling = true;
}

// What is wrong with the first entry that is no field.
static bool tell_others(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  push_first_wrong(c, r, index);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return true;
  }
  place p = {.up = at};
  if (lua_type(L, -1) == LUA_TSTRING) {
    p.key = lua_tostring(L, -1);
  } else if (lua_isinteger(L, -1)) {
    p.index = lua_tointeger(L, -1);
  }
  const pl_schema_row *row = row_of(c, r, -1);
  lua_pushvalue(L, -1);
  lua_rawget(L, index);
  if (row == NULL) return pl_schema_fail_unknown(c, r, &p, lua_gettop(L));
  return check(c, row, lua_gettop(L), &p);
}

// A name that is misspelt says more than that the right one is missing.
static bool tell_map(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  const pl_schema_row *fields = pl_schema_children(c->schema, r);
  if (!tell_others(c, r, index, at)) return false;
  for (uint32_t i = 0; i < r->count; i++) {
    place p = {.up = at, .key = fields[i].name};
    lua_pushlstring(L, fields[i].name, fields[i].name_len);
    lua_rawget(L, index);
    if (!check(c, &fields[i], lua_gettop(L), &p)) return false;
    lua_pop(L, 1);
  }
  return true;
}

static bool check_map(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  if (!lua_istable(L, index)) return pl_schema_fail(c, r, at, "type", index);
  luaL_checkstack(L, 10, NULL);
  lua_Integer n;
  length_of(L, &index, &n);
  if (c->telling) return tell_map(c, r, index, at);
  uint32_t required = 0;
  const pl_schema_row *extra = &pl_schema_children(c->schema, r)[r->count];
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    const pl_schema_row *row = row_of(c, r, -2);
    if (row == NULL || !check(c, row, lua_gettop(L), NULL)) return false;
    required += row != extra && !row->optional;
  }
  return required == r->required;
}

static bool check(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  int type = lua_type(L, index);
  if (type == LUA_TNIL) return r->optional || pl_schema_fail(c, r, at, "missing", index);
  if (r->kind == PL_SCHEMA_ANY) return true;
  if (type == LUA_TLIGHTUSERDATA && pl_is_null(L, index))
    return r->optional || pl_schema_fail(c, r, at, "missing", index);
  int top = lua_gettop(L);
  bool fits = false;
  switch ((pl_schema_kind)r->kind) {
    case PL_SCHEMA_INT:
    case PL_SCHEMA_NUMBER: return check_number(c, r, index, at);
    case PL_SCHEMA_STRING:
    case PL_SCHEMA_BYTES: return check_string(c, r, index, at);
    case PL_SCHEMA_ENUM: return check_enum(c, r, index, at);
    case PL_SCHEMA_BOOLEAN: return type == LUA_TBOOLEAN || pl_schema_fail(c, r, at, "type", index);
    case PL_SCHEMA_TABLE: return type == LUA_TTABLE || pl_schema_fail(c, r, at, "type", index);
    case PL_SCHEMA_LIST: fits = check_list(c, r, index, at); break;
    case PL_SCHEMA_MAP: fits = check_map(c, r, index, at); break;
    case PL_SCHEMA_ANY:
    case PL_SCHEMA_VALUES:
    case PL_SCHEMA_CONSTANT: return true;  // checked above, or never a child of those
  }
  if (fits || !c->telling) lua_settop(L, top);  // what a view shows
  return fits;
}

// Lists of values.

static int count_given(lua_State *L, int first, int n) {
  while (n > 0 && lua_isnil(L, first + n - 1))
    n--;
  return n;
}

static bool check_values(checker *c, const pl_schema_row *r, int first, int given) {
  static const char *const roots[] = {"args", "result", "chunk"};
  const pl_schema_row *rows = pl_schema_children(c->schema, r);
  const place root = {.key = roots[c->part]};
  int count = (int)r->count;
  for (int i = 0; i < given || i < count; i++) {
    place p = {.up = &root, .index = i + 1};
    const pl_schema_row *row = i < count || r->extra ? &rows[i < count ? i : count] : NULL;
    c->length = given;
    if (row == NULL) return pl_schema_fail(c, r, &root, "count", 0);
    bool fits = i < given ? check(c, row, first + i, &p)
                          : row->optional || pl_schema_fail(c, row, &p, "missing", 0);
    if (!fits) return false;
  }
  return true;
}

bool pl_schema_check(lua_State *L, const pl_schema *s, pl_schema_part part, int n) {
  const pl_schema_row *r = &s->rows[part];
  if (r->kind != PL_SCHEMA_VALUES) return true;
  checker c = {.L = L, .schema = s, .part = part, .steps = PL_SCHEMA_STEPS};
  luaL_checkstack(L, 8, NULL);
  int top = lua_gettop(L), first = top - n + 1, given = count_given(L, first, n);
  if (check_values(&c, r, first, given)) return true;
  lua_settop(L, top);
  c.telling = true;
  c.steps = PL_SCHEMA_STEPS;
  c.tired = false;
  return check_values(&c, r, first, given);
}
