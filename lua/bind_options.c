#include "lua/bind_options.h"

#include <lauxlib.h>
#include <string.h>

#include "base/guess.h"

// Reading.

enum { TEXTS_MAX = PL_LISTENERS_MAX + 1 };

// Fills `texts` from the list at the top. The strings stay alive in the table.
static size_t read_texts(lua_State *L, const char *what, const char *name, const char **texts) {
  lua_Integer n = luaL_len(L, -1);
  if (n > PL_LISTENERS_MAX) luaL_error(L, "%s: %s: more than 64 addresses", what, name);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t len;
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING) {
      luaL_error(L, "%s: %s[%d]: a string is expected, got %s", what, name, (int)i,
                 luaL_typename(L, -1));
    }
    texts[i - 1] = lua_tolstring(L, -1, &len);
    if (strlen(texts[i - 1]) != len)
      luaL_error(L, "%s: %s[%d]: a NUL byte is not allowed", what, name, (int)i);
    lua_pop(L, 1);
  }
  return (size_t)n;
}

static const char *kind_name(const pl_option *opt) {
  switch (opt->kind) {
    case PL_OPTION_TEXT:
    case PL_OPTION_FILE: return "string";
    case PL_OPTION_TEXTS: return "list of strings";
    case PL_OPTION_BOOLEAN: return "boolean";
    case PL_OPTION_SECONDS:
    case PL_OPTION_INTEGER: break;
  }
  return "number";
}

static bool fits(const pl_option *opt, int type) {
  switch (opt->kind) {
    case PL_OPTION_TEXT:
    case PL_OPTION_FILE: return type == LUA_TSTRING;
    case PL_OPTION_TEXTS: return type == LUA_TTABLE || type == LUA_TSTRING;
    case PL_OPTION_BOOLEAN: return type == LUA_TBOOLEAN;
    case PL_OPTION_SECONDS:
    case PL_OPTION_INTEGER: break;
  }
  return type == LUA_TNUMBER;
}

// Converts the value at the top. `texts` is where a list goes.
static pl_option_value to_value(lua_State *L, const char *what, const pl_option *opt,
                                const char **texts) {
  pl_option_value v = {.texts = texts};
  if (!opt->later && !fits(opt, lua_type(L, -1))) {
    luaL_error(L, "%s: %s: a %s is expected, got %s", what, opt->name, kind_name(opt),
               luaL_typename(L, -1));
  }
  size_t len;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      v.given = PL_GIVEN_TEXT;
      v.text = lua_tolstring(L, -1, &len);
      if (strlen(v.text) != len)
        luaL_error(L, "%s: %s: a NUL byte is not allowed", what, opt->name);
      break;
    case LUA_TNUMBER:
      v.given = PL_GIVEN_NUMBER;
      v.number = lua_tonumber(L, -1);
      break;
    case LUA_TBOOLEAN:
      v.given = PL_GIVEN_BOOLEAN;
      v.boolean = lua_toboolean(L, -1);
      break;
    default:
      v.given = PL_GIVEN_TEXTS;
      v.count = opt->later ? 0 : read_texts(L, what, opt->name, texts);
  }
  return v;
}

static void refuse_name(lua_State *L, const char *what, const char *name) {
  const char *names[PL_OPTION_COUNT];
  for (int i = 0; i < PL_OPTION_COUNT; i++)
    names[i] = pl_option_list[i].name;
  const char *meant = pl_guess(name, names, PL_OPTION_COUNT);
  if (meant == NULL)
    luaL_error(L, "%s: unknown option '%s'", what, name);
  else
    luaL_error(L, "%s: unknown option '%s'; did you mean '%s'?", what, name, meant);
}

// Sets the option whose name and value are at the top.
static void set_option(lua_State *L, const char *what, pl_options *o) {
  if (lua_type(L, -2) != LUA_TSTRING)
    luaL_error(L, "%s: options have names, got a %s", what, luaL_typename(L, -2));
  const char *name = lua_tostring(L, -2);
  const pl_option *opt = pl_option_find(name);
  if (opt == NULL || strcmp(opt->name, name) != 0) refuse_name(L, what, name);
  const char *texts[TEXTS_MAX];
  pl_option_value v = to_value(L, what, opt, texts);
  char why[PL_URL_MAX];
  if (pl_option_set(o, PL_SOURCE_SCRIPT, opt, &v, why) != PL_OK) luaL_error(L, "%s: %s", what, why);
}

static int draft_free(lua_State *L) {
  pl_options_free(lua_touserdata(L, 1));
  return 0;
}

// A copy of `o` that the collector frees. [-0, +1]
static pl_options *push_draft(lua_State *L, const pl_options *o) {
  pl_options *draft = lua_newuserdatauv(L, sizeof *draft, 0);
  *draft = (pl_options){0};
  if (luaL_newmetatable(L, "perilune.Options")) {
    lua_pushcfunction(L, draft_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  pl_options_copy(draft, o);
  return draft;
}

// A copy of `o` with what the table says. [-0, +1]
static pl_options *read_draft(lua_State *L, const char *what, int index, const pl_options *o) {
  index = lua_absindex(L, index);
  pl_options *draft = push_draft(L, o);
  for (lua_pushnil(L); lua_next(L, index);) {
    set_option(L, what, draft);
    lua_pop(L, 1);
  }
  return draft;
}

void pl_options_check(lua_State *L, const char *what, int index, const pl_options *o) {
  read_draft(L, what, index, o);
  lua_pop(L, 1);
}

void pl_options_read(lua_State *L, const char *what, int index, pl_options *o) {
  pl_options *draft = read_draft(L, what, index, o);
  pl_options all = *draft;
  *draft = *o;
  *o = all;
  lua_pop(L, 1);
}

// Showing.

// [-0, +1]
static void push_value(lua_State *L, const pl_options *o, const pl_option *opt) {
  const void *at = (const char *)o + opt->offset;
  switch (opt->kind) {
    case PL_OPTION_TEXT:
    case PL_OPTION_FILE: lua_pushstring(L, *(char *const *)at); break;
    case PL_OPTION_BOOLEAN: lua_pushboolean(L, *(const bool *)at); break;
    case PL_OPTION_SECONDS: lua_pushnumber(L, *(const double *)at); break;
    case PL_OPTION_INTEGER: lua_pushinteger(L, *(const int64_t *)at); break;
    case PL_OPTION_TEXTS: {
      const pl_texts *list = at;
      lua_createtable(L, (int)list->count, 0);
      for (size_t i = 0; i < list->count; i++) {
        lua_pushstring(L, list->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      break;
    }
  }
}

void pl_options_push(lua_State *L, const pl_options *o) {
  lua_createtable(L, 0, PL_OPTION_COUNT);
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    const pl_option *opt = &pl_option_list[i];
    if (opt->later) continue;
    lua_createtable(L, 0, 2);
    push_value(L, o, opt);
    lua_setfield(L, -2, "value");
    lua_pushstring(L, pl_source_name((pl_source)o->source[i]));
    lua_setfield(L, -2, "source");
    lua_setfield(L, -2, opt->name);
  }
}

static const char *lua_type_of(const pl_option *opt) {
  switch (opt->kind) {
    case PL_OPTION_TEXT:
    case PL_OPTION_FILE: return "string";
    case PL_OPTION_TEXTS: return "string|string[]";
    case PL_OPTION_BOOLEAN: return "boolean";
    case PL_OPTION_INTEGER: return "integer";
    case PL_OPTION_SECONDS: break;
  }
  return "number";
}

// What the option is for, and what it is unless given. [-0, +1]
static void push_text(lua_State *L, const pl_option *opt) {
  lua_pushstring(L, opt->help);
  if (opt->standard_text != NULL) {
    lua_pushfstring(L, " [%s]", opt->standard_text);
  } else if (opt->kind == PL_OPTION_INTEGER) {
    lua_pushfstring(L, " [%I]", (LUAI_UACINT)opt->standard);
  } else if (opt->kind == PL_OPTION_SECONDS) {
    lua_pushfstring(L, " [%f]", (LUAI_UACNUMBER)opt->standard);
  } else {
    return;
  }
  lua_concat(L, 2);
}

void pl_options_push_list(lua_State *L) {
  lua_createtable(L, PL_OPTION_COUNT, 0);
  lua_Integer n = 0;
  for (const pl_option *opt = pl_option_list; opt < pl_option_list + PL_OPTION_COUNT; opt++) {
    if (opt->later) continue;
    lua_createtable(L, 0, 3);
    lua_pushstring(L, opt->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, lua_type_of(opt));
    lua_setfield(L, -2, "type");
    push_text(L, opt);
    lua_setfield(L, -2, "text");
    lua_rawseti(L, -2, ++n);
  }
}
