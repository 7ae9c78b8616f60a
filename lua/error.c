#include "lua/error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/limits.h"
#include "lua/value.h"

static const char metatable_key;  // in the registry

static int error_tostring(lua_State *L) {
  lua_settop(L, 1);
  lua_getfield(L, 1, "code");
  lua_getfield(L, 1, "message");
  const char *code = luaL_tolstring(L, 2, NULL);
  const char *message = luaL_tolstring(L, 3, NULL);
  lua_pushfstring(L, "%s: %s", code, message);
  return 1;
}

// [-0, +1]
static void push_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushcfunction(L, error_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "perilune.error");
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
}

void pl_error_mark(lua_State *L) {
  push_metatable(L);
  lua_setmetatable(L, -2);
}

bool pl_error_is(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

// Making an error object of a failure.

static void set_text(lua_State *L, const char *field, pl_bytes text) {
  if (text.len == 0) return;
  lua_pushlstring(L, (const char *)text.data, text.len);
  lua_setfield(L, -2, field);
}

static void set_id(lua_State *L, const char *field, const pl_id *id) {
  if (pl_id_is_zero(id)) return;
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  lua_pushstring(L, hex);
  lua_setfield(L, -2, field);
}

static int decode_value(lua_State *L) {
  const pl_bytes *src = lua_touserdata(L, 1);
  pl_value_decode(L, PL_CODEC_MSGPACK, *src);
  return 1;
}

// What a peer sent and cannot be read is left out: the error itself matters more.
static bool push_value(lua_State *L, const pl_bytes *src) {
  if (src->len == 0) return false;
  lua_pushcfunction(L, decode_value);
  lua_pushlightuserdata(L, (void *)src);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return true;
  lua_pop(L, 1);
  return false;
}

static void set_cause(lua_State *L, const pl_bytes *cause) {
  if (!push_value(L, cause)) return;
  if (lua_istable(L, -1)) {
    push_metatable(L);
    lua_setmetatable(L, -2);
  }
  lua_setfield(L, -2, "cause");
}

void pl_error_push(lua_State *L, const pl_failure *f) {
  luaL_checkstack(L, 8, NULL);
  lua_createtable(L, 0, 6);
  if (f->name.len > 0) {
    set_text(L, "code", f->name);
  } else {
    lua_pushstring(L, pl_err_name(f->code));
    lua_setfield(L, -2, "code");
  }
  const char *text = pl_err_text(f->code);
  set_text(L, "message", f->message.len > 0 ? f->message : pl_bytes_of(text, strlen(text)));
  lua_pushstring(L, pl_outcome_name(f->outcome));
  lua_setfield(L, -2, "outcome");
  set_text(L, "action", f->action);
  set_text(L, "traceback", f->traceback);
  set_id(L, "node", &f->node);
  set_id(L, "trace_id", &f->trace_id);
  if (f->retry_after_ms > 0) {
    lua_pushnumber(L, f->retry_after_ms / 1000.0);
    lua_setfield(L, -2, "retry_after");
  }
  set_cause(L, &f->cause);
  if (push_value(L, &f->details)) lua_setfield(L, -2, "details");
  push_metatable(L);
  lua_setmetatable(L, -2);
}

int pl_raise(lua_State *L, const pl_failure *f) {
  pl_error_push(L, f);
  return lua_error(L);
}

int pl_raise_code(lua_State *L, pl_err code, pl_outcome outcome, const char *format, ...) {
  char text[PL_ERROR_TEXT_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  pl_failure f = pl_failure_of(code, outcome, text);
  return pl_raise(L, &f);
}

int pl_raise_io(lua_State *L, int uv_error, const char *what, const char *subject) {
  char text[PL_ERROR_TEXT_MAX];
  snprintf(text, sizeof text, "%s%s%s: %s", what, subject != NULL ? " " : "",
           subject != NULL ? subject : "", uv_strerror(uv_error));
  pl_failure f = pl_failure_of(PL_IO_ERROR, PL_EXECUTED, text);
  pl_error_push(L, &f);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, uv_err_name(uv_error));
  lua_setfield(L, -2, "errno");
  lua_setfield(L, -2, "details");
  return lua_error(L);
}

pl_err pl_error_code(lua_State *L, int index) {
  if (!pl_error_is(L, index)) return PL_HANDLER_ERROR;
  index = lua_absindex(L, index);
  lua_pushliteral(L, "code");
  lua_rawget(L, index);
  pl_err code = lua_type(L, -1) == LUA_TSTRING ? pl_err_find(lua_tostring(L, -1)) : PL_OK;
  lua_pop(L, 1);
  return code != PL_OK ? code : PL_HANDLER_ERROR;
}
