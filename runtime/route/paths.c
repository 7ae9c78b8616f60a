// When paths are computed, who is told, what is forgotten.
//
// A change is not followed by a computation at once: at least PL_PATHS_SHARE_US lie between two for
// every node, so that they never take more than a small part of the time, however fast links come
// and go. Only what happens to the links of this node itself does not wait.

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"

// Computing.

static void forget_around(pl_router *r) {
  for (pl_list *at = r->links.next; at != &r->links; at = at->next) {
    pl_router_link *l = pl_container(at, pl_router_link, node);
    pl_free(l->around);
    l->around = NULL;
  }
  r->arounds = 0;
}

static void on_age(pl_timer *t);

static void lose(pl_router *r, pl_mesh_node *n) {
  if (n->lost_us != 0) return;
  n->lost_us = pl_router_now(r);
  if (!pl_timer_active(&r->age))
    pl_timer_start(&r->config.loop->clock, &r->age, PL_RECORD_AGE_US, on_age);
}

static void set_path(pl_router *r, pl_mesh_node *n, const pl_path *p) {
  n->connected = p->cost != PL_NO_PATH;
  n->reachable = n->connected && p->hops <= PL_HOPS_MAX;
  n->next_count = n->reachable ? p->next_count : 0;
  for (unsigned i = 0; i < n->next_count; i++)
    n->next[i] = r->db->sorted[p->next[i]]->link;
  if (n->reachable) {
    n->route = (pl_route){.via = r->db->sorted[p->next[0]]->id, .cost = p->cost, .hops = p->hops};
  }
  if (n->connected && !n->gone) {
    n->lost_us = 0;
  } else {
    lose(r, n);
  }
}

static void run_settle(pl_work *w);

// As the node at `start` goes. Who calls through a relay has come over a link already, and must
// find the rest short enough, although the relay alone could go one link further at less cost.
static void find_paths(pl_router *r, uint32_t start, pl_path *out) {
  pl_graph_paths(&r->graph, start, out, &r->heap);
  pl_graph_shorten(&r->graph, start, PL_HOPS_MAX, out);
  if (r->graph.relays[start]) pl_graph_shorten(&r->graph, start, PL_HOPS_MAX - 1, out);
}

// Whoever needs them now computes them at once; the layer above is told afterwards.
void pl_paths_compute(pl_router *r) {
  pl_loop_defer(r->config.loop, &r->settle, run_settle);
  r->dirty = false;
  r->computed = true;
  pl_timer_stop(&r->hold);
  forget_around(r);
  pl_edges_build(r);
  find_paths(r, r->self->place, r->paths);
  r->computed_us = pl_router_now(r);
  r->config.loop->metrics.paths_computed++;
  r->hash = 0;
  for (uint32_t i = 0; i < r->db->count; i++) {
    pl_mesh_node *n = r->db->sorted[i];
    if (n != r->self) set_path(r, n, &r->paths[i]);
    if (n->surpassed != 0) pl_rival_pass(r, n);
    if (!pl_record_is_told(r, n)) continue;
    if (!n->gone) r->hash ^= pl_record_hash(n);
    if (n->owed) pl_record_flood(r, n);
    n->owed = false;
  }
}

// Cost of the way to `n` through a neighbour which does not lead back here; PL_NO_PATH: none is
// known. A neighbour with one link leads nowhere else. One whose best way is straight back still
// takes its own link to `n` for what comes from here (pl_router_next_hops).
static uint64_t cost_around(pl_router *r, pl_router_link *l, const pl_mesh_node *n) {
  if (l->away || (l->to != n && (!l->to->relays || l->to->claim_count < 2))) return PL_NO_PATH;
  if (l->around == NULL) {
    if (r->arounds >= PL_AROUND_MAX) return PL_NO_PATH;
    r->arounds++;
    l->around = pl_alloc(r->graph.nodes * sizeof *l->around);
    find_paths(r, l->to->place, l->around);
  }
  const pl_path *there = &l->around[n->place];
  uint64_t back = l->around[r->self->place].cost, own = r->paths[n->place].cost;
  if (there->cost == PL_NO_PATH || back == PL_NO_PATH || own == PL_NO_PATH) return PL_NO_PATH;
  if (there->cost >= back + own) {
    uint64_t own_link = pl_edges_between(r, l->to->place, n->place);
    bool straight_back = l->around[r->self->place].hops == 1;
    return straight_back && own_link != PL_NO_PATH ? own_link + back : PL_NO_PATH;
  }
  return there->hops < PL_HOPS_MAX ? there->cost + back : PL_NO_PATH;
}

size_t pl_paths_around(pl_router *r, const pl_mesh_node *n, const pl_id *not_via,
                       pl_router_link *out[PL_NEXT_HOPS_MAX]) {
  if (r->edges.generation != r->db->generation) return 0;
  uint64_t costs[PL_NEXT_HOPS_MAX + 1];
  pl_router_link *links[PL_NEXT_HOPS_MAX + 1];
  size_t count = 0;
  for (pl_list *at = r->links.next; at != &r->links; at = at->next) {
    pl_router_link *l = pl_container(at, pl_router_link, node);
    if (not_via != NULL && pl_id_equal(&l->to->id, not_via)) continue;
    uint64_t cost = cost_around(r, l, n);
    if (cost == PL_NO_PATH) continue;
    size_t i = count;
    for (; i > 0 && (costs[i - 1] > cost || (costs[i - 1] == cost &&
                                             pl_id_compare(&links[i - 1]->to->id, &l->to->id) > 0));
         i--) {
      costs[i] = costs[i - 1];
      links[i] = links[i - 1];
    }
    costs[i] = cost;
    links[i] = l;
    if (count < PL_NEXT_HOPS_MAX) count++;
  }
  memcpy(out, links, count * sizeof *out);
  return count;
}

// Telling.

void pl_paths_item(pl_slice *item, bool withdrawn, void *user) {
  const pl_item_news *news = user;
  pl_bytes kind = pl_item_kind(item);
  if (kind.len == 4 && memcmp(kind.data, "link", 4) == 0) return;
  pl_msg_advert_item view;
  pl_item_view(item, &view);
  view.withdrawn = withdrawn;
  if (withdrawn) view.attributes = (pl_bytes){0};
  news->router->ops->on_item(news->node, &view, news->router->user);
  pl_paths_news(news->router);
}

static bool same_route(const pl_route *a, const pl_route *b) {
  return a->cost == b->cost && a->hops == b->hops && pl_id_equal(&a->via, &b->via);
}

static void tell_route(pl_router *r, pl_mesh_node *n) {
  bool same = n->told == n->reachable && (!n->told || same_route(&n->told_route, &n->route));
  if (same) return;
  n->told = n->reachable;
  n->told_route = n->route;
  r->changed = true;
  r->ops->on_route(n, n->reachable ? &n->route : NULL, r->user);
}

static void forget(pl_router *r, pl_mesh_node *n) {
  pl_item_news news = {r, n};
  pl_record_clear(r->db, n, pl_paths_item, &news);
  r->ops->on_forgotten(n, r->user);
  pl_lsdb_remove(r->db, n);
  r->changed = true;
  pl_paths_changed(r, false);
}

static void tell_synced(pl_router *r) {
  for (pl_list *at = r->links.next; at != &r->links; at = at->next) {
    pl_router_link *l = pl_container(at, pl_router_link, node);
    if (!l->synced || l->known) continue;
    l->known = true;
    r->changed = true;
    r->ops->on_synced(l, r->user);
  }
}

// Of a leaf nothing is left when its link is gone.
static void forget_recordless(pl_router *r) {
  for (uint32_t i = 0; i < r->db->count;) {
    pl_mesh_node *n = r->db->sorted[i];
    if (n != r->self && n->version == 0 && n->link == NULL) {
      forget(r, n);
    } else {
      i++;
    }
  }
}

// What was kept may have hidden another start of that node, whose records were old here. Who passes
// records on compares hashes with others, and finds out.
static void ask_anew(pl_router *r, pl_id id) {
  if (r->joined && r->self->relays) return;
  for (pl_list *at = r->links.next; at != &r->links; at = at->next) {
    pl_router_link *l = pl_container(at, pl_router_link, node);
    if (l->full) pl_pull_send(r, l, &id, NULL);
  }
}

static void on_age(pl_timer *t) {
  pl_router *r = pl_container(t, pl_router, age);
  uint64_t now = pl_router_now(r), next = PL_NEVER;
  for (uint32_t i = 0; i < r->db->count;) {
    pl_mesh_node *n = r->db->sorted[i];
    if (n->lost_us != 0 && n->lost_us + PL_RECORD_AGE_US <= now) {
      if (n->link == NULL) {
        pl_id id = n->id;
        forget(r, n);
        ask_anew(r, id);
        continue;
      }
      n->lost_us = now;
    }
    if (n->lost_us != 0 && n->lost_us + PL_RECORD_AGE_US < next)
      next = n->lost_us + PL_RECORD_AGE_US;
    i++;
  }
  if (next != PL_NEVER) pl_timer_start(&r->config.loop->clock, t, next - now, on_age);
}

static void tell_routes(pl_router *r) {
  r->computed = false;
  for (uint32_t i = 0; i < r->db->count; i++) {
    if (r->db->sorted[i] != r->self) tell_route(r, r->db->sorted[i]);
  }
  forget_recordless(r);
}

static void run_settle(pl_work *w) {
  pl_router *r = pl_container(w, pl_router, settle);
  if (r->dirty && !pl_timer_active(&r->hold)) pl_paths_compute(r);
  if (r->computed) tell_routes(r);
  if (!r->dirty) tell_synced(r);
  if (!r->changed) return;
  r->changed = false;
  r->ops->on_change(r->user);
}

static void on_hold(pl_timer *t) {
  pl_router *r = pl_container(t, pl_router, hold);
  pl_loop_defer(r->config.loop, &r->settle, run_settle);
}

void pl_paths_news(pl_router *r) {
  r->changed = true;
  pl_loop_defer(r->config.loop, &r->settle, run_settle);
}

void pl_paths_changed(pl_router *r, bool urgent) {
  r->dirty = true;
  uint64_t now = pl_router_now(r);
  uint64_t due = r->computed_us + (uint64_t)r->db->count * PL_PATHS_SHARE_US;
  if (urgent || now >= due) {
    pl_timer_stop(&r->hold);
    pl_loop_defer(r->config.loop, &r->settle, run_settle);
  } else if (!pl_timer_active(&r->hold)) {
    pl_timer_start(&r->config.loop->clock, &r->hold, due - now, on_hold);
  }
}

void pl_paths_fini(pl_router *r) {
  pl_work_cancel(&r->settle);
  pl_timer_stop(&r->hold);
  pl_timer_stop(&r->age);
  pl_edges_fini(r);
  pl_graph_heap_fini(&r->heap);
}
