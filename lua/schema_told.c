#include "lua/schema_told.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/guess.h"
#include "lua/error.h"
#include "lua/value_impl.h"

enum {
  EXPECTED_MAX = 512,  // bytes of what is expected, in words
  PATH_BYTES = 1024,
  SHOWN = 40,  // bytes of a string that is shown
  CONSTANTS = 8,
};

typedef struct text {
  char *at, *end;
} text;

static void put(text *t, const char *what, size_t len) {
  size_t room = (size_t)(t->end - t->at);
  if (len > room) len = room;
  memcpy(t->at, what, len);
  t->at += len;
  *t->at = '\0';
}

static void say(text *t, const char *what) {
  put(t, what, strlen(what));
}

// A string of others: what would steer a terminal, or is no text, is shown as `?`.
static void quote(text *t, const char *what, size_t len) {
  say(t, "'");
  size_t shown = len < SHOWN ? len : SHOWN;
  for (size_t i = 0; i < shown; i++) {
    bool plain = (unsigned char)what[i] >= ' ' && (unsigned char)what[i] < 127;
    put(t, plain ? &what[i] : "?", 1);
  }
  say(t, len > shown ? "…'" : "'");
}

static void say_integer(text *t, lua_Integer n) {
  char digits[32];
  snprintf(digits, sizeof digits, "%lld", (long long)n);
  say(t, digits);
}

static void say_number(text *t, lua_Number n) {
  char digits[48];
  snprintf(digits, sizeof digits, "%.14g", n);
  say(t, digits);
}

static void say_bound(text *t, const pl_schema_bound *b) {
  if (b->is_int) {
    say_integer(t, b->integer);
  } else {
    say_number(t, b->number);
  }
}

// ` from 1 to 9`, or with a unit ` of 1 to 9 bytes`.
static void say_bounds(text *t, const pl_schema_row *r, const char *unit) {
  if (!r->min.given && !r->max.given) return;
  bool both = r->min.given && r->max.given;
  say(t, unit == NULL && both ? " from" : " of");
  if (!both) say(t, r->min.given ? " at least" : " at most");
  if (r->min.given) {
    say(t, " ");
    say_bound(t, &r->min);
  }
  if (both) say(t, " to");
  if (r->max.given) {
    say(t, " ");
    say_bound(t, &r->max);
  }
  if (unit != NULL) say(t, unit);
}

static void say_constant(text *t, const pl_schema_row *r) {
  if (r->type == LUA_TSTRING) {
    quote(t, r->text, r->text_len);
  } else if (r->type == LUA_TBOOLEAN) {
    say(t, r->min.integer != 0 ? "true" : "false");
  } else {
    say_bound(t, &r->min);
  }
}

static void say_enum(text *t, const pl_schema *s, const pl_schema_row *r) {
  const pl_schema_row *values = pl_schema_children(s, r);
  if (r->count > 1) say(t, "one of ");
  for (uint32_t i = 0; i < r->count && i < CONSTANTS; i++) {
    if (i > 0) say(t, ", ");
    say_constant(t, &values[i]);
  }
  if (r->count > CONSTANTS) say(t, ", …");
}

static void say_expected(text *t, const pl_schema *s, const pl_schema_row *r) {
  switch ((pl_schema_kind)r->kind) {
    case PL_SCHEMA_ANY: say(t, "a value"); break;
    case PL_SCHEMA_INT: say(t, "int"); break;
    case PL_SCHEMA_NUMBER: say(t, "number"); break;
    case PL_SCHEMA_STRING: say(t, "string"); break;
    case PL_SCHEMA_BYTES: say(t, "bytes"); break;
    case PL_SCHEMA_BOOLEAN: say(t, "boolean"); break;
    case PL_SCHEMA_TABLE: say(t, "table"); break;
    case PL_SCHEMA_LIST: say(t, "list"); break;
    case PL_SCHEMA_MAP: say(t, "table of fields"); break;
    case PL_SCHEMA_ENUM: say_enum(t, s, r); return;
    case PL_SCHEMA_VALUES:
      say(t, "at most ");
      say_integer(t, r->count);
      return;
    case PL_SCHEMA_CONSTANT: return;
  }
  bool of_bytes = r->kind == PL_SCHEMA_STRING || r->kind == PL_SCHEMA_BYTES;
  say_bounds(t, r, of_bytes ? " bytes" : r->kind == PL_SCHEMA_LIST ? " values" : NULL);
  if (r->text == NULL) return;
  say(t, " like ");
  quote(t, r->text, r->text_len);
}

// What was found.

static void say_string(text *t, const pl_schema_checker *c, const char *rule, const char *found,
                       size_t len, bool is_text) {
  if (c->tired) {
    say(t, "one that takes too long to compare");
  } else if (strcmp(rule, "min") == 0 || strcmp(rule, "max") == 0) {
    say_integer(t, (lua_Integer)len);
    say(t, " bytes");
  } else if (strcmp(rule, "enum") == 0 || strcmp(rule, "pattern") == 0) {
    quote(t, found, len);
  } else {
    say(t, is_text ? "string" : "bytes that are no text");
  }
}

static void say_number_found(text *t, lua_State *L, const pl_schema_row *r, int index) {
  if (lua_isinteger(L, index)) {
    say_integer(t, lua_tointeger(L, index));
    return;
  }
  say_number(t, lua_tonumber(L, index));
  if (r->kind == PL_SCHEMA_INT) say(t, ", a float");
}

static void say_table(text *t, const pl_schema_checker *c, const pl_schema_row *r,
                      const char *rule) {
  bool counted = r->kind == PL_SCHEMA_LIST && strcmp(rule, "type") != 0;
  if (counted) {
    say_integer(t, c->length);
    return;
  }
  say(t, r->kind == PL_SCHEMA_LIST ? "table with other keys than 1 to n" : "table");
}

static void say_found(text *t, const pl_schema_checker *c, const pl_schema_row *r, const char *rule,
                      int index) {
  lua_State *L = c->L;
  size_t len;
  const char *found;
  if (r->kind == PL_SCHEMA_VALUES) {
    say_integer(t, c->length);
    return;
  }
  switch (index == 0 ? LUA_TNIL : lua_type(L, index)) {
    case LUA_TNIL: say(t, "nothing"); break;
    case LUA_TNUMBER: say_number_found(t, L, r, index); break;
    case LUA_TBOOLEAN: say(t, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TTABLE: say_table(t, c, r, rule); break;
    case LUA_TSTRING:
      found = lua_tolstring(L, index, &len);
      say_string(t, c, rule, found, len, r->kind != PL_SCHEMA_STRING);
      break;
    case LUA_TLIGHTUSERDATA: say(t, pl_is_null(L, index) ? "null" : "userdata"); break;
    case LUA_TUSERDATA:
      if (pl_value_blob(L, index, &found, &len) != NULL) {
        say_string(t, c, rule, found, len, false);
        break;
      }
      say(t, "userdata");
      break;
    default: say(t, luaL_typename(L, index)); break;
  }
}

// The error.

static void say_path(text *t, const pl_schema_place *at) {
  if (at->up == NULL) {
    say(t, at->key);
    return;
  }
  say_path(t, at->up);
  if (at->key != NULL) {
    say(t, ".");
    put(t, at->key, strnlen(at->key, 80));
  } else {
    say(t, "[");
    say_integer(t, at->index);
    say(t, "]");
  }
}

static void set(lua_State *L, const char *key, const char *value) {
  if (value == NULL) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static bool push_error(const pl_schema_checker *c, const char *path, const char *rule,
                       const char *expected, const char *found, const char *meant) {
  lua_State *L = c->L;
  luaL_checkstack(L, 12, NULL);
  char message[PATH_BYTES + 2 * EXPECTED_MAX + 64];
  if (expected != NULL) {
    snprintf(message, sizeof message, "%s: %s expected, got %s", path, expected, found);
  } else {
    snprintf(message, sizeof message, "%s: no such field%s%s%s", path,
             meant != NULL ? "; did you mean '" : "", meant != NULL ? meant : "",
             meant != NULL ? "'?" : "");
  }
  const pl_failure f = pl_failure_of(
      PL_INVALID, c->part == PL_SCHEMA_PARAMS ? PL_NOT_EXECUTED : PL_EXECUTED, message);
  pl_error_push(L, &f);
  lua_createtable(L, 0, 5);
  set(L, "path", path);
  set(L, "rule", rule);
  set(L, "expected", expected);
  set(L, "got", found);
  set(L, "meant", meant);
  lua_setfield(L, -2, "details");
  return false;
}

bool pl_schema_fail(pl_schema_checker *c, const pl_schema_row *r, const pl_schema_place *at,
                    const char *rule, int index) {
  if (!c->telling) return false;
  char path[PATH_BYTES + 1], expected[EXPECTED_MAX + 1], found[EXPECTED_MAX + 1];
  text p = {path, path + PATH_BYTES};
  text e = {expected, expected + EXPECTED_MAX};
  text f = {found, found + EXPECTED_MAX};
  luaL_checkstack(c->L, 8, NULL);
  say_path(&p, at);
  say_expected(&e, c->schema, r);
  say_found(&f, c, r, rule, index);
  return push_error(c, path, rule, expected, found, NULL);
}

bool pl_schema_fail_unknown(pl_schema_checker *c, const pl_schema_row *map,
                            const pl_schema_place *at, int index) {
  enum { FIELDS_LOOKED = 128 };
  char path[PATH_BYTES + 1], found[EXPECTED_MAX + 1];
  text p = {path, path + PATH_BYTES};
  text f = {found, found + EXPECTED_MAX};
  const char *names[FIELDS_LOOKED];
  uint32_t count = 0;
  const pl_schema_row *fields = pl_schema_children(c->schema, map);
  for (; count < map->count && count < FIELDS_LOOKED; count++)
    names[count] = fields[count].name;
  luaL_checkstack(c->L, 8, NULL);
  say_path(&p, at);
  say_found(&f, c, map, "unknown", index);
  const char *meant = at->key != NULL ? pl_guess(at->key, names, count) : NULL;
  return push_error(c, path, "unknown", NULL, found, meant);
}
