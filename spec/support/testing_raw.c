// A stranger on a listener of the cluster: a link without a protocol.

#include <string.h>

#include "base/mem.h"
#include "link/link.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_cluster.h"

#define RAW "perilune.testing.Raw"

// Holds itself in the registry until the link is gone; the cluster lives in user value 1.
typedef struct raw {
  pl_link *link;  // NULL after on_close
  testing_cluster *cluster;
  pl_buf received;
  int self;
  bool open;
  bool closed;
} raw;

static void on_open(pl_link *l, void *user) {
  (void)l;
  raw *r = user;
  r->open = true;
  testing_cluster_notify(r->cluster);
}

static size_t on_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l;
  raw *r = user;
  pl_buf_append(&r->received, bytes.data, bytes.len);
  testing_cluster_notify(r->cluster);
  return bytes.len;
}

static void on_drained(pl_link *l, void *user) {
  (void)l, (void)user;
}

static void on_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  raw *r = user;
  r->link = NULL;
  r->closed = true;
  luaL_unref(r->cluster->L, LUA_REGISTRYINDEX, r->self);
  testing_cluster_notify(r->cluster);
}

static const pl_link_ops link_ops = {
    .on_open = on_open, .on_bytes = on_bytes, .on_drained = on_drained, .on_close = on_close};

int testing_cluster_dial(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  pl_url url;
  const char *why;
  if (pl_url_parse(&url, luaL_checkstring(L, 2), &why) != PL_OK) return luaL_argerror(L, 2, why);
  raw *r = lua_newuserdatauv(L, sizeof *r, 1);
  memset(r, 0, sizeof *r);
  r->cluster = c;
  luaL_setmetatable(L, RAW);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  r->self = luaL_ref(L, LUA_REGISTRYINDEX);
  if (pl_link_dial(&r->link, c->loop, &url, &link_ops, r) != PL_OK) {
    return luaL_error(L, "cannot dial");
  }
  return 1;
}

static raw *check_raw(lua_State *L) {
  return luaL_checkudata(L, 1, RAW);
}

static int raw_send(lua_State *L) {
  raw *r = check_raw(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  if (r->link != NULL) pl_link_append(r->link, pl_bytes_of(bytes, len));
  return 0;
}

// raw:take() -> what arrived since
static int raw_take(lua_State *L) {
  raw *r = check_raw(L);
  lua_pushlstring(L, (const char *)pl_buf_data(&r->received), pl_buf_len(&r->received));
  pl_buf_fini(&r->received);
  return 1;
}

static int raw_is_open(lua_State *L) {
  const raw *r = check_raw(L);
  lua_pushboolean(L, r->open && !r->closed);
  return 1;
}

static int raw_is_closed(lua_State *L) {
  lua_pushboolean(L, check_raw(L)->closed);
  return 1;
}

static int raw_abort(lua_State *L) {
  raw *r = check_raw(L);
  if (r->link != NULL) pl_link_abort(r->link, PL_OK, "");
  return 0;
}

static int raw_gc(lua_State *L) {
  pl_buf_fini(&check_raw(L)->received);
  return 0;
}

void testing_add_raw(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"send", raw_send},
      {"take", raw_take},
      {"is_open", raw_is_open},
      {"is_closed", raw_is_closed},
      {"abort", raw_abort},
      {"clear", raw_gc},
      {NULL, NULL},
  };
  testing_new_class(L, RAW, methods, raw_gc);
}
