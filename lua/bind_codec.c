// perilune.core.codec: one value as text or bytes, for perilune.json and perilune.msgpack.

#include <lauxlib.h>
#include <string.h>

#include "lua/error.h"
#include "lua/modules.h"
#include "lua/value.h"
#include "lua/vm.h"

enum { ENCODED_MAX = 1024 * 1024 * 1024 };

static pl_codec check_codec(lua_State *L, int arg) {
  static const char *const names[] = {"msgpack", "json", NULL};
  static const pl_codec codecs[] = {PL_CODEC_MSGPACK, PL_CODEC_JSON};
  return codecs[luaL_checkoption(L, arg, NULL, names)];
}

// encode(codec, value) -> string
static int codec_encode(lua_State *L) {
  pl_codec codec = check_codec(L, 1);
  luaL_checkany(L, 2);
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  pl_value_encode(L, codec, 2, "value", ENCODED_MAX, out);
  lua_pushlstring(L, (const char *)pl_buf_data(out), pl_buf_len(out));
  return 1;
}

// decode(codec, string) -> value
static int codec_decode(lua_State *L) {
  pl_codec codec = check_codec(L, 1);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  pl_value_decode(L, codec, pl_bytes_of(bytes, len));
  return 1;
}

static void new_line(luaL_Buffer *b, int depth) {
  luaL_addchar(b, '\n');
  for (int i = 0; i < depth; i++)
    luaL_addlstring(b, "  ", 2);
}

static const char *copy_string(luaL_Buffer *b, const char *p, const char *end) {
  const char *from = p++;
  while (p < end && *p != '"')
    p += *p == '\\' ? 2 : 1;
  p = p < end ? p + 1 : end;
  luaL_addlstring(b, from, (size_t)(p - from));
  return p;
}

// `[` or `{` at `p`, and what closes it at once when it is empty.
static const char *open_bracket(luaL_Buffer *b, const char *p, const char *end, int *depth) {
  luaL_addchar(b, *p);
  if (p + 1 < end && p[1] == *p + 2) {
    luaL_addchar(b, p[1]);
    return p + 2;
  }
  new_line(b, ++*depth);
  return p + 1;
}

// indent(json) -> the same with a line for each value. Only for what encode made: it checks
// nothing.
static int codec_indent(lua_State *L) {
  size_t len;
  const char *p = luaL_checklstring(L, 1, &len);
  const char *end = p + len;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  int depth = 0;
  while (p < end) {
    switch (*p) {
      case '"': p = copy_string(&b, p, end); continue;
      case '[':
      case '{': p = open_bracket(&b, p, end, &depth); continue;
      case ']':
      case '}': new_line(&b, --depth); break;
      default: break;
    }
    luaL_addchar(&b, *p);
    if (*p == ',') new_line(&b, depth);
    if (*p == ':') luaL_addchar(&b, ' ');
    p++;
  }
  luaL_pushresult(&b);
  return 1;
}

static const luaL_Reg functions[] = {
    {"encode", codec_encode},
    {"decode", codec_decode},
    {"indent", codec_indent},
    {NULL, NULL},
};

int pl_open_codec(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
