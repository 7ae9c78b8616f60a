// What this node tells the mesh of itself, and what the directory learns from the mesh.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "wire/msgpack.h"

static bool is(pl_bytes b, const char *text) {
  return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

// Telling.

void pl_service_announce(pl_service *sv) {
  const pl_identity *self = sv->config.identity;
  uint8_t map[2 * PL_NAME_MAX + PL_REGION_MAX + 160], *p = map;
  const char *region = sv->config.region;
  int64_t slots = sv->config.max_concurrency;
  bool relays = !sv->relays_none && !self->draining;  // who stops is gone round
  p = pl_mp_put_map(
      p, 2U + (region != NULL) + (sv->load_told > 0) + !relays + (slots > 0) + self->is_worker);
  p = pl_mp_put_str(p, "name", 4);
  p = pl_mp_put_str(p, self->name, (uint32_t)strlen(self->name));
  p = pl_mp_put_str(p, "draining", 8);
  p = pl_mp_put_bool(p, self->draining);
  if (region != NULL) {
    p = pl_mp_put_str(p, "region", 6);
    p = pl_mp_put_str(p, region, (uint32_t)strlen(region));
  }
  if (sv->load_told > 0) {
    p = pl_mp_put_str(p, "load", 4);
    p = pl_mp_put_uint(p, sv->load_told);
  }
  if (slots > 0) {
    p = pl_mp_put_str(p, "concurrency", 11);
    p = pl_mp_put_uint(p, (uint64_t)slots);
  }
  if (!relays) {
    p = pl_mp_put_str(p, "relay", 5);
    p = pl_mp_put_bool(p, false);
  }
  if (self->is_worker) {
    p = pl_mp_put_str(p, "of", 2);
    p = pl_mp_put_bin(p, self->worker_of.bytes, sizeof self->worker_of.bytes);
  }
  // It is small and fits: what could fail is memory, and then the next announcement brings it.
  pl_router_set(sv->router, pl_bytes_of("node", 4), pl_bytes_of("", 0),
                pl_bytes_of(map, (size_t)(p - map)));
}

void pl_service_join(pl_service *sv, bool relays) {
  sv->relays_none = !relays;
  pl_service_announce(sv);
  pl_router_join(sv->router, relays);
}

void pl_service_leave(pl_service *sv) {
  pl_router_leave(sv->router);
}

pl_err pl_adverts_add(pl_service *sv, pl_bytes name, pl_bytes attributes) {
  return pl_router_set(sv->router, pl_bytes_of("action", 6), name, attributes);
}

void pl_adverts_remove(pl_service *sv, pl_bytes name) {
  pl_router_unset(sv->router, pl_bytes_of("action", 6), name);
}

// Hearing.

pl_provider *pl_adverts_provider(pl_mesh_node *n) {
  pl_provider *p = pl_mesh_node_data(n);
  if (p != NULL) return p;
  p = pl_new(pl_provider);
  pl_provider_init(p, pl_mesh_node_id(n), "");
  p->node = n;
  p->epoch = pl_mesh_node_epoch(n);
  pl_mesh_node_set_data(n, p);
  return p;
}

// The node's own attributes; what is missing or of another type stays as it was.
static void take_node(pl_provider *p, pl_bytes attributes) {
  pl_mp_reader r = {attributes.data, attributes.data + attributes.len};
  pl_mp_token t, v;
  uint32_t load = 0, slots = 0;
  bool is_worker = false;
  if (attributes.len == 0 || pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_MAP) return;
  for (uint32_t pairs = t.len; pairs > 0; pairs--) {
    pl_mp_token key;
    if (pl_mp_read(&r, &key) != PL_OK || key.kind != PL_MP_STR) return;
    pl_mp_reader value = r;
    if (pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK || pl_mp_read(&value, &v) != PL_OK) return;
    pl_bytes k = pl_bytes_of(key.data, key.len);
    if (is(k, "draining") && v.kind == PL_MP_BOOL) p->draining = v.v.boolean;
    if (is(k, "name") && v.kind == PL_MP_STR && v.len <= PL_NAME_MAX)
      pl_provider_rename(p, (const char *)v.data, v.len);
    if (is(k, "region") && v.kind == PL_MP_STR) pl_provider_place(p, (const char *)v.data, v.len);
    if (is(k, "concurrency")) slots = pl_slots_of(&v);
    if (is(k, "of") && v.kind == PL_MP_BIN && v.len == sizeof p->worker_of.bytes) {
      is_worker = true;
      memcpy(p->worker_of.bytes, v.data, v.len);
    }
    if (is(k, "load") && v.kind == PL_MP_INT && v.v.integer > 0)
      load = v.v.integer < PL_LOAD_MAX ? (uint32_t)v.v.integer : PL_LOAD_MAX;
  }
  p->slots = slots;
  p->is_worker = is_worker;
  pl_node_tally_told(p->tally, load);
}

static pl_neighbour *neighbour_of(const pl_mesh_node *n) {
  const pl_router_link *l = pl_mesh_node_link(n);
  return l != NULL ? pl_router_link_user(l) : NULL;
}

static void on_node_item(pl_mesh_node *n, const pl_msg_advert_item *item) {
  pl_provider *p = pl_adverts_provider(n);
  take_node(p, item->attributes);
  p->leaf = false;  // a leaf has no record
  pl_neighbour *nb = neighbour_of(n);
  if (nb != NULL) pl_peer_update(nb->peer, p->name, PL_ROLE_NODE);
}

static void on_item(pl_mesh_node *n, const pl_msg_advert_item *item, void *user) {
  pl_service *sv = user;
  pl_provider *p = pl_adverts_provider(n);
  p->epoch = pl_mesh_node_epoch(n);
  if (is(item->kind, "node") && !item->withdrawn) {
    on_node_item(n, item);
  } else if (is(item->kind, "action") && item->withdrawn) {
    pl_directory_withdraw(&sv->directory, p, item->name);
  } else if (is(item->kind, "action") && item->name.len > 0) {
    // More actions than the bound are left out; nothing else is at fault.
    pl_directory_offer(&sv->directory, p, item->name, item->attributes);
  }
}

static void on_route(pl_mesh_node *n, const pl_route *route, void *user) {
  (void)user;
  pl_provider *p = pl_adverts_provider(n);
  pl_neighbour *nb = neighbour_of(n);
  p->reachable = route != NULL;
  p->hops = route != NULL ? route->hops : 0;
  p->cost = route != NULL ? route->cost : 0;
  p->channel = p->hops == 1 && nb != NULL ? nb->channel : NULL;
}

static void on_forgotten(pl_mesh_node *n, void *user) {
  pl_service *sv = user;
  pl_provider *p = pl_mesh_node_data(n);
  if (p == NULL) return;
  pl_mesh_node_set_data(n, NULL);
  pl_directory_withdraw_all(&sv->directory, p);
  pl_provider_fini(p);
  pl_free(p);
}

static void on_change(void *user) {
  pl_service *sv = user;
  pl_calls_go_round(sv);
  sv->config.on_change(sv->config.user);
}

static void on_synced(pl_router_link *link, void *user) {
  (void)link;
  on_change(user);
}

static void on_raised(uint64_t epoch, void *user) {
  ((pl_service *)user)->config.identity->epoch = epoch;
}

static void on_renewed(pl_router_link *link, uint64_t epoch, void *user) {
  (void)user;
  pl_peer_renew(((pl_neighbour *)pl_router_link_user(link))->peer, epoch);
}

static void on_taken(void *user) {
  pl_service *sv = user;
  sv->config.on_taken(sv->config.user);
}

// Links.

static pl_session *session_of(const pl_router_link *link) {
  const pl_neighbour *n = pl_router_link_user(link);
  return n->channel->session;
}

static void send_frame(pl_router_link *link, uint8_t type, pl_bytes body, void *user) {
  (void)user;
  pl_session_send(session_of(link), type, 0, 0, 0, body);
}

static bool writable(pl_router_link *link, void *user) {
  (void)user;
  return pl_session_backlog(session_of(link)) < PL_WRITE_HIGH;
}

static uint64_t rtt_us(pl_router_link *link, void *user) {
  (void)user;
  return pl_session_rtt_us(session_of(link));
}

static uint64_t cost_us(pl_router_link *link, void *user) {
  (void)user;
  const pl_neighbour *n = pl_router_link_user(link);
  return pl_peer_cost_us(n->peer);
}

const pl_router_ops pl_adverts_ops = {
    .send = send_frame,
    .writable = writable,
    .rtt_us = rtt_us,
    .cost_us = cost_us,
    .on_item = on_item,
    .on_route = on_route,
    .on_forgotten = on_forgotten,
    .on_synced = on_synced,
    .on_change = on_change,
    .on_raised = on_raised,
    .on_renewed = on_renewed,
    .on_taken = on_taken,
};
