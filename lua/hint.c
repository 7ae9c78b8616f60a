#include "lua/hint.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lua/core.h"
#include "lua/modules.h"
#include "lua/origins.h"
#include "lua/stdlib.h"

enum {
  MESSAGE_MAX = 8192,  // bytes of an error that are looked at
  LINE_BYTES = 512,    // and of a line of the script: more than is shown
};

// In the registry: perilune.hint, compiled, and what it calls.
static const char function_key, lib_key;

void pl_open_hints(lua_State *L) {
  static const struct {
    const char *library, *name;
  } wanted[] = {
      {"string", "find"},    {"string", "format"},    {"string", "gmatch"}, {"string", "gsub"},
      {"string", "match"},   {"string", "rep"},       {"string", "sub"},    {"table", "concat"},
      {"table", "sort"},     {"utf8", "len"},         {"utf8", "offset"},   {LUA_GNAME, "next"},
      {LUA_GNAME, "rawget"}, {LUA_GNAME, "tonumber"}, {LUA_GNAME, "type"},
  };
  enum { COUNT = sizeof wanted / sizeof *wanted };
  if (pl_vm_of(L)->options.sandboxed) return;
  lua_createtable(L, 0, COUNT);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);  // stack: lib loaded
  for (size_t i = 0; i < COUNT; i++) {
    lua_getfield(L, -1, wanted[i].library);
    lua_getfield(L, -1, wanted[i].name);
    lua_setfield(L, -4, wanted[i].name);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lib_key);
}

bool pl_hint_is_slip(const char *message) {
  static const char *const slips[] = {": attempt to ", ": bad argument #", ": unknown option '",
                                      ": module '", "cannot wait across a C boundary"};
  for (size_t i = 0; i < sizeof slips / sizeof *slips; i++)
    if (strstr(message, slips[i]) != NULL) return true;
  return false;
}

// What the hint asks for.

// Lua shows a long path by its end.
static bool is_shown_as(const char *path, const char *shown) {
  if (strncmp(shown, "...", 3) != 0) return strcmp(path, shown) == 0;
  size_t len = strlen(path), tail = strlen(shown += 3);
  return tail > 0 && tail <= len && strcmp(path + len - tail, shown) == 0;
}

// Of the script or a module of it.
static pl_bytes text_of(lua_State *L, const char *shown, const char *typed) {
  if (typed != NULL && strcmp(shown, "repl") == 0) return pl_bytes_of(typed, strlen(typed));
  const pl_origins *sources = pl_vm_of(L)->options.sources;
  for (size_t i = 0; sources != NULL && i < sources->count; i++) {
    const pl_origin *s = &sources->items[i];
    if (is_shown_as(s->path, shown)) return pl_bytes_of(s->text->data, s->text->len);
  }
  return (pl_bytes){0};
}

// line_of(path, number) -> text or nil. Upvalue 1: what was typed.
static int line_of(lua_State *L) {
  pl_bytes text = text_of(L, luaL_checkstring(L, 1), lua_touserdata(L, lua_upvalueindex(1)));
  lua_Integer left = luaL_checkinteger(L, 2);
  if (text.len == 0 || left < 1) return 0;
  const char *at = (const char *)text.data, *end = at + text.len;
  while (at != NULL && --left > 0) {
    at = memchr(at, '\n', (size_t)(end - at));
    if (at != NULL) at++;
  }
  if (at == NULL || at == end) return 0;
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  size_t len = (size_t)((newline != NULL ? newline : end) - at);
  if (len > 0 && at[len - 1] == '\r') len--;
  if (len > LINE_BYTES) len = LINE_BYTES;
  lua_pushlstring(L, at, len);
  return 1;
}

// Its last local variable of that name that is alive. [-0, +1] or nothing
static bool push_local(lua_State *L, lua_Debug *ar, const char *name, bool *is_argument) {
  int found = 0;
  const char *local;
  for (int i = 1; (local = lua_getlocal(L, ar, i)) != NULL; i++) {
    if (strcmp(local, name) == 0) found = i;
    lua_pop(L, 1);
  }
  if (found == 0) return false;
  lua_getinfo(L, "u", ar);
  *is_argument = found <= ar->nparams;
  lua_getlocal(L, ar, found);
  return true;
}

// [-0, +1] or nothing
static bool push_upvalue(lua_State *L, lua_Debug *ar, const char *name) {
  lua_getinfo(L, "f", ar);
  const char *upvalue;
  for (int i = 1; (upvalue = lua_getupvalue(L, -1, i)) != NULL; i++) {
    if (strcmp(upvalue, name) == 0) {
      lua_remove(L, -2);
      return true;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return false;
}

// A global, as the function sees it. [-0, +1] or nothing
static bool push_global(lua_State *L, lua_Debug *ar, const char *name) {
  if (!push_upvalue(L, ar, "_ENV")) return false;
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushstring(L, name);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return true;
}

// value_of(name) -> value, whether it is an argument. Upvalue 1: the function that failed.
static int value_of(lua_State *L) {
  lua_Debug *ar = lua_touserdata(L, lua_upvalueindex(1));
  const char *name = luaL_checkstring(L, 1);
  bool is_argument = false;
  if (ar == NULL || !(push_local(L, ar, name, &is_argument) || push_upvalue(L, ar, name) ||
                      push_global(L, ar, name)))
    return 0;
  lua_pushboolean(L, is_argument);
  return 2;
}

// [-0, +1]
static void push_function(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &function_key) == LUA_TFUNCTION) return;
  lua_pop(L, 1);
  const pl_stdlib_module *m = pl_stdlib_find("perilune.hint");
  assert(m != NULL);
  if (luaL_loadbufferx(L, (const char *)m->source, m->len, "=perilune.hint", "t") != LUA_OK)
    lua_error(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &function_key);
}

typedef struct question {
  const char *message;
  const char *traceback;
  const char *typed;
  lua_Debug *failed;  // or NULL
} question;

static int ask(lua_State *L) {
  const question *q = lua_touserdata(L, 1);
  push_function(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lib_key);
  lua_pushglobaltable(L);
  lua_pushlstring(L, q->message, strnlen(q->message, MESSAGE_MAX));
  lua_pushstring(L, q->traceback);
  lua_pushlightuserdata(L, (void *)(uintptr_t)q->typed);
  lua_pushcclosure(L, line_of, 1);
  lua_pushlightuserdata(L, q->failed);
  lua_pushcclosure(L, value_of, 1);
  lua_pushcfunction(L, pl_sys_guess);
  lua_call(L, 7, 1);
  return 1;
}

// The innermost function of a script from that level on.
static bool find_failed(lua_State *L, int level, lua_Debug *ar) {
  for (; lua_getstack(L, level, ar); level++) {
    lua_getinfo(L, "Sl", ar);
    if (ar->currentline > 0) return true;
  }
  return false;
}

void pl_hint_push(lua_State *L, int level, const char *message, const char *traceback,
                  const char *typed) {
  lua_Debug ar;
  question q = {.message = message, .traceback = traceback, .typed = typed};
  if (pl_vm_of(L)->options.sandboxed || !lua_checkstack(L, 8)) {
    lua_pushnil(L);
    return;
  }
  if (find_failed(L, level, &ar)) q.failed = &ar;
  lua_pushcfunction(L, ask);
  lua_pushlightuserdata(L, &q);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING) return;
  lua_pop(L, 1);
  lua_pushnil(L);
}
