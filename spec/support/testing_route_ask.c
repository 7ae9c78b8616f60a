// What may be asked of a world of routers.

#include <lauxlib.h>

#include "base/metric.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_route.h"

// route(a, any number) -> hops, cost, via; nil
static int world_route(lua_State *L) {
  world *w = testing_route_world(L);
  pl_route route;
  pl_id to;
  testing_route_id((uint32_t)luaL_checkinteger(L, 3), &to);
  if (!pl_router_find(testing_route_up(L, w, 2)->router, &to, &route)) return 0;
  lua_pushinteger(L, route.hops);
  lua_pushinteger(L, (lua_Integer)route.cost);
  lua_pushinteger(L, testing_route_number(&route.via));
  return 3;
}

// next(a, b [, not via]) -> list of neighbours
static int world_next(lua_State *L) {
  world *w = testing_route_world(L);
  pl_router_link *out[PL_NEXT_HOPS_MAX];
  const pl_id *not_via = lua_isnoneornil(L, 4) ? NULL : &testing_route_node(L, w, 4)->id;
  pl_router *r = testing_route_up(L, w, 2)->router;
  const pl_mesh_node *to = pl_router_node(r, &testing_route_node(L, w, 3)->id);
  size_t count = pl_router_next_hops(r, to, not_via, out);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, testing_route_number(pl_mesh_node_id(pl_router_link_node(out[i]))));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

// known(node) -> list of the numbers of all nodes that it knows, reachable or not
static int world_nodes(lua_State *L) {
  node *n = testing_route_up(L, testing_route_world(L), 2);
  lua_newtable(L);
  lua_Integer i = 0;
  for (const pl_mesh_node *m = NULL; (m = pl_router_next(n->router, m)) != NULL;) {
    lua_pushinteger(L, testing_route_number(pl_mesh_node_id(m)));
    lua_rawseti(L, -2, ++i);
  }
  return 1;
}

// claims(node) -> its epoch now, and how often it was told that another has its id
static int world_claims(lua_State *L) {
  const node *n = testing_route_node(L, testing_route_world(L), 2);
  lua_pushinteger(L, (lua_Integer)n->epoch);
  lua_pushinteger(L, n->taken);
  return 2;
}

static int world_metrics(lua_State *L) {
  const world *w = testing_route_world(L);
  testing_push_metrics(L, &w->loop->metrics);
  return 1;
}

// sent() -> frames, bytes, and frames that would close their link, of all nodes so far
static int world_sent(lua_State *L) {
  world *w = testing_route_world(L);
  lua_pushinteger(L, (lua_Integer)w->frames);
  lua_pushinteger(L, (lua_Integer)w->bytes);
  lua_pushinteger(L, (lua_Integer)w->refused);
  return 3;
}

static int world_log(lua_State *L) {
  const world *w = testing_route_world(L);
  lua_pushlstring(L, (const char *)pl_buf_data(&w->log), pl_buf_len(&w->log));
  return 1;
}

const luaL_Reg testing_route_questions[] = {
    {"route", world_route},     {"next", world_next}, {"nodes", world_nodes},
    {"metrics", world_metrics}, {"sent", world_sent}, {"claims", world_claims},
    {"log", world_log},         {NULL, NULL},
};
