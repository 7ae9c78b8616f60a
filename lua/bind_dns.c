// perilune.core.dns: names and addresses, as the system resolves them.

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <netdb.h>
#include <string.h>

#include "lua/error.h"
#include "lua/fileop.h"
#include "lua/modules.h"

enum { ADDRESSES_MAX = 256 };

// libuv has one number for each error of the resolver, with a name and a text.
static int resolver_error(int rc) {
  switch (rc) {
    case EAI_ADDRFAMILY: return UV_EAI_ADDRFAMILY;
    case EAI_AGAIN: return UV_EAI_AGAIN;
    case EAI_BADFLAGS: return UV_EAI_BADFLAGS;
    case EAI_FAIL: return UV_EAI_FAIL;
    case EAI_FAMILY: return UV_EAI_FAMILY;
    case EAI_MEMORY: return UV_EAI_MEMORY;
    case EAI_NODATA: return UV_EAI_NODATA;
    case EAI_OVERFLOW: return UV_EAI_OVERFLOW;
    case EAI_SERVICE: return UV_EAI_SERVICE;
    case EAI_SYSTEM: return -errno;
    default: return UV_EAI_NONAME;
  }
}

static bool has_text(const pl_buf *buf, const char *text) {
  const char *at = (const char *)pl_buf_data(buf);
  const char *end = at + pl_buf_len(buf);
  for (; at < end; at += strlen(at) + 1) {
    if (strcmp(at, text) == 0) return true;
  }
  return false;
}

static void add_address(pl_fileop *o, const struct addrinfo *a) {
  char text[NI_MAXHOST];
  if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) {
    return;
  }
  if (o->count >= ADDRESSES_MAX || has_text(&o->data, text)) return;
  if (!pl_buf_append(&o->data, text, strlen(text) + 1)) {
    o->error = UV_ENOMEM;
    return;
  }
  o->count++;
}

static void run_resolve(pl_fileop *o) {
  struct addrinfo hints = {.ai_family = o->flags, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  int rc = getaddrinfo(o->path, NULL, &hints, &list);
  if (rc != 0) {
    o->error = resolver_error(rc);
    return;
  }
  for (const struct addrinfo *a = list; a != NULL && o->error == 0; a = a->ai_next) {
    add_address(o, a);
  }
  freeaddrinfo(list);
}

static int push_addresses(lua_State *L, pl_fileop *o) {
  lua_createtable(L, (int)o->count, 0);
  const char *at = (const char *)pl_buf_data(&o->data);
  for (size_t i = 0; i < o->count; i++, at += strlen(at) + 1) {
    lua_pushstring(L, at);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const pl_fileop_type resolve_type = {.op = PL_FILEOP("dns.resolve"),
                                            .verb = "resolve",
                                            .run = run_resolve,
                                            .push = push_addresses,
                                            .slow = true};

// resolve(name, "any" | "ipv4" | "ipv6") -> list of addresses
static int dns_resolve(lua_State *L) {
  static const char *const names[] = {"any", "ipv4", "ipv6", NULL};
  static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
  const char *name = luaL_checkstring(L, 1);
  int family = families[luaL_checkoption(L, 2, "any", names)];
  pl_fileop *o = pl_fileop_new(L, &resolve_type, name, NULL);
  o->flags = family;
  return pl_fileop_run(L, o);
}

static bool parse(const char *text, struct sockaddr_storage *out, socklen_t *len) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    *len = sizeof *v4;
    return true;
  }
  v6->sin6_family = AF_INET6;
  *len = sizeof *v6;
  return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

static void run_reverse(pl_fileop *o) {
  struct sockaddr_storage address;
  socklen_t len;
  char name[NI_MAXHOST];
  if (!parse(o->path, &address, &len)) {
    o->error = UV_EINVAL;
    return;
  }
  int rc = getnameinfo((struct sockaddr *)&address, len, name, sizeof name, NULL, 0, NI_NAMEREQD);
  if (rc != 0) {
    o->error = resolver_error(rc);
  } else if (!pl_buf_append(&o->data, name, strlen(name))) {
    o->error = UV_ENOMEM;
  }
}

static int push_name(lua_State *L, pl_fileop *o) {
  lua_pushlstring(L, (const char *)pl_buf_data(&o->data), pl_buf_len(&o->data));
  return 1;
}

static const pl_fileop_type reverse_type = {.op = PL_FILEOP("dns.reverse"),
                                            .verb = "reverse",
                                            .run = run_reverse,
                                            .push = push_name,
                                            .slow = true};

static int dns_reverse(lua_State *L) {
  return pl_fileop_run(L, pl_fileop_new(L, &reverse_type, luaL_checkstring(L, 1), NULL));
}

// is_address(text) -> boolean
static int dns_is_address(lua_State *L) {
  struct sockaddr_storage address;
  socklen_t len;
  lua_pushboolean(L, parse(luaL_checkstring(L, 1), &address, &len));
  return 1;
}

static const luaL_Reg functions[] = {
    {"resolve", dns_resolve},
    {"reverse", dns_reverse},
    {"is_address", dns_is_address},
    {NULL, NULL},
};

int pl_open_dns(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
