#include "route/router.h"

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"

enum {
  COST_MIN = 1000,            // below it the number of hops decides
  BEAT_US = 2 * 1000 * 1000,  // between two looks at the costs
};

// The scale of costs is coarse, a step is half as much again, and a cost changes only when the
// round trip has left the steps beside it: small changes are no news.
static uint32_t cost_of(uint64_t rtt_us, uint32_t now) {
  if (now != 0 && rtt_us * 3 <= (uint64_t)now * 5 && rtt_us * 5 >= (uint64_t)now * 3) return now;
  if (now == COST_MIN && rtt_us < COST_MIN) return now;
  uint64_t cost = COST_MIN;
  while (cost < PL_LINK_COST_MAX && cost * 5 < rtt_us * 4)
    cost += cost / 2;
  return (uint32_t)(cost < PL_LINK_COST_MAX ? cost : PL_LINK_COST_MAX);
}

void pl_router_send(pl_router *r, pl_router_link *l, uint8_t type, pl_bytes body) {
  r->ops->send(l, type, body, r->user);
  r->config.loop->metrics.adverts_sent++;
  r->config.loop->metrics.advert_bytes += PL_FRAME_HEADER + body.len;
}

bool pl_link_measure(pl_router *r, pl_router_link *l) {
  uint64_t said = r->ops->cost_us != NULL ? r->ops->cost_us(l, r->user) : 0;
  uint64_t configured = said != 0 ? said : r->config.link_cost;
  uint32_t cost = configured != 0
                      ? (uint32_t)(configured < PL_LINK_COST_MAX ? configured : PL_LINK_COST_MAX)
                      : cost_of(r->ops->rtt_us(l, r->user), l->cost);
  if (cost == l->cost) return false;
  l->cost = cost;
  if (l->claimed) pl_own_claim(r, l);
  pl_paths_changed(r, false);
  return true;
}

// Life.

pl_router *pl_router_new(const pl_router_config *config, const pl_router_ops *ops, void *user) {
  pl_router *r = pl_new(pl_router);
  r->config = *config;
  r->ops = ops;
  r->user = user;
  r->db = pl_new(pl_lsdb);
  pl_list_init(&r->links);
  pl_list_init(&r->floods);
  r->self = pl_lsdb_add(r->db, config->id);
  r->self->epoch = config->epoch;
  return r;
}

void pl_router_free(pl_router *r) {
  assert(pl_list_empty(&r->links));
  pl_flood_now(r);
  pl_own_fini(r);
  pl_paths_fini(r);
  pl_timer_stop(&r->beat);
  for (uint32_t i = 0; i < r->db->count; i++) {
    if (r->db->sorted[i] != r->self) r->ops->on_forgotten(r->db->sorted[i], r->user);
  }
  pl_lsdb_fini(r->db);
  pl_free(r->db);
  pl_free(r);
}

// Links.

// One end of each link between two relays begins the comparison.
static bool compares(const pl_router *r, const pl_router_link *l) {
  return r->joined && r->self->relays && l->answered && l->to->relays &&
         pl_id_compare(&r->self->id, &l->to->id) < 0;
}

static uint64_t next_compare(const pl_router *r) {
  uint64_t jitter = pl_random_below(&r->config.loop->random, PL_RECORD_CHECK_US / 2);
  return pl_router_now(r) + PL_RECORD_CHECK_US * 3 / 4 + jitter;
}

static void on_beat(pl_timer *t) {
  pl_router *r = pl_container(t, pl_router, beat);
  uint64_t now = pl_router_now(r);
  // What all nodes tell of their costs together does not grow with their number.
  bool measures = now >= r->measured_us + (uint64_t)r->db->count * PL_NEWS_SHARE_US;
  if (measures) r->measured_us = now;
  for (pl_list *at = r->links.next; at != &r->links; at = at->next) {
    pl_router_link *l = pl_container(at, pl_router_link, node);
    if (measures) pl_link_measure(r, l);
    if (now < l->compare_us) continue;
    l->compare_us = next_compare(r);
    if (compares(r, l)) pl_hash_send(r, l);
  }
  if (!pl_list_empty(&r->links)) pl_timer_start(&r->config.loop->clock, t, BEAT_US, on_beat);
}

static pl_router_link *new_link(pl_router *r, const pl_id *id, void *user) {
  pl_mesh_node *n = pl_lsdb_find(r->db, id);
  if (n == NULL) n = pl_lsdb_add(r->db, id);
  pl_router_link *l = pl_new(pl_router_link);
  l->router = r;
  l->to = n;
  l->user = user;
  l->compare_us = next_compare(r);
  n->link = l;
  pl_list_push(&r->links, &l->node);
  if (!pl_timer_active(&r->beat))
    pl_timer_start(&r->config.loop->clock, &r->beat, BEAT_US, on_beat);
  return l;
}

void pl_record_forget(pl_router *r, pl_mesh_node *n) {
  pl_item_news news = {r, n};
  pl_record_clear(r->db, n, pl_paths_item, &news);
  n->version = 0;
  n->boot = n->over = 0;
  n->gone = false;
  pl_record_read(n);
}

pl_router_link *pl_router_link_up(pl_router *r, const pl_id *id, uint64_t epoch, bool full,
                                  void *user) {
  assert(!pl_id_equal(id, &r->self->id));
  const pl_mesh_node *n = pl_lsdb_find(r->db, id);
  bool again = n != NULL && n->link != NULL;
  r->taken = false;  // the ones of before are closed: it was let in once more
  pl_router_link *l = again ? n->link : new_link(r, id, user);
  pl_mesh_node *to = l->to;
  const pl_rival known = {.id = *id, .epoch = to->epoch, .boot = to->boot, .over = to->over};
  bool surpassed = to->version > 0 && to->epoch > epoch;
  if (to->version > 0 && to->epoch != epoch) pl_record_forget(r, to);  // of another start
  l->epoch = epoch;
  l->rival = 0;
  pl_router_link_away(r, l, false);
  if (l->to->version == 0) l->to->epoch = epoch;
  l->full = full || (l->to->version > 0 && !l->to->gone);
  // Either it has joined since the handshake, and tells that over this link, or others lied.
  l->doubted = !again && !full && l->full;
  pl_arriving_drop(r, l);
  pl_link_measure(r, l);
  pl_digest_send(r, l, again);
  if (surpassed) pl_rival_beside(r, NULL, to, &known);
  pl_own_claim(r, l);
  pl_paths_changed(r, true);
  return l;
}

static void unlearn_link(pl_router *r, const pl_router_link *l) {
  for (uint32_t i = 0; i < r->db->count; i++) {
    pl_mesh_node *n = r->db->sorted[i];
    unsigned kept = 0;
    for (unsigned k = 0; k < n->next_count; k++) {
      if (n->next[k] != l) n->next[kept++] = n->next[k];
    }
    n->next_count = kept;
  }
}

void pl_router_link_down(pl_router *r, pl_router_link *l) {
  l->full = false;
  pl_timer_stop(&l->still_away);
  pl_own_claim(r, l);
  pl_flood_forget(r, l);
  unlearn_link(r, l);
  pl_arriving_drop(r, l);
  pl_list_remove(&l->node);
  l->to->link = NULL;
  bool surpassed = l->rival > l->epoch;
  const pl_id id = l->to->id;
  pl_buf_fini(&l->due);
  pl_free(l->around);
  pl_free(l);
  if (pl_list_empty(&r->links)) pl_timer_stop(&r->beat);
  // What was told of another start was left out as long as there was this link.
  for (pl_list *at = r->links.next; surpassed && at != &r->links; at = at->next)
    pl_pull_send(r, pl_container(at, pl_router_link, node), &id, NULL);
  pl_paths_changed(r, true);
}

pl_err pl_router_frame(pl_router *r, pl_router_link *l, const pl_frame *f) {
  return f->type == PL_FRAME_ADVERT ? pl_record_arrived(r, l, f) : pl_route_arrived(r, l, f);
}

void pl_router_drained(pl_router *r, pl_router_link *l) {
  pl_exchange_pump(r, l);
}

void *pl_router_link_user(const pl_router_link *l) {
  return l->user;
}

pl_mesh_node *pl_router_link_node(const pl_router_link *l) {
  return l->to;
}

bool pl_router_link_synced(const pl_router_link *l) {
  return l->known;
}

// Questions.

bool pl_router_find(const pl_router *r, const pl_id *node, pl_route *out) {
  const pl_mesh_node *n = pl_lsdb_find(r->db, node);
  if (n == r->self) {
    *out = (pl_route){.via = *node};
    return true;
  }
  if (n == NULL || !n->reachable) return false;
  *out = n->route;
  return true;
}

static size_t best_now(const pl_mesh_node *n, bool away, const pl_id *not_via,
                       pl_router_link *out[PL_NEXT_HOPS_MAX]) {
  size_t count = 0;
  for (unsigned i = 0; i < n->next_count; i++) {
    pl_router_link *l = n->next[i];
    bool may = not_via == NULL || !pl_id_equal(&l->to->id, not_via);
    if (may && l->away == away) out[count++] = l;
  }
  return count;
}

static size_t up_now(pl_router *r, const pl_mesh_node *n, const pl_id *not_via,
                     pl_router_link *out[PL_NEXT_HOPS_MAX]) {
  size_t count = best_now(n, false, not_via, out);
  return count > 0 ? count : pl_paths_around(r, n, not_via, out);
}

// Who sends here what is for `node`, although the best path from here leads through the sender, has
// lost its link to it and counts on the one of this node (pl_paths_around). Any other neighbour
// might send it back there.
static bool is_detour(const pl_mesh_node *node, const pl_id *sender) {
  if (sender == NULL || node->link == NULL || node->link->away) return false;
  for (unsigned i = 0; i < node->next_count; i++) {
    if (pl_id_equal(&node->next[i]->to->id, sender)) return true;
  }
  return false;
}

size_t pl_router_next_hops(pl_router *r, const pl_mesh_node *node, const pl_id *not_via,
                           pl_router_link *out[PL_NEXT_HOPS_MAX]) {
  if (node == NULL) return 0;
  if (is_detour(node, not_via)) {
    out[0] = node->link;
    return 1;
  }
  size_t count = up_now(r, node, not_via, out);
  if (count == 0 && r->dirty) {
    pl_paths_compute(r);  // what is known of it is told to the layer above later
    pl_paths_news(r);
    count = up_now(r, node, not_via, out);
  }
  return count > 0 ? count : best_now(node, true, not_via, out);
}

uint32_t pl_router_count(const pl_router *r) {
  return r->db->count;
}

pl_mesh_node *pl_router_node(const pl_router *r, const pl_id *id) {
  pl_mesh_node *n = pl_lsdb_find(r->db, id);
  return n != r->self ? n : NULL;
}

pl_mesh_node *pl_router_next(const pl_router *r, const pl_mesh_node *after) {
  for (uint32_t at = after == NULL ? 0 : after->place + 1; at < r->db->count; at++) {
    if (r->db->sorted[at] != r->self) return r->db->sorted[at];
  }
  return NULL;
}

const pl_id *pl_mesh_node_id(const pl_mesh_node *n) {
  return &n->id;
}

uint64_t pl_mesh_node_epoch(const pl_mesh_node *n) {
  return n->epoch;
}

const pl_route *pl_mesh_node_route(const pl_mesh_node *n) {
  return n->reachable ? &n->route : NULL;
}

pl_router_link *pl_mesh_node_link(const pl_mesh_node *n) {
  return n->link;
}

void pl_mesh_node_set_data(pl_mesh_node *n, void *data) {
  n->data = data;
}

void *pl_mesh_node_data(const pl_mesh_node *n) {
  return n->data;
}
