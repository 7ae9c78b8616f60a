// Addresses for specs.

#include <lauxlib.h>
#include <lua.h>

#include "link/url.h"
#include "spec/support/testing_link.h"

int testing_parse_url(lua_State *L) {
  pl_url url;
  const char *why;
  pl_err err = pl_url_parse(&url, luaL_checkstring(L, 1), &why);
  if (err != PL_OK) {
    lua_pushnil(L);
    lua_pushstring(L, pl_err_name(err));
    lua_pushstring(L, why);
    return 3;
  }
  char text[PL_URL_MAX];
  pl_url_format(&url, text);
  const struct {
    const char *key;
    const char *text;
  } texts[] = {{"scheme", url.scheme}, {"host", url.host}, {"bind", url.bind}, {"text", text}};
  const struct {
    const char *key;
    lua_Integer value;
  } numbers[] = {{"port", url.port},
                 {"keepalive", url.keepalive_s},
                 {"user_timeout", url.user_timeout_s},
                 {"backlog", url.backlog},
                 {"cost", url.cost_us},
                 {"mode", url.mode}};
  lua_newtable(L);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    lua_pushstring(L, texts[i].text);
    lua_setfield(L, -2, texts[i].key);
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushinteger(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].key);
  }
  lua_pushboolean(L, url.nodelay);
  lua_setfield(L, -2, "nodelay");
  lua_pushboolean(L, url.reuseport);
  lua_setfield(L, -2, "reuseport");
  lua_pushboolean(L, pl_url_is_local(&url));
  lua_setfield(L, -2, "is_local");
  return 1;
}
