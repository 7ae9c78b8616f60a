// The graph of the mesh, out of the claims of its records.
//
// A record is looked at once: claims of nodes are gathered in arrays, and compared there with those
// of the other end.

#include "base/mem.h"
#include "route/route_impl.h"

static const uint32_t unclaimed = UINT32_MAX;  // by the other end

static void *resized(void *old, size_t size) {
  pl_free(old);
  return pl_alloc(size);
}

static void make_room(pl_router *r) {
  uint32_t nodes = r->db->count, links = 0;
  for (uint32_t i = 0; i < nodes; i++)
    links += r->db->sorted[i]->claim_count + 1;
  for (pl_list *at = r->links.next; at != &r->links; at = at->next)
    links++;
  pl_graph *g = &r->graph;
  pl_edges *e = &r->edges;
  if (nodes > e->nodes_cap) {
    uint32_t cap = e->nodes_cap = nodes + nodes / 2;
    g->first = resized(g->first, (cap + 1) * sizeof *g->first);
    g->relays = resized(g->relays, cap * sizeof *g->relays);
    r->paths = resized(r->paths, cap * sizeof *r->paths);
    e->first = resized(e->first, (cap + 1) * sizeof *e->first);
  }
  if (links > e->links_cap) {
    uint32_t cap = e->links_cap = links + links / 2;
    g->to = resized(g->to, cap * sizeof *g->to);
    g->cost = resized(g->cost, cap * sizeof *g->cost);
    e->to = resized(e->to, cap * sizeof *e->to);
    e->cost = resized(e->cost, cap * sizeof *e->cost);
    e->agreed = resized(e->agreed, cap * sizeof *e->agreed);
  }
  g->nodes = nodes;
}

static void resolve(pl_router *r, pl_mesh_node *n) {
  if (n->claims_generation == r->db->generation) return;
  n->claims_generation = r->db->generation;
  for (uint32_t i = 0; i < n->claim_count; i++) {
    const pl_mesh_node *to = pl_lsdb_find(r->db, &n->claims[i].id);
    n->claims[i].place = to != NULL ? to->place : UINT32_MAX;
  }
}

// Claims of all others, as they stand. Those of a node are ascending, as ids and places are.
static void gather(pl_router *r) {
  pl_edges *e = &r->edges;
  uint32_t at = 0;
  for (uint32_t i = 0; i < r->db->count; i++) {
    pl_mesh_node *n = r->db->sorted[i];
    e->first[i] = at;
    r->graph.relays[i] = n->relays;
    if (n == r->self) continue;
    resolve(r, n);
    for (uint32_t k = 0; k < n->claim_count; k++) {
      const pl_claim *c = &n->claims[k];
      if (c->place == UINT32_MAX || c->place == i) continue;
      e->to[at] = c->place;
      e->cost[at] = c->cost;
      e->agreed[at++] = unclaimed;
    }
  }
  e->first[r->db->count] = at;
}

// Where `node` claims a link to `to`; UINT32_MAX: it does not.
static uint32_t find_claim(const pl_edges *e, uint32_t node, uint32_t to) {
  uint32_t low = e->first[node], high = e->first[node + 1];
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (e->to[middle] == to) return middle;
    if (e->to[middle] < to) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return UINT32_MAX;
}

// A link counts when both claim it, at the greater of the two costs.
static void agree(pl_edges *e, uint32_t nodes) {
  for (uint32_t from = 0; from < nodes; from++) {
    for (uint32_t at = e->first[from]; at < e->first[from + 1]; at++) {
      if (e->to[at] < from) continue;  // was looked at from there
      uint32_t back = find_claim(e, e->to[at], from);
      if (back == UINT32_MAX) continue;
      e->agreed[at] = e->cost[at] > e->cost[back] ? e->cost[at] : e->cost[back];
      e->agreed[back] = e->agreed[at];
    }
  }
}

uint64_t pl_edges_between(const pl_router *r, uint32_t from, uint32_t to) {
  const pl_edges *e = &r->edges;
  uint32_t at = find_claim(e, from, to);
  bool fit = at != UINT32_MAX && e->agreed[at] != unclaimed && e->agreed[at] < PL_LINK_COST_MAX;
  return fit ? e->agreed[at] : PL_NO_PATH;
}

// Of a link of this node: the greater of what both ends say.
static uint32_t own_cost(const pl_router *r, const pl_router_link *l) {
  uint32_t theirs = find_claim(&r->edges, l->to->place, r->self->place);
  bool more = theirs != UINT32_MAX && r->edges.cost[theirs] > l->cost;
  return more ? r->edges.cost[theirs] : l->cost;
}

static uint32_t add_link(pl_graph *g, uint32_t at, uint32_t to, uint32_t cost) {
  g->to[at] = to;
  g->cost[at] = cost;
  return at + 1;
}

static uint32_t add_agreed(pl_router *r, uint32_t node, uint32_t at) {
  const pl_edges *e = &r->edges;
  for (uint32_t k = e->first[node]; k < e->first[node + 1]; k++) {
    if (e->agreed[k] != unclaimed) at = add_link(&r->graph, at, e->to[k], e->agreed[k]);
  }
  return at;
}

void pl_edges_build(pl_router *r) {
  make_room(r);
  gather(r);
  agree(&r->edges, r->db->count);
  pl_graph *g = &r->graph;
  uint32_t at = 0;
  for (uint32_t i = 0; i < g->nodes; i++) {
    const pl_mesh_node *n = r->db->sorted[i];
    g->first[i] = at;
    if (n == r->self) {
      for (pl_list *l = r->links.next; l != &r->links; l = l->next) {
        const pl_router_link *own = pl_container(l, pl_router_link, node);
        at = add_link(g, at, own->to->place, own_cost(r, own));
      }
      continue;
    }
    if (n->link != NULL) at = add_link(g, at, r->self->place, own_cost(r, n->link));
    at = add_agreed(r, i, at);
  }
  g->first[g->nodes] = at;
  r->edges.generation = r->db->generation;
}

void pl_edges_fini(pl_router *r) {
  pl_free(r->graph.first);
  pl_free(r->graph.relays);
  pl_free(r->graph.to);
  pl_free(r->graph.cost);
  pl_free(r->paths);
  pl_free(r->edges.first);
  pl_free(r->edges.to);
  pl_free(r->edges.cost);
  pl_free(r->edges.agreed);
}
