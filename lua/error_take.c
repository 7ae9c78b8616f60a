// Errors as scripts raise them: any value, read for people and made a failure that can travel.

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/hint.h"
#include "lua/modules.h"
#include "lua/value.h"

const char *pl_error_push_text(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (!lua_istable(L, index)) return luaL_tolstring(L, index, NULL);
  if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
    lua_pop(L, 1);
    return luaL_tolstring(L, index, NULL);
  }
  lua_pushliteral(L, "code");
  lua_rawget(L, index);
  lua_pushliteral(L, "message");
  lua_rawget(L, index);
  const char *code = lua_tostring(L, -2), *message = lua_tostring(L, -1);
  if (code == NULL && message == NULL) {
    lua_pop(L, 2);
    return luaL_tolstring(L, index, NULL);
  }
  bool both = code != NULL && message != NULL;
  const char *text = lua_pushfstring(L, "%s%s%s", code != NULL ? code : "", both ? ": " : "",
                                     message != NULL ? message : "");
  lua_replace(L, -3);
  lua_pop(L, 1);
  return text;
}

const char *pl_error_push_shown(lua_State *L, int index) {
  pl_push_message(L, index);
  return lua_tostring(L, -1);
}

// The text of the field, as a view of the string that stays on the stack. [-0, +1]
static pl_bytes push_text(lua_State *L, int index, const char *field) {
  lua_pushstring(L, field);
  lua_rawget(L, index);
  if (lua_isnil(L, -1)) return (pl_bytes){0};
  size_t len;
  if (lua_type(L, -1) != LUA_TSTRING) {
    pl_push_message(L, -1);
    lua_replace(L, -2);
  }
  const char *text = lua_tolstring(L, -1, &len);
  return pl_bytes_of(text, len);
}

static int encode_value(lua_State *L) {
  pl_buf *out = lua_touserdata(L, 2);
  pl_value_encode(L, PL_CODEC_MSGPACK, 1, "error", PL_FRAGMENT_MAX / 2, out);
  return 0;
}

// The encoding of the value at the top, as a view of a string that stays on the stack; nothing when
// it cannot travel. [-1, +1]
static pl_bytes encode_top(lua_State *L) {
  if (lua_isnil(L, -1)) return (pl_bytes){0};
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  lua_pushcfunction(L, encode_value);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, out);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) return (pl_bytes){0};
  size_t len = pl_buf_len(out);
  const char *text = lua_pushlstring(L, (const char *)pl_buf_data(out), len);
  return pl_bytes_of(text, len);
}

static void read_table(lua_State *L, int index, pl_failure *f) {
  luaL_checkstack(L, 24, NULL);
  bool escaped = pl_error_is(L, index);
  lua_pushliteral(L, "code");
  bool has_code = lua_rawget(L, index) == LUA_TSTRING;
  lua_pop(L, 1);
  pl_bytes name = has_code ? push_text(L, index, "code") : (pl_bytes){0};
  if (name.len > 0) {
    pl_err code = pl_err_find((const char *)name.data);
    f->code = code != PL_OK ? code : PL_HANDLER_ERROR;
    if (code == PL_OK) f->name = name;
  }
  f->message = push_text(L, index, "message");
  if (f->message.len == 0) {
    pl_push_message(L, index);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    f->message = name.len > 0 ? name : pl_bytes_of(text, len);
  }
  lua_pushliteral(L, "retry_after");
  lua_rawget(L, index);
  lua_Number seconds = lua_tonumber(L, -1);
  if (seconds > 0) f->retry_after_ms = seconds < 4e6 ? (uint32_t)(seconds * 1000) : UINT32_MAX;
  lua_pushliteral(L, "details");
  lua_rawget(L, index);
  f->details = encode_top(L);
  // What an inner call raised tells its own story.
  if (escaped) {
    lua_pushvalue(L, index);
  } else {
    lua_pushliteral(L, "cause");
    lua_rawget(L, index);
  }
  f->cause = encode_top(L);
}

// The traceback of an error that came from an inner call, with that of the task it came up in
// behind it: one story, the innermost first. Stays on the stack. [-0, +1]
static pl_bytes join_tracebacks(lua_State *L, int index, const char *own) {
  pl_bytes inner = push_text(L, index, "traceback");
  if (inner.len == 0) return pl_bytes_of(own, strlen(own));
  pl_bytes action = push_text(L, index, "action"), node = push_text(L, index, "node");
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addlstring(&b, (const char *)inner.data, inner.len);
  if (node.len == 0) {  // mesh.offload: it never left the process
    luaL_addstring(&b, "\nwas offloaded here:\n");
  } else {
    luaL_addstring(&b, "\n'");
    luaL_addlstring(&b, (const char *)action.data, action.len);
    luaL_addstring(&b, "' at ");
    luaL_addlstring(&b, (const char *)node.data, node.len);
    luaL_addstring(&b, " was called here:\n");
  }
  luaL_addstring(&b, own);
  luaL_pushresult(&b);
  lua_replace(L, -4);
  lua_pop(L, 2);
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  return pl_bytes_of(text, len);
}

pl_failure pl_error_to_failure(lua_State *L, int index, const char *action, const char *traceback) {
  int top = lua_gettop(L);
  index = lua_absindex(L, index);
  pl_failure f = pl_failure_of(PL_HANDLER_ERROR, PL_EXECUTED, NULL);
  if (lua_istable(L, index)) {
    read_table(L, index, &f);
  } else if (lua_isnil(L, index)) {
    f.message = pl_bytes_of("error object is nil", strlen("error object is nil"));
  } else {
    luaL_checkstack(L, 8, NULL);
    pl_push_message(L, index);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    f.message = pl_bytes_of(text, len);
    if (strcmp(text, "not enough memory") == 0) f.code = PL_MEMORY_LIMIT;
  }
  if (action != NULL) f.action = pl_bytes_of(action, strlen(action));
  if (traceback != NULL) {
    luaL_checkstack(L, 8, NULL);
    f.traceback = pl_error_is(L, index) ? join_tracebacks(L, index, traceback)
                                        : pl_bytes_of(traceback, strlen(traceback));
  }
  f = pl_failure_keep(&f);
  lua_settop(L, top);
  return f;
}

// perilune.core.error

static int error_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pl_error_mark(L);
  return 1;
}

static int error_is(lua_State *L) {
  lua_pushboolean(L, pl_error_is(L, 1));
  return 1;
}

// text(value) -> the error as a person reads it
static int error_text(lua_State *L) {
  luaL_checkany(L, 1);
  pl_error_push_shown(L, 1);
  return 1;
}

// hint(message, typed) -> lines or nil. In a message handler; `typed` is the text of the chunk
// "repl".
static int error_hint(lua_State *L) {
  enum { OF_ITS_CALLER = 2 };
  const char *message = luaL_checkstring(L, 1), *typed = luaL_checkstring(L, 2);
  if (!pl_hint_is_slip(message)) return 0;
  pl_hint_push(L, OF_ITS_CALLER, message, NULL, typed);
  return 1;
}

int pl_open_error(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"hint", error_hint}, {"new", error_new}, {"is", error_is},
      {"text", error_text}, {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}

typedef struct conversion {
  pl_failure failure;
  const char *action;
  const char *traceback;
} conversion;

static int convert(lua_State *L) {
  conversion *c = lua_touserdata(L, 2);
  c->failure = pl_error_to_failure(L, 1, c->action, c->traceback);
  return 0;
}

pl_failure pl_error_take(lua_State *L, const char *action, const char *traceback) {
  conversion c = {.action = action, .traceback = traceback};
  lua_pushcfunction(L, convert);
  lua_pushvalue(L, -2);
  lua_pushlightuserdata(L, &c);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    lua_pop(L, 1);
    c.failure = pl_failure_of(PL_MEMORY_LIMIT, PL_EXECUTED, "no memory for the error");
  }
  return c.failure;
}
