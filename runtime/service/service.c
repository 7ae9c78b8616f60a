#include "service/service.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "service/action.h"
#include "service/admission.h"
#include "service/passed.h"
#include "service/relay.h"
#include "service/span.h"
#include "service/system.h"

// Calls to the node itself.

static pl_err accept_self(pl_session *s, const pl_msg_hello *hello, const char **reason,
                          void *user) {
  (void)s, (void)hello, (void)reason, (void)user;
  return PL_OK;
}

static void local_up(pl_session *s, void *user) {
  pl_service *sv = user;
  pl_channel *ch = pl_channel_new(sv, s);
  if (pl_session_is_dialler(s)) {
    sv->local.channel = ch;
    sv->local.reachable = true;
  } else {
    sv->serving = ch;
  }
  sv->local_up++;
  sv->config.on_change(sv->config.user);
}

static pl_err local_frame(pl_session *s, const pl_frame *f, void *user) {
  (void)user;
  return pl_channel_frame(pl_session_data(s), f);
}

static void local_drained(pl_session *s, void *user) {
  (void)user;
  pl_channel *ch = pl_session_data(s);
  if (ch != NULL) pl_lanes_drained(&ch->lanes);
}

static void open_local(pl_service *sv);

static void local_down(pl_session *s, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                       void *user) {
  (void)goodbye;
  pl_service *sv = user;
  pl_channel *ch = pl_session_data(s);
  bool calling = pl_session_is_dialler(s);
  if (calling) {
    sv->local.channel = NULL;
    sv->local.reachable = false;
  }
  if (!calling) sv->serving = NULL;
  if (ch != NULL) pl_channel_down(ch, why, detail);
  sv->local_sessions[calling ? 0 : 1] = NULL;
  sv->local_up = 0;
  pl_session_drop(s);
  if (sv->local_sessions[0] != NULL || sv->local_sessions[1] != NULL) return;
  if (sv->closed != NULL)
    sv->closed(sv->closed_user);
  else
    open_local(sv);  // a process that was stopped in the middle of the handshake is too late for it
}

static const pl_session_ops local_ops = {
    .on_hello = accept_self,
    .on_up = local_up,
    .on_frame = local_frame,
    .on_drained = local_drained,
    .on_resumed = local_drained,
    .on_down = local_down,
};

// Both ends are one: nothing is to be told or proved.
static void open_local(pl_service *sv) {
  const pl_identity *self = sv->config.identity;
  sv->local_identity = (pl_identity){
      .id = self->id,
      .epoch = self->epoch,
      .message_max = self->message_max,
      .handshake_timeout_us = self->handshake_timeout_us,
      .heartbeat_us = self->heartbeat_us,
      .heartbeat_misses = self->heartbeat_misses,
  };
  pl_link *ends[2];
  pl_link_pair(&ends[0], &ends[1], sv->loop);
  for (int i = 0; i < 2; i++) {
    sv->local_sessions[i] =
        pl_session_open(sv->loop, &sv->local_identity, ends[i], i == 0, &local_ops, sv);
  }
}

// Life.

pl_service *pl_service_new(const pl_service_config *config) {
  pl_service *sv = pl_new(pl_service);
  sv->config = *config;
  sv->loop = sv->laps.loop = config->loop;
  pl_directory_init(&sv->directory, &sv->laps);
  pl_meters_init(&sv->meters, &sv->laps);
  sv->next_call_id = pl_random_u64(&sv->loop->random)
                     << 32;  // ids of two lives of a node must not meet
  pl_provider_init(&sv->local, &config->identity->id, config->identity->name);
  if (config->max_concurrency > 0) sv->local.slots = (uint32_t)config->max_concurrency;
  if (sv->config.region != NULL)
    pl_provider_place(&sv->local, sv->config.region, strlen(sv->config.region));
  const pl_router_config router = {
      .loop = config->loop,
      .id = &config->identity->id,
      .epoch = config->identity->epoch,
      .link_cost = config->link_cost,
  };
  sv->router = pl_router_new(&router, &pl_adverts_ops, sv);
  pl_list_init(&sv->neighbours);
  pl_list_init(&sv->channels);
  pl_gates_init(&sv->gates);
  pl_list_init(&sv->untimed);
  pl_list_init(&sv->orphans);
  pl_dedup_init(&sv->dedup);
  pl_dedup_init(&sv->shared);
  pl_budget_init(&sv->budget, pl_now_us(sv->loop));
  pl_memory_init(&sv->memory, config->buffer_limit);
  sv->windows.budget = PL_WINDOWS_BYTES;
  if (config->buffer_limit > 0 && config->buffer_limit / 4 < sv->windows.budget)
    sv->windows.budget = config->buffer_limit / 4;
  pl_list_init(&sv->unread);
  pl_list_init(&sv->free_calls);
  pl_list_init(&sv->free_requests);
  pl_list_init(&sv->relays);
  pl_list_init(&sv->free_relays);
  pl_spans_init(sv, config->trace_one_in);
  pl_system_init(sv);
  pl_passed_init(sv);
  open_local(sv);
  return sv;
}

bool pl_service_ready(const pl_service *sv) {
  return sv->local_up == 2;
}

void pl_service_shutdown(pl_service *sv, void (*done)(void *user), void *user) {
  sv->closed = done;
  sv->closed_user = user;
  for (int i = 0; i < 2; i++) {
    if (sv->local_sessions[i] != NULL)
      pl_session_abort(sv->local_sessions[i], PL_OK, "the node stops");
  }
}

void pl_service_free(pl_service *sv) {
  assert(sv->local_sessions[0] == NULL && sv->local_sessions[1] == NULL);
  assert(pl_list_empty(&sv->neighbours));
  pl_passed_fini(sv);
  pl_memory_fini(sv);
  assert(sv->windows.promised == 0 && sv->memory.held == 0);
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&sv->actions, &at)) != NULL;)
    pl_action_free(e->value);
  pl_map_fini(&sv->actions);
  pl_system_fini(sv);
  pl_router_free(sv->router);
  pl_directory_withdraw_all(&sv->directory, &sv->local);
  pl_provider_fini(&sv->local);
  pl_work_cancel(&sv->laps.work);
  pl_directory_fini(&sv->directory);
  pl_meters_fini(&sv->meters);
  pl_timer_stop(&sv->expiry);
  pl_timer_stop(&sv->load_timer);
  pl_dedup_fini(&sv->dedup);
  pl_dedup_fini(&sv->shared);
  pl_map_fini(&sv->marked);
  pl_free(sv->candidates);
  pl_calls_free_all(sv);
  pl_requests_free_all(sv);
  pl_work_cancel(&sv->watch_work);
  pl_work_cancel(&sv->go_on);
  pl_relays_free_all(sv);
  pl_spans_fini(sv);
  pl_free(sv);
}

// Sessions.

static pl_neighbour *neighbour_get(pl_service *sv, pl_peer *p) {
  pl_neighbour *n = pl_peer_data(p);
  if (n != NULL) return n;
  n = pl_new(pl_neighbour);
  n->peer = pl_peer_hold(p);
  pl_peer_set_data(p, n);
  pl_list_push(&sv->neighbours, &n->node);
  return n;
}

void pl_service_session(pl_service *sv, pl_peer *p, pl_session *s) {
  pl_neighbour *n = neighbour_get(sv, p);
  bool was_up = n->channel != NULL;
  if (was_up) n->channel->neighbour = NULL;  // finishes what it has
  pl_channel *ch = pl_session_data(s);       // the other end may have used it before us
  if (ch == NULL) ch = pl_channel_new(sv, s);
  ch->neighbour = n;
  n->channel = ch;
  n->link = pl_router_link_up(sv->router, pl_peer_id(p), pl_peer_epoch(p),
                              pl_peer_role(p) == PL_ROLE_NODE, n);
  pl_router_link_away(sv->router, n->link, pl_channel_is_away(ch));
  n->provider = pl_adverts_provider(pl_router_link_node(n->link));
  n->provider->channel = ch;  // until the paths say better
  n->provider->reachable = true;
  n->provider->hops = 1;
  n->provider->draining = false;
  n->provider->leaf = pl_peer_role(p) == PL_ROLE_LEAF;
  n->provider->epoch = pl_peer_epoch(p);
  pl_provider_rename(n->provider, pl_peer_name(p), strlen(pl_peer_name(p)));
  if (!was_up) pl_span_link(sv, PL_NOTICE_LINK_UP, n->provider, NULL);
  sv->config.on_change(sv->config.user);
}

pl_err pl_service_frame(pl_service *sv, pl_peer *p, pl_session *s, const pl_frame *f) {
  pl_channel *ch = pl_session_data(s);
  if (ch == NULL)
    ch = pl_channel_new(sv, s);  // a link that the other end retires before we have used it
  if (f->type != PL_FRAME_ADVERT && f->type != PL_FRAME_ROUTE) return pl_channel_frame(ch, f);
  const pl_neighbour *n = pl_peer_data(p);
  return n != NULL && n->link != NULL ? pl_router_frame(sv->router, n->link, f) : PL_OK;
}

void pl_service_drained(pl_service *sv, pl_session *s) {
  pl_channel *ch = pl_session_data(s);
  if (ch == NULL) return;
  pl_lanes_drained(&ch->lanes);
  if (ch->neighbour != NULL) pl_router_drained(sv->router, ch->neighbour->link);
}

void pl_service_away(pl_service *sv, pl_peer *p, pl_session *s, bool away) {
  const pl_neighbour *n = pl_peer_data(p);
  if (n == NULL || n->channel == NULL || n->channel->session != s) return;
  pl_router_link_away(sv->router, n->link, away);
}

// The node has no link for new circuits any more.
static void part(pl_service *sv, pl_neighbour *n, const char *code) {
  pl_span_link(sv, PL_NOTICE_LINK_DOWN, n->provider, code);
  pl_router_link_down(sv->router, n->link);
  n->provider->channel = NULL;
  n->channel->neighbour = NULL;
  *n = (pl_neighbour){.node = n->node, .peer = n->peer};
}

void pl_service_unkept(pl_service *sv, pl_peer *p, pl_session *s) {
  pl_neighbour *n = pl_peer_data(p);
  if (n == NULL || n->channel == NULL || n->channel->session != s) return;
  part(sv, n, NULL);
  sv->config.on_change(sv->config.user);
}

void pl_service_session_down(pl_service *sv, pl_peer *p, pl_session *s, pl_err why,
                             const char *detail) {
  pl_channel *ch = pl_session_data(s);
  if (ch == NULL) return;
  pl_neighbour *n = pl_peer_data(p);
  if (n != NULL && n->channel == ch) part(sv, n, why != PL_OK ? pl_err_name(why) : NULL);
  pl_channel_down(ch, why, detail);
  sv->config.on_change(sv->config.user);
}

void pl_service_peer_gone(pl_service *sv, pl_peer *p) {
  (void)sv;
  pl_neighbour *n = pl_peer_data(p);
  if (n == NULL) return;
  assert(n->channel == NULL);
  pl_list_remove(&n->node);
  pl_peer_set_data(p, NULL);
  pl_free(n);
  pl_peer_drop(p);
}

size_t pl_service_circuits(const pl_session *s) {
  const pl_channel *ch = pl_session_data(s);
  return ch == NULL ? 0 : pl_channel_circuits(ch);
}

size_t pl_service_opened(const pl_session *s) {
  const pl_channel *ch = pl_session_data(s);
  return ch == NULL ? 0 : pl_channel_opened(ch);
}

bool pl_service_knows(pl_service *sv, pl_peer *p) {
  (void)sv;
  (void)sv;
  const pl_neighbour *n = pl_peer_data(p);
  return n != NULL && n->link != NULL && pl_router_link_synced(n->link);
}

pl_router *pl_service_router(pl_service *sv) {
  return sv->router;
}

const char *pl_service_node_name(const pl_mesh_node *n) {
  const pl_provider *p = pl_mesh_node_data(n);
  return p != NULL ? p->name : "";
}

bool pl_service_node_draining(const pl_mesh_node *n) {
  const pl_provider *p = pl_mesh_node_data(n);
  return p != NULL && p->draining;
}

bool pl_service_node_is_leaf(const pl_mesh_node *n) {
  const pl_provider *p = pl_mesh_node_data(n);
  return p != NULL && p->leaf;
}

const pl_id *pl_service_node_worker_of(const pl_mesh_node *n) {
  const pl_provider *p = pl_mesh_node_data(n);
  return p != NULL && p->is_worker ? &p->worker_of : NULL;
}

pl_provider *pl_service_provider(pl_service *sv, const pl_id *id) {
  if (pl_id_equal(id, &sv->local.id)) return &sv->local;
  const pl_mesh_node *n = pl_router_node(sv->router, id);
  return n != NULL ? pl_mesh_node_data(n) : NULL;
}

// Draining.

bool pl_service_is_drained(const pl_service *sv) {
  return sv->draining && sv->requests == 0 && pl_list_empty(&sv->relays);
}

void pl_service_check_drained(pl_service *sv) {
  if (pl_service_is_drained(sv)) sv->config.on_drained(sv->config.user);
}

void pl_service_drain(pl_service *sv) {
  if (sv->draining) return;
  sv->draining = true;
  pl_service_announce(sv);
  pl_router_hurry(sv->router);
  pl_requests_refuse_waiting(sv);
  pl_service_check_drained(sv);
}

static void cancel_requests(pl_list *requests, const pl_failure *why) {
  // The list changes as requests end, so walk a copy of the labels' order: each step leaves the
  // rest in place.
  for (pl_list *at = requests->next, *next; at != requests; at = next) {
    next = at->next;
    pl_request_cancel(pl_request_of(at), why);
  }
}

void pl_service_cancel_all(pl_service *sv, const pl_failure *why) {
  pl_relays_cut(sv);
  for (pl_list *at = sv->channels.next; at != &sv->channels; at = at->next)
    cancel_requests(&pl_container(at, pl_channel, node)->request_list, why);
  cancel_requests(&sv->orphans, why);
}

size_t pl_service_requests(const pl_service *sv) {
  return sv->requests;
}

// Directory.

int pl_service_codec(pl_service *sv, pl_bytes action) {
  if (!sv->directory.has_json) return 0;
  pl_entry *e = pl_directory_find(&sv->directory, action);
  if (e == NULL) return 0;
  for (pl_list *n = e->offers.next; n != &e->offers; n = n->next) {
    const pl_offer *o = pl_container(n, pl_offer, in_entry);
    if (o->provider->reachable) return o->codec;
  }
  return 0;
}

uint64_t pl_service_timeout(pl_service *sv, pl_bytes action) {
  uint64_t longest = 0;
  pl_entry *e = sv->directory.has_timeouts ? pl_directory_find(&sv->directory, action) : NULL;
  if (e == NULL) return 0;
  for (pl_list *n = e->offers.next; n != &e->offers; n = n->next) {
    const pl_offer *o = pl_container(n, pl_offer, in_entry);
    if (o->provider->reachable && o->timeout_us > longest) longest = o->timeout_us;
  }
  return longest;
}

void pl_service_each_action(pl_service *sv, pl_action_fn *fn, void *user) {
  size_t at = 0;
  for (pl_map_entry *m; (m = pl_map_next(&sv->directory.entries, &at)) != NULL;) {
    pl_entry *e = m->value;
    for (pl_list *n = e->offers.next; n != &e->offers; n = n->next) {
      const pl_offer *o = pl_container(n, pl_offer, in_entry);
      const pl_provider *p = o->provider;
      if (!p->reachable && p != &sv->local) continue;
      pl_action_info info = {
          .name = pl_bytes_of(e->name, e->name_len),
          .attributes = o->attributes,
          .provider = p->id,
          .provider_name = p->name,
          .hops = p->hops,
      };
      fn(&info, user);
    }
  }
}
