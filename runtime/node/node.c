// The wiring: builds the layers, connects their upcalls, and takes everything down in order.

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"
#include "wire/msgpack.h"

static uint64_t to_us(double seconds) {
  return (uint64_t)(seconds * 1e6);
}

// Upcalls of the layers.

static void run_change(pl_work *w) {
  pl_node *n = pl_container(w, pl_node, change);
  if (n->ops != NULL && n->ops->on_change != NULL) n->ops->on_change(n, n->user);
}

static void changed(void *user) {
  pl_node *n = user;
  pl_loop_defer(n->loop, &n->change, run_change);
  pl_contacts_check_join(n);
}

static void on_handshake(void *user) {
  pl_keys_refresh(user);
}

static void on_session(pl_peer *p, pl_session *s, void *user) {
  pl_service_session(((pl_node *)user)->service, p, s);
}

static pl_err on_frame(pl_peer *p, pl_session *s, const pl_frame *f, void *user) {
  return pl_service_frame(((pl_node *)user)->service, p, s, f);
}

static void on_drained(pl_peer *p, pl_session *s, void *user) {
  (void)p;
  pl_service_drained(((pl_node *)user)->service, s);
}

static void on_away(pl_peer *p, pl_session *s, bool away, void *user) {
  pl_service_away(((pl_node *)user)->service, p, s, away);
}

static void on_unkept(pl_peer *p, pl_session *s, void *user) {
  pl_service_unkept(((pl_node *)user)->service, p, s);
}

static void on_session_down(pl_peer *p, pl_session *s, pl_err why, const char *detail, void *user) {
  pl_service_session_down(((pl_node *)user)->service, p, s, why, detail);
}

static void on_state(pl_peer *p, pl_peer_state was, void *user) {
  (void)was;
  pl_node *n = user;
  if (pl_peer_status(p) == PL_PEER_GONE) pl_service_peer_gone(n->service, p);
  changed(n);
}

static size_t circuits(pl_session *s, void *user) {
  (void)user;
  return pl_service_circuits(s);
}

static size_t opened(pl_session *s, void *user) {
  (void)user;
  return pl_service_opened(s);
}

static uint64_t known_epoch(const pl_id *id, void *user) {
  const pl_mesh_node *m = pl_router_node(pl_service_router(((pl_node *)user)->service), id);
  bool far = m != NULL && pl_mesh_node_route(m) != NULL && pl_mesh_node_link(m) == NULL;
  return far ? pl_mesh_node_epoch(m) : 0;
}

static pl_err ask(const pl_id *id, uint64_t timeout_us, pl_pong_fn *done, void *probe, void *user) {
  return pl_node_ping(user, id, timeout_us, done, probe);
}

static void on_surpassed(uint64_t epoch, void *user) {
  pl_router_surpass(pl_service_router(((pl_node *)user)->service), epoch);
}

static void on_dial_failed(const char *address, pl_err why, void *user) {
  pl_notice e = {.kind = PL_NOTICE_DIAL_FAILED, .address = address, .code = pl_err_name(why)};
  pl_node_tell(user, &e);
}

static const pl_peers_ops peers_ops = {
    .known_epoch = known_epoch,
    .ask = ask,
    .on_surpassed = on_surpassed,
    .on_dial_failed = on_dial_failed,
    .on_handshake = on_handshake,
    .on_session = on_session,
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_away = on_away,
    .on_unkept = on_unkept,
    .on_session_down = on_session_down,
    .on_state = on_state,
    .circuits = circuits,
    .opened = opened,
};

static void run_yield(pl_work *w) {
  pl_node *n = pl_container(w, pl_node, yield);
  if (!n->closing) pl_peers_yield(n->peers);
}

static void on_taken(void *user) {
  pl_node *n = user;
  pl_loop_defer(n->loop, &n->yield, run_yield);
}

static void on_idle_session(pl_session *s, void *user) {
  pl_node *n = user;
  if (n->peers != NULL) pl_peers_idle(n->peers, s);
}

// Making.

static pl_err make_identity(pl_node *n, char *detail) {
  pl_identity *id = &n->identity;
  const pl_options *o = &n->options;
  if (o->id == NULL) {
    pl_id_random(&id->id);
  } else if (!pl_id_parse(&id->id, o->id, strlen(o->id))) {
    snprintf(detail, PL_URL_MAX, "id: '%.64s' is not 32 hexadecimal digits", o->id);
    return PL_INVALID;
  }
  char hex[PL_ID_HEX];
  pl_id_format(&id->id, hex);
  if (o->name != NULL) {
    snprintf(id->name, sizeof id->name, "%s", o->name);
  } else {
    snprintf(id->name, sizeof id->name, "node-%.8s", hex);
  }
  id->epoch = pl_wall_us();
  id->role = PL_ROLE_LEAF;
  id->message_max = (uint64_t)o->max_message;
  id->connect_timeout_us = to_us(o->connect_timeout);
  id->handshake_timeout_us = to_us(o->handshake_timeout);
  id->heartbeat_us = to_us(o->heartbeat);
  id->heartbeat_misses = (unsigned)o->heartbeat_misses;
  id->resume_window_us = to_us(o->resume_window);
  n->started_wall_us = id->epoch;
  return PL_OK;
}

static void on_requests_drained(void *user);

static void build(pl_node *n) {
  pl_service_config service = {
      .loop = n->loop,
      .identity = &n->identity,
      .max_concurrency = n->options.max_concurrency,
      .max_queue = n->options.max_queue,
      .message_max = (size_t)n->options.max_message,
      .stall_us = to_us(n->options.stall_timeout),
      .buffer_limit = (uint64_t)n->options.buffer_limit,
      .link_cost = to_us(n->options.link_cost),
      .trace_one_in = (uint64_t)n->options.trace_sample,
      .region = n->options.region,
      .on_change = changed,
      .on_idle_session = on_idle_session,
      .on_taken = on_taken,
      .on_drained = on_requests_drained,
      .user = n,
  };
  const char *strategy = n->options.strategy;
  if (strategy != NULL) service.strategy = pl_strategy_find(strategy, strlen(strategy));
  n->service = pl_service_new(&service);
  pl_report_open(n);
  pl_exposition_open(n);
  pl_peers_config peers = {
      .identity = &n->identity,
      .reconnect_max_us = to_us(n->options.reconnect_max),
      .max_peers = (unsigned)n->options.max_peers,
      .insecure = n->options.insecure,
  };
  n->peers = pl_peers_new(n->loop, &peers, &peers_ops, n);
}

pl_err pl_node_new(pl_node **out, pl_loop *loop, const pl_options *options, const pl_node_ops *ops,
                   void *user, char *detail) {
  pl_node *n = pl_new(pl_node);
  n->loop = loop;
  n->made_us = pl_now_us(loop);
  n->ops = ops;
  n->user = user;
  pl_list_init(&n->contacts);
  pl_options_copy(&n->options, options);
  pl_err err = make_identity(n, detail);
  if (err == PL_OK) err = pl_keys_open(n, detail);
  if (err != PL_OK) {
    pl_options_free(&n->options);
    pl_free(n);
    return err;
  }
  build(n);
  pl_addresses_publish(n);
  *out = n;
  return PL_OK;
}

// Starting.

static void on_neighbours(const char *const *urls, size_t count, void *user) {
  pl_contacts_set_local(user, urls, count, false);
}

static const pl_local_mesh_ops mesh_ops = {.on_neighbours = on_neighbours};

static pl_err open_listeners(pl_node *n, char *detail) {
  for (size_t i = 0; i < n->options.listen.count; i++) {
    char bound[PL_URL_MAX];
    pl_err err = pl_peers_listen(n->peers, n->options.listen.items[i], bound, detail);
    if (err != PL_OK) return err;
    pl_addresses_add(n, bound);
  }
  return PL_OK;
}

static void on_local_join_over(pl_timer *t) {
  pl_contacts_join_without_local(pl_container(t, pl_node, local_join));
}

static pl_err enter_mesh(pl_node *n, char *detail) {
  const pl_options *o = &n->options;
  const char *name = o->mesh;
  if (name == NULL && o->listen.count == 0 && o->peers.count == 0) name = "default";
  if (name == NULL || name[0] == '\0') return PL_OK;
  snprintf(n->identity.mesh, sizeof n->identity.mesh, "%s", name);
  pl_err err = pl_local_mesh_open(&n->mesh, n->loop, name, &n->identity.id, &mesh_ops, n, detail);
  if (err != PL_OK) return err;
  const char *urls[PL_LOCAL_DIALS];
  size_t count = pl_local_mesh_look(n->mesh, urls);
  pl_contacts_set_local(n, urls, count, true);
  if (count > 0)
    pl_timer_start(&n->loop->clock, &n->local_join, PL_LOCAL_JOIN_US, on_local_join_over);
  return PL_OK;
}

static pl_err dial_peers(pl_node *n, char *detail) {
  for (size_t i = 0; i < n->options.peers.count; i++) {
    pl_contact *c;
    pl_err err = pl_contact_add(n, n->options.peers.items[i], true, false, &c, detail);
    if (err != PL_OK) return err;
  }
  return PL_OK;
}

static void forget_all(pl_node *n) {
  pl_timer_stop(&n->local_join);
  if (n->mesh != NULL) pl_local_mesh_close(n->mesh);
  n->mesh = NULL;
  while (!pl_list_empty(&n->contacts))
    pl_contact_free(pl_container(n->contacts.next, pl_contact, node));
  pl_texts_free(&n->addresses);
  pl_texts_free(&n->listeners);
}

pl_err pl_node_promote(pl_node *n, char *detail) {
  if (n->promoted || n->stopping) return PL_OK;
  if (n->mesh != NULL) {
    char bound[PL_URL_MAX];
    pl_err err = pl_peers_listen(n->peers, pl_local_mesh_url(n->mesh), bound, detail);
    if (err != PL_OK) return err;
    pl_addresses_add(n, bound);
    pl_addresses_publish(n);
  }
  n->promoted = true;
  n->identity.role = PL_ROLE_NODE;
  pl_service_join(n->service, n->options.relay);
  return PL_OK;
}

void pl_node_set_worker_of(pl_node *n, const pl_id *id) {
  n->identity.is_worker = true;
  n->identity.worker_of = *id;
}

pl_err pl_node_open_door(pl_node *n, const char *name, char *detail) {
  char url[PL_URL_MAX], bound[PL_URL_MAX];
  snprintf(url, sizeof url, "door://%s", name);
  pl_err err = pl_peers_listen(n->peers, url, bound, detail);
  return err == PL_OK ? pl_node_promote(n, detail) : err;
}

pl_err pl_node_start(pl_node *n, void (*joined)(void *user), void *user, char *detail) {
  assert(!n->started);
  pl_err err = open_listeners(n, detail);
  if (err == PL_OK) err = enter_mesh(n, detail);
  // Who can be dialled is a place on the way of others, also without actions.
  bool is_place =
      n->options.listen.count > 0 || (n->options.relay && pl_option_is_given(&n->options, "relay"));
  if (err == PL_OK && is_place) err = pl_node_promote(n, detail);
  if (err == PL_OK) err = dial_peers(n, detail);
  if (err == PL_OK) err = pl_node_open_admin(n, detail);
  if (err != PL_OK) {
    forget_all(n);
    pl_peers_unlisten_all(n->peers);
    return err;
  }
  n->started = true;
  n->joined = joined;
  n->joined_user = user;
  pl_addresses_publish(n);
  pl_contacts_check_join(n);
  return PL_OK;
}

bool pl_node_started(const pl_node *n) {
  return n->started;
}

// Stopping.

static void run_finish(pl_work *w) {
  pl_node *n = pl_container(w, pl_node, finish);
  if (n->stopped != NULL) n->stopped(n->stopped_user);
}

static void one_closed(void *user) {
  pl_node *n = user;
  if (--n->open == 0) pl_loop_defer(n->loop, &n->finish, run_finish);
}

static void close_all(pl_node *n) {
  if (n->closing) return;
  n->closing = true;
  pl_timer_stop(&n->drain);
  pl_work_cancel(&n->join);
  forget_all(n);
  n->open = n->admin != NULL ? 3 : 2;
  if (n->admin != NULL) pl_admin_close(n->admin, one_closed, n);
  pl_service_leave(n->service);
  pl_err code = pl_service_is_drained(n->service) ? PL_DRAINING : PL_OK;
  pl_peers_shutdown(n->peers, code, "the node stops", one_closed, n);
  pl_service_shutdown(n->service, one_closed, n);
}

static void on_requests_drained(void *user) {
  close_all(user);
}

static void on_grace_over(pl_timer *t) {
  close_all(pl_container(t, pl_node, drain));
}

static void on_drain_over(pl_timer *t) {
  pl_node *n = pl_container(t, pl_node, drain);
  size_t left = pl_service_requests(n->service);
  pl_log_warn(n->loop->log, "drain is over, cancelling what still runs",
              pl_f_int("requests", (int64_t)left));
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_EXECUTED, "the node stops");
  pl_timer_start(&n->loop->clock, t, to_us(n->options.cleanup_grace), on_grace_over);
  pl_service_cancel_all(n->service, &why);
}

void pl_node_stop(pl_node *n, uint64_t drain_us, void (*done)(void *user), void *user) {
  if (done != NULL) {
    n->stopped = done;
    n->stopped_user = user;
  }
  if (n->closing) return;
  bool sooner = !pl_timer_active(&n->drain) || pl_now_us(n->loop) + drain_us < n->drain.at_us;
  if (sooner) pl_timer_start(&n->loop->clock, &n->drain, drain_us, on_drain_over);
  if (n->stopping) return;
  n->stopping = true;
  n->identity.draining = true;
  bool quiet = n->identity.role == PL_ROLE_LEAF || n->identity.is_worker;
  pl_log_level level = quiet ? PL_LOG_DEBUG : PL_LOG_INFO;
  pl_log_at(n->loop->log, level, "stopping",
            pl_f_int("requests", (int64_t)pl_service_requests(n->service)));
  pl_service_drain(n->service);
}

bool pl_node_stopping(const pl_node *n) {
  return n->stopping;
}

void pl_node_free(pl_node *n) {
  pl_work_cancel(&n->change);
  pl_work_cancel(&n->finish);
  pl_work_cancel(&n->yield);
  pl_peers_free(n->peers);
  pl_service_free(n->service);
  pl_texts_free(&n->addresses);
  pl_texts_free(&n->listeners);
  pl_buf_fini(&n->identity.addresses);
  pl_auth_wipe(&n->identity.auth);
  pl_options_free(&n->options);
  pl_free(n);
}

// Plain questions.

pl_loop *pl_node_loop(const pl_node *n) {
  return n->loop;
}

const pl_options *pl_node_options(const pl_node *n) {
  return &n->options;
}

const pl_id *pl_node_id(const pl_node *n) {
  return &n->identity.id;
}

const char *pl_node_name(const pl_node *n) {
  return n->identity.name;
}

uint64_t pl_node_started_wall_us(const pl_node *n) {
  return n->started_wall_us;
}

const char *pl_node_address(const pl_node *n, size_t i) {
  return i < n->addresses.count ? n->addresses.items[i] : NULL;
}

const char *pl_node_listener(const pl_node *n, size_t i) {
  return i < n->listeners.count ? n->listeners.items[i] : NULL;
}
