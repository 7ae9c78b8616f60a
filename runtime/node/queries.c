// What a node knows of the mesh, and single errands to a neighbour.

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"
#include "wire/msgpack.h"

static const char *state_name(pl_peer_state s) {
  switch (s) {
    case PL_PEER_CONNECTING: return "connecting";
    case PL_PEER_UP: return "up";
    case PL_PEER_RECONNECTING: return "reconnecting";
    case PL_PEER_GONE: return "gone";
  }
  return "?";
}

static pl_node_info self_info(const pl_node *n) {
  return (pl_node_info){
      .id = n->identity.id,
      .name = n->identity.name,
      .via = n->identity.id,
      .leaf = n->identity.role == PL_ROLE_LEAF,
      .draining = n->stopping,
      .worker_of = n->identity.is_worker ? &n->identity.worker_of : NULL,
      .state = "up",
  };
}

static pl_node_info mesh_info(const pl_mesh_node *m, const pl_route *route) {
  return (pl_node_info){
      .id = *pl_mesh_node_id(m),
      .name = pl_service_node_name(m),
      .hops = route->hops,
      .cost_us = route->cost,
      .via = route->via,
      .leaf = pl_service_node_is_leaf(m),
      .draining = pl_service_node_draining(m),
      .worker_of = pl_service_node_worker_of(m),
      .state = "up",
  };
}

// A neighbour that is away.
static pl_node_info peer_info(pl_peer *p) {
  return (pl_node_info){
      .id = *pl_peer_id(p),
      .name = pl_peer_name(p),
      .hops = 1,
      .via = *pl_peer_id(p),
      .leaf = pl_peer_role(p) == PL_ROLE_LEAF,
      .state = state_name(pl_peer_status(p)),
  };
}

void pl_node_each(pl_node *n, pl_node_fn *fn, void *user) {
  pl_node_info info = self_info(n);
  fn(&info, user);
  const pl_router *r = pl_service_router(n->service);
  pl_route route;
  for (const pl_mesh_node *m = NULL; (m = pl_router_next(r, m)) != NULL;) {
    if (!pl_router_find(r, pl_mesh_node_id(m), &route)) continue;
    info = mesh_info(m, &route);
    fn(&info, user);
  }
  for (pl_peer *p = NULL; (p = pl_peers_next(n->peers, p)) != NULL;) {
    if (pl_id_is_zero(pl_peer_id(p)) || pl_router_find(r, pl_peer_id(p), &route)) continue;
    info = peer_info(p);
    fn(&info, user);
  }
}

void pl_node_each_route(pl_node *n, pl_route_fn *fn, void *user) {
  pl_router *r = pl_service_router(n->service);
  pl_route route;
  for (const pl_mesh_node *m = NULL; (m = pl_router_next(r, m)) != NULL;) {
    if (!pl_router_find(r, pl_mesh_node_id(m), &route)) continue;
    pl_route_info info = {
        .id = *pl_mesh_node_id(m),
        .name = pl_service_node_name(m),
        .cost_us = route.cost,
        .hops = route.hops,
    };
    pl_router_link *next[PL_NEXT_HOPS_MAX];
    info.next_count = pl_router_next_hops(r, m, NULL, next);
    for (size_t i = 0; i < info.next_count; i++)
      info.next[i] = *pl_mesh_node_id(pl_router_link_node(next[i]));
    fn(&info, user);
  }
}

bool pl_node_knows(pl_node *n, const pl_id *id) {
  pl_peer *p = pl_peers_find(n->peers, id);
  return p == NULL || pl_peer_status(p) != PL_PEER_UP || pl_service_knows(n->service, p);
}

void pl_node_each_action(pl_node *n, pl_action_fn *fn, void *user) {
  pl_service_each_action(n->service, fn, user);
}

typedef struct search {
  const char *name;
  size_t len;
  pl_id found;
  unsigned count;
  char *detail;
  size_t used;
} search;

static void match_name(const pl_node_info *info, void *user) {
  search *s = user;
  if (strlen(info->name) != s->len || memcmp(info->name, s->name, s->len) != 0) return;
  s->found = info->id;
  s->count++;
  char hex[PL_ID_HEX];
  pl_id_format(&info->id, hex);
  if (s->used < PL_URL_MAX) {
    int n = snprintf(s->detail + s->used, PL_URL_MAX - s->used, " %s", hex);
    s->used += n > 0 ? (size_t)n : 0;
  }
}

pl_err pl_node_find(pl_node *n, const char *id_or_name, size_t len, pl_id *out, char *detail) {
  if (pl_id_parse(out, id_or_name, len)) return PL_OK;
  search s = {.name = id_or_name, .len = len, .detail = detail};
  int head = snprintf(detail, PL_URL_MAX,
                      "several nodes are named '%.*s':", (int)(len > 64 ? 64 : len), id_or_name);
  s.used = (size_t)head;
  pl_node_each(n, match_name, &s);
  if (s.count == 1) {
    *out = s.found;
    return PL_OK;
  }
  if (s.count > 1) return PL_INVALID;
  snprintf(detail, PL_URL_MAX, "no node named '%.*s' is known", (int)(len > 64 ? 64 : len),
           id_or_name);
  return PL_NO_ROUTE;
}

// Ping.

typedef struct self_ping {
  pl_work work;
  pl_ping_fn *done;
  void *user;
} self_ping;

static void answer_self(pl_work *w) {
  self_ping *p = pl_container(w, self_ping, work);
  p->done(PL_OK, 0, p->user);
  pl_free(p);
}

// A node behind others answers a call; what tells of it is the way there and back.
typedef struct far_ping {
  pl_loop *loop;
  uint64_t sent_us;
  pl_id node;
  pl_ping_fn *done;
  void *user;
} far_ping;

// An error of the node itself is an answer, too.
static bool has_answered(const far_ping *p, const pl_failure *f) {
  if (f == NULL) return true;
  bool gave_up = f->code == PL_TIMEOUT || f->code == PL_CANCELLED || f->code == PL_PEER_LOST;
  return !gave_up && pl_id_equal(&f->node, &p->node);
}

static void on_far_end(pl_call *c, void *user) {
  far_ping *p = user;
  const pl_failure *f = pl_call_failure(c);
  pl_err err = has_answered(p, f) ? PL_OK : f->code;
  uint64_t rtt_us = pl_now_precise_us(p->loop) - p->sent_us;
  pl_call_free(c, PL_OK);
  p->done(err, rtt_us > 0 ? rtt_us : 1, p->user);
  pl_free(p);
}

static pl_err ping_far(pl_node *n, const pl_id *id, uint64_t timeout_us, pl_ping_fn *done,
                       void *user) {
  static const pl_call_ops ops = {.on_end = on_far_end};
  far_ping *p = pl_new(far_ping);
  *p = (far_ping){.loop = n->loop,
                  .sent_us = pl_now_precise_us(n->loop),
                  .node = *id,
                  .done = done,
                  .user = user};
  pl_call *c;
  pl_failure why;
  const pl_call_options o = {
      .action = pl_bytes_of(PL_PING_ACTION, strlen(PL_PING_ACTION)),
      .node = id,
      .deadline_us = pl_now_us(n->loop) + timeout_us,
  };
  const pl_parts nothing = pl_parts_of(pl_bytes_of("\x90", 1));
  pl_err err = pl_service_call(&c, n->service, &o, &nothing, &ops, p, &why);
  if (err != PL_OK) pl_free(p);
  return err;
}

pl_err pl_node_ping(pl_node *n, const pl_id *id, uint64_t timeout_us, pl_ping_fn *done,
                    void *user) {
  if (pl_id_equal(id, &n->identity.id)) {
    self_ping *self = pl_new(self_ping);
    self->done = done;
    self->user = user;
    pl_loop_defer(n->loop, &self->work, answer_self);
    return PL_OK;
  }
  pl_peer *p = pl_peers_find(n->peers, id);
  pl_session *s = p == NULL ? NULL : pl_peer_session(p);
  bool near = s != NULL && pl_session_status(s) == PL_SESSION_UP;
  return near ? pl_session_ping(s, timeout_us, done, user)
              : ping_far(n, id, timeout_us, done, user);
}

// Connect.

struct pl_connecting {
  pl_node *owner;
  pl_dial *dial;
  pl_connect_fn *done;
  void *user;
};

static void on_connect(pl_dial *d, pl_err err, const char *detail, pl_peer *p, void *user) {
  pl_connecting *c = user;
  if (err == PL_OK) {
    pl_contact_keep(c->owner, d);
  } else if (err != PL_CANCELLED) {
    pl_dial_stop(d);  // the caller is told; to insist is its business
  }
  c->done(err, err == PL_OK ? pl_peer_id(p) : NULL, detail, c->user);
  pl_free(c);
}

pl_err pl_node_connect(pl_connecting **out, pl_node *n, const char *url, pl_connect_fn *done,
                       void *user, char *detail) {
  pl_connecting *c = pl_new(pl_connecting);
  c->owner = n;
  c->done = done;
  c->user = user;
  pl_err err = pl_peers_dial(&c->dial, n->peers, url, true, on_connect, c, detail);
  if (err != PL_OK) {
    pl_free(c);
  } else {
    *out = c;
  }
  return err;
}

void pl_connecting_cancel(pl_connecting *c) {
  pl_dial_stop(c->dial);
}

// The first address that it told; "" when there is none.
static void first_address(const pl_peer *p, char url[PL_URL_MAX]) {
  pl_bytes list = pl_peer_addresses(p);
  pl_mp_reader r = {list.data, list.data + list.len};
  pl_mp_token t;
  url[0] = '\0';
  bool some = list.len > 0 && pl_mp_read(&r, &t) == PL_OK && t.kind == PL_MP_ARRAY && t.len > 0;
  if (!some || pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_STR || t.len >= PL_URL_MAX) return;
  memcpy(url, t.data, t.len);
  url[t.len] = '\0';
}

pl_err pl_node_keep(pl_node *n, const pl_id *id, bool keep, char *detail) {
  pl_peer *p = pl_peers_find(n->peers, id);
  detail[0] = '\0';
  if (p == NULL) return PL_NO_ROUTE;
  if (!keep) {
    pl_peer_unkeep(p);
    return PL_OK;
  }
  char url[PL_URL_MAX];
  first_address(p, url);
  if (url[0] == '\0') {
    snprintf(detail, PL_URL_MAX, "the node tells no address at which it could be dialled");
    return PL_INVALID;
  }
  pl_contact *c;
  return pl_contact_add(n, url, false, false, &c, detail);
}

pl_err pl_node_disconnect(pl_node *n, const pl_id *id, const char *reason, bool allow_reconnect,
                          bool abort) {
  pl_peer *p = pl_peers_find(n->peers, id);
  if (p == NULL) return PL_NO_ROUTE;
  pl_peer_disconnect(p, reason, allow_reconnect, abort);
  return PL_OK;
}

// Calls.

uint64_t pl_node_timeout(pl_node *n, pl_bytes action) {
  return pl_service_timeout(n->service, action);
}

int pl_node_codec(pl_node *n, pl_bytes action) {
  return pl_service_codec(n->service, action);
}

pl_err pl_node_call(pl_call **out, pl_node *n, const pl_call_options *o, const pl_parts *args,
                    const pl_call_ops *ops, void *user, pl_failure *why) {
  return pl_service_call(out, n->service, o, args, ops, user, why);
}

void pl_node_explain(pl_node *n, const pl_call_options *o, const pl_parts *args,
                     pl_explanation *out, pl_standing_fn *fn, void *user) {
  pl_service_explain(n->service, o, args, out, fn, user);
}

void pl_node_each_stream(pl_node *n, pl_stream_fn *fn, void *user) {
  pl_service_each_stream(n->service, fn, user);
}

void pl_node_each_figures(pl_node *n, pl_figures_fn *fn, void *user) {
  pl_service_each_figures(n->service, fn, user);
}

static void count_stream(const pl_stream_info *info, void *user) {
  (void)info;
  ++*(size_t *)user;
}

void pl_node_memory_get(pl_node *n, pl_node_memory *out) {
  const pl_metrics *metrics = &n->loop->metrics;
  *out = (pl_node_memory){.relays = metrics->relay_bytes_now};
  pl_service_memory(n->service, &out->circuits, &out->links, &out->limit);
  out->link_count = (size_t)metrics->links_now;
  pl_node_each_stream(n, count_stream, &out->stream_count);
}

pl_err pl_node_add_action(pl_node *n, pl_bytes name, const pl_action_options *o,
                          const pl_action_ops *ops, void *user) {
  return pl_service_add_action(n->service, name, o, ops, user);
}

pl_err pl_node_change_actions(pl_node *n, const pl_action_change *changes, size_t count,
                              size_t *failed) {
  return pl_service_change_actions(n->service, changes, count, failed);
}

void *pl_node_action_user(const pl_node *n, pl_bytes name, const pl_action_ops *ops) {
  return pl_service_action_user(n->service, name, ops);
}

void pl_node_add_system_action(pl_node *n, const char *name, const pl_action_ops *ops, void *user) {
  pl_service_add_system_action(n->service, name, ops, user);
}

pl_err pl_node_remove_action(pl_node *n, pl_bytes name) {
  return pl_service_remove_action(n->service, name);
}
