// `require('perilune.testing').route.paths`: shortest paths over a graph given as lists.

#include <lauxlib.h>

#include "base/mem.h"
#include "route/graph.h"
#include "spec/support/testing_base.h"

static uint32_t number_at(lua_State *L, int list, lua_Integer i) {
  lua_rawgeti(L, list, i);
  uint32_t value = (uint32_t)luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return value;
}

static bool flag_at(lua_State *L, int list, lua_Integer i) {
  lua_rawgeti(L, list, i);
  bool value = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

// The links, in any order, as rows of the graph: a counting sort by their start.
static void fill(lua_State *L, pl_graph *g, int list, uint32_t links) {
  for (uint32_t i = 0; i < links; i++)
    g->first[number_at(L, list, 3 * i + 1)]++;
  for (uint32_t i = 1; i <= g->nodes; i++)
    g->first[i] += g->first[i - 1];
  for (uint32_t i = links; i > 0; i--) {
    uint32_t from = number_at(L, list, 3 * (i - 1) + 1) - 1;
    uint32_t at = --g->first[from + 1];
    g->to[at] = number_at(L, list, 3 * (i - 1) + 2) - 1;
    g->cost[at] = number_at(L, list, 3 * (i - 1) + 3);
  }
  // Each count has moved to the beginning of its row, one place too far.
  for (uint32_t i = 0; i < g->nodes; i++)
    g->first[i] = g->first[i + 1];
  g->first[g->nodes] = links;
}

static void push_path(lua_State *L, const pl_path *p) {
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)p->cost);
  lua_setfield(L, -2, "cost");
  lua_pushinteger(L, p->hops);
  lua_setfield(L, -2, "hops");
  lua_createtable(L, (int)p->next_count, 0);
  for (uint32_t i = 0; i < p->next_count; i++) {
    lua_pushinteger(L, p->next[i] + 1);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "next");
}

// paths(nodes, {from, to, cost, from, to, cost, ...}, start [, {relays of each} [, most ...]]) ->
// list of {cost, hops, next}, false where there is no path. Shortened to each of the lengths.
static int graph_paths(lua_State *L) {
  pl_graph g = {.nodes = (uint32_t)luaL_checkinteger(L, 1)};
  luaL_checktype(L, 2, LUA_TTABLE);
  uint32_t start = (uint32_t)luaL_checkinteger(L, 3) - 1;
  if (lua_isnone(L, 4)) lua_newtable(L);
  int top = lua_gettop(L);
  uint32_t links = (uint32_t)lua_rawlen(L, 2) / 3;
  g.first = pl_alloc((g.nodes + 1) * sizeof *g.first);
  g.to = pl_alloc((links + 1) * sizeof *g.to);
  g.cost = pl_alloc((links + 1) * sizeof *g.cost);
  g.relays = pl_alloc(g.nodes * sizeof *g.relays);
  pl_path *paths = pl_alloc(g.nodes * sizeof *paths);
  pl_graph_heap heap = {0};
  fill(L, &g, 2, links);
  for (uint32_t i = 0; i < g.nodes; i++)
    g.relays[i] = flag_at(L, 4, i + 1);
  pl_graph_paths(&g, start, paths, &heap);
  for (int arg = 5; arg <= top; arg++)
    pl_graph_shorten(&g, start, (uint32_t)luaL_checkinteger(L, arg), paths);
  lua_createtable(L, (int)g.nodes, 0);
  for (uint32_t i = 0; i < g.nodes; i++) {
    if (paths[i].cost == PL_NO_PATH) {
      lua_pushboolean(L, false);
    } else {
      push_path(L, &paths[i]);
    }
    lua_rawseti(L, -2, i + 1);
  }
  pl_graph_heap_fini(&heap);
  pl_free(paths);
  pl_free(g.relays);
  pl_free(g.cost);
  pl_free(g.to);
  pl_free(g.first);
  return 1;
}

void testing_push_graph(lua_State *L) {
  lua_pushcfunction(L, graph_paths);
}
