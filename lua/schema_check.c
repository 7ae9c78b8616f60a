// The check of values by a schema. On the way down nothing is made; what is wrong is told by the
// one who finds it, who knows the way there.

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

static bool tell_hole(checker *c, const pl_schema_row *of, int index, const place *at) {
  place p = {.up = at, .index = 1};
  while (lua_rawgeti(c->L, index, p.index) != LUA_TNIL) {
    lua_pop(c->L, 1);
    p.index++;
  }
  return pl_schema_fail(c, of, &p, "missing", lua_gettop(c->L));
}

static bool check_list(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  if (!lua_istable(L, index)) return pl_schema_fail(c, r, at, "type", index);
  luaL_checkstack(L, 8, NULL);
  const pl_schema_row *of = pl_schema_children(c->schema, r);
  lua_Integer n, found = 0;
  bool marked = length_of(L, &index, &n);
  if (!check_length(c, r, index, n, at)) return false;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    place p = {.up = at, .index = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0};
    bool inside = p.index >= 1 && p.index <= n;
    if (!inside && marked) continue;
    if (!inside) return pl_schema_fail(c, r, at, "type", index);
    if (!check(c, of, lua_gettop(L), &p)) return false;
    found++;
  }
  return found == n || of->optional || tell_hole(c, of, index, at);
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

static bool tell_missing(checker *c, const pl_schema_row *r, int index, const place *at) {
  const pl_schema_row *field = pl_schema_children(c->schema, r);
  for (;; field++) {
    lua_pushlstring(c->L, field->name, field->name_len);
    bool there = lua_rawget(c->L, index) != LUA_TNIL;
    if (!there && !field->optional) break;
    lua_pop(c->L, 1);
  }
  place p = {.up = at, .key = field->name};
  return pl_schema_fail(c, field, &p, "missing", lua_gettop(c->L));
}

// The entry at the top and below it, its key. [-0, +0]
static bool check_field(checker *c, const pl_schema_row *r, uint32_t *required, const place *at) {
  lua_State *L = c->L;
  size_t len;
  place p = {.up = at};
  const pl_schema_row *field = NULL;
  if (lua_type(L, -2) == LUA_TSTRING) {
    p.key = lua_tolstring(L, -2, &len);
    field = find_field(c->schema, r, p.key, len);
    *required += field != NULL && !field->optional;
  } else {
    p.index = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
  }
  if (field == NULL && !r->extra) return pl_schema_fail_unknown(c, r, &p, lua_gettop(L));
  if (field == NULL) field = &pl_schema_children(c->schema, r)[r->count];
  return check(c, field, lua_gettop(L), &p);
}

static bool check_map(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  if (!lua_istable(L, index)) return pl_schema_fail(c, r, at, "type", index);
  luaL_checkstack(L, 8, NULL);
  lua_Integer n;
  length_of(L, &index, &n);
  uint32_t required = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (!check_field(c, r, &required, at)) return false;
  }
  return required == r->required || tell_missing(c, r, index, at);
}

static bool check(checker *c, const pl_schema_row *r, int index, const place *at) {
  lua_State *L = c->L;
  int type = lua_type(L, index);
  if (type == LUA_TNIL) return r->optional || pl_schema_fail(c, r, at, "missing", index);
  if (r->kind == PL_SCHEMA_ANY) return true;
  if (type == LUA_TLIGHTUSERDATA && pl_is_null(L, index))
    return r->optional || pl_schema_fail(c, r, at, "missing", index);
  int top = lua_gettop(L);
  bool fine = false;
  switch ((pl_schema_kind)r->kind) {
    case PL_SCHEMA_INT:
    case PL_SCHEMA_NUMBER: return check_number(c, r, index, at);
    case PL_SCHEMA_STRING:
    case PL_SCHEMA_BYTES: return check_string(c, r, index, at);
    case PL_SCHEMA_ENUM: return check_enum(c, r, index, at);
    case PL_SCHEMA_BOOLEAN: return type == LUA_TBOOLEAN || pl_schema_fail(c, r, at, "type", index);
    case PL_SCHEMA_TABLE: return type == LUA_TTABLE || pl_schema_fail(c, r, at, "type", index);
    case PL_SCHEMA_LIST: fine = check_list(c, r, index, at); break;
    case PL_SCHEMA_MAP: fine = check_map(c, r, index, at); break;
    case PL_SCHEMA_ANY:
    case PL_SCHEMA_VALUES:
    case PL_SCHEMA_CONSTANT: return true;  // checked above, or never a child of those
  }
  if (fine) lua_settop(L, top);  // what a view shows
  return fine;
}

// Lists of values.

static int count_given(lua_State *L, int first, int n) {
  while (n > 0 && lua_isnil(L, first + n - 1))
    n--;
  return n;
}

bool pl_schema_check(lua_State *L, const pl_schema *s, pl_schema_part part, int n) {
  static const char *const roots[] = {"args", "result", "chunk"};
  const pl_schema_row *r = &s->rows[part];
  if (r->kind != PL_SCHEMA_VALUES) return true;
  checker c = {.L = L, .schema = s, .part = part, .steps = PL_SCHEMA_STEPS};
  luaL_checkstack(L, 8, NULL);
  const place root = {.key = roots[part]};
  const pl_schema_row *rows = pl_schema_children(s, r);
  int first = lua_gettop(L) - n + 1, count = (int)r->count;
  int given = count_given(L, first, n);
  c.length = given;
  for (int i = 0; i < given && i < count; i++) {
    place p = {.up = &root, .index = i + 1};
    if (!check(&c, &rows[i], first + i, &p)) return false;
  }
  for (int i = given; i < count; i++) {
    place p = {.up = &root, .index = i + 1};
    if (!rows[i].optional) return pl_schema_fail(&c, &rows[i], &p, "missing", 0);
  }
  if (given > count && !r->extra) return pl_schema_fail(&c, r, &root, "count", 0);
  for (int i = count; i < given; i++) {
    place p = {.up = &root, .index = i + 1};
    if (!check(&c, &rows[count], first + i, &p)) return false;
  }
  return true;
}
