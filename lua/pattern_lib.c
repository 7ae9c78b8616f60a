// string.find, match, gmatch and gsub over the bounded matcher of pattern.h.

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "lua/core.h"
#include "lua/pattern.h"

typedef struct text {
  const char *s;
  size_t len;
} text;

static text check_text(lua_State *L, int arg) {
  text t;
  t.s = luaL_checklstring(L, arg, &t.len);
  return t;
}

// The offset that the optional position at `arg` means, past the end when it is beyond.
static size_t check_init(lua_State *L, int arg, size_t len) {
  lua_Integer at = luaL_optinteger(L, arg, 1);
  if (at > 0) return (size_t)at - 1;
  if (at == 0 || at < -(lua_Integer)len) return 0;
  return len + (size_t)at;
}

// find and match.

static int push_found(lua_State *L, size_t first, size_t last) {
  lua_pushinteger(L, (lua_Integer)first);
  lua_pushinteger(L, (lua_Integer)last);
  return 2;
}

static int find_plain(lua_State *L, text subject, text part, size_t init) {
  const char *at = memmem(subject.s + init, subject.len - init, part.s, part.len);
  if (at == NULL) {
    lua_pushnil(L);
    return 1;
  }
  size_t first = (size_t)(at - subject.s);
  return push_found(L, first + 1, first + part.len);
}

static bool is_plain(text pattern) {
  for (size_t i = 0; i < pattern.len; i++) {
    if (pattern.s[i] != '\0' && strchr("^$*+?.([%-", pattern.s[i]) != NULL) return false;
  }
  return true;
}

static int find_pattern(lua_State *L, text subject, text pattern, size_t init, bool find) {
  const char *p = pattern.s;
  bool anchored = pattern.len > 0 && *p == '^';
  pl_matcher m;
  pl_matcher_init(&m, L, subject.s, subject.len, pattern.s, pattern.len);
  if (anchored) p++;
  for (const char *at = subject.s + init; at <= m.subject_end; at++) {
    const char *end = pl_matcher_try(&m, at, p);
    if (end != NULL && !find) return pl_matcher_push(&m, at, end);
    if (end != NULL) {
      push_found(L, (size_t)(at - subject.s) + 1, (size_t)(end - subject.s));
      return pl_matcher_push(&m, NULL, NULL) + 2;
    }
    if (anchored) break;
  }
  lua_pushnil(L);
  return 1;
}

static int search(lua_State *L, bool find) {
  text subject = check_text(L, 1), pattern = check_text(L, 2);
  size_t init = check_init(L, 3, subject.len);
  if (init > subject.len) {
    lua_pushnil(L);
    return 1;
  }
  if (find && (lua_toboolean(L, 4) || is_plain(pattern))) {
    return find_plain(L, subject, pattern, init);
  }
  return find_pattern(L, subject, pattern, init, find);
}

static int string_find(lua_State *L) {
  return search(L, true);
}

static int string_match(lua_State *L) {
  return search(L, false);
}

// gmatch.

typedef struct walk {
  const char *at;       // of the next attempt
  const char *last;     // end of the last match: an empty one there does not count
  const char *pattern;  // alive as an upvalue, as is the subject
  pl_matcher m;
} walk;

static int walk_next(lua_State *L) {
  walk *w = lua_touserdata(L, lua_upvalueindex(3));
  w->m.L = L;
  for (; w->at <= w->m.subject_end; w->at++) {
    const char *at = w->at, *end = pl_matcher_try(&w->m, at, w->pattern);
    if (end == NULL || end == w->last) continue;
    w->at = w->last = end;
    return pl_matcher_push(&w->m, at, end);
  }
  return 0;
}

static int string_gmatch(lua_State *L) {
  text subject = check_text(L, 1), pattern = check_text(L, 2);
  size_t init = check_init(L, 3, subject.len);
  if (init > subject.len) init = subject.len + 1;
  lua_settop(L, 2);
  walk *w = lua_newuserdatauv(L, sizeof *w, 0);
  pl_matcher_init(&w->m, L, subject.s, subject.len, pattern.s, pattern.len);
  w->at = subject.s + init;
  w->last = NULL;
  w->pattern = pattern.s;
  lua_pushcclosure(L, walk_next, 3);
  return 1;
}

// gsub.

// The replacement at 3 is a string: adds it with its captures.
static void add_string(pl_matcher *m, luaL_Buffer *b, const char *at, const char *end) {
  lua_State *L = m->L;
  size_t len;
  const char *s = lua_tolstring(L, 3, &len), *stop = s + len;
  for (const char *mark; (mark = memchr(s, '%', (size_t)(stop - s))) != NULL; s = mark + 1) {
    luaL_addlstring(b, s, (size_t)(mark - s));
    mark++;
    if (*mark == '%') {
      luaL_addchar(b, '%');
    } else if (*mark == '0') {
      luaL_addlstring(b, at, (size_t)(end - at));
    } else if (isdigit((unsigned char)*mark)) {
      pl_matcher_push_one(m, *mark - '1', at, end);
      luaL_addvalue(b);
    } else {
      luaL_error(L, "invalid use of '%c' in replacement string", '%');
    }
  }
  luaL_addlstring(b, s, (size_t)(stop - s));
}

// True when what it adds is not what was there.
static bool add_value(pl_matcher *m, luaL_Buffer *b, const char *at, const char *end, int type) {
  lua_State *L = m->L;
  if (type == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, pl_matcher_push(m, at, end), 1);
  } else if (type == LUA_TTABLE) {
    pl_matcher_push_one(m, 0, at, end);
    lua_gettable(L, 3);
  } else {
    add_string(m, b, at, end);
    return true;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(b, at, (size_t)(end - at));
    return false;
  }
  if (!lua_isstring(L, -1)) {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
  luaL_addvalue(b);
  return true;
}

// Replaces up to `max` matches; true when something changed. What is left from *rest on is not
// added yet.
static bool replace(pl_matcher *m, luaL_Buffer *b, const char *p, bool anchored, int type,
                    lua_Integer max, lua_Integer *count, const char **rest) {
  const char *at = m->subject, *last = NULL;
  bool changed = false;
  while (*count < max) {
    const char *end = pl_matcher_try(m, at, p);
    if (end != NULL && end != last) {
      ++*count;
      if (add_value(m, b, at, end, type)) changed = true;
      at = last = end;
    } else if (at < m->subject_end) {
      luaL_addchar(b, *at++);
    } else {
      break;
    }
    if (anchored) break;
  }
  *rest = at;
  return changed;
}

static int string_gsub(lua_State *L) {
  text subject = check_text(L, 1), pattern = check_text(L, 2);
  int type = lua_type(L, 3);
  luaL_argexpected(
      L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
      3, "string/function/table");
  lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)subject.len + 1), count = 0;
  bool anchored = pattern.len > 0 && pattern.s[0] == '^';
  pl_matcher m;
  pl_matcher_init(&m, L, subject.s, subject.len, pattern.s, pattern.len);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  const char *rest;
  if (replace(&m, &b, pattern.s + anchored, anchored, type, max, &count, &rest)) {
    luaL_addlstring(&b, rest, (size_t)(m.subject_end - rest));
    luaL_pushresult(&b);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

void pl_open_patterns(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"find", string_find},
      {"match", string_match},
      {"gmatch", string_gmatch},
      {"gsub", string_gsub},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
