#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "peer/peers.h"

enum { LOG_ID = 8 };  // digits of an id in a log line

static const char *const state_names[] = {
    [PL_PEER_CONNECTING] = "connecting",
    [PL_PEER_UP] = "up",
    [PL_PEER_RECONNECTING] = "reconnecting",
    [PL_PEER_GONE] = "gone",
};

void pl_told_fini(pl_told *t) {
  pl_free(t->name);
  pl_slice_drop(t->addresses);
  *t = (pl_told){0};
}

pl_peer *pl_peer_new(pl_peers *ps) {
  pl_peer *p = pl_new(pl_peer);
  p->refs = 1;
  p->peers = ps;
  p->state = PL_PEER_CONNECTING;
  pl_list_init(&p->unsettled);
  pl_list_init(&p->conns);
  pl_list_init(&p->dialers);
  pl_list_push(&ps->list, &p->node);
  return p;
}

void pl_peer_identify(pl_peer *p, const pl_id *id) {
  p->id = *id;
  p->was_up = true;
  pl_map_put_bytes(&p->peers->by_id, p->id.bytes, sizeof p->id.bytes, p);
}

pl_peer *pl_peer_hold(pl_peer *p) {
  assert(p->refs > 0);
  p->refs++;
  return p;
}

void pl_peer_drop(pl_peer *p) {
  assert(p->refs > 0);
  if (--p->refs > 0) return;
  assert(p->state == PL_PEER_GONE);
  pl_told_fini(&p->told);
  pl_free(p);
}

// State.

static pl_peer_state state_now(const pl_peer *p) {
  if (p->active != NULL) return PL_PEER_UP;
  if (pl_list_empty(&p->dialers) && pl_list_empty(&p->conns)) return PL_PEER_GONE;
  return p->was_up ? PL_PEER_RECONNECTING : PL_PEER_CONNECTING;
}

// Clients come and go all the time, and a worker has but one link: that is no news.
static pl_log_level level_of(const pl_peer *p) {
  const pl_identity *self = p->peers->config.identity;
  bool client = p->told.role == PL_ROLE_LEAF || self->role == PL_ROLE_LEAF;
  return client || self->is_worker ? PL_LOG_DEBUG : PL_LOG_INFO;
}

static void log_up(const pl_peer *p, pl_peer_state was) {
  char id[PL_ID_HEX];
  pl_id_format(&p->id, id);
  pl_log_at(p->peers->loop->log, level_of(p), "link up", pl_f_bytes("peer", id, LOG_ID),
            pl_f_text("name", pl_peer_name(p)),
            pl_f_text("remote", pl_link_remote(pl_session_link(p->active->session))),
            pl_f_bool("dialled", p->active->dialled), pl_f_text("was", state_names[was]));
}

static void log_lost(const pl_peer *p, pl_err why, const char *detail) {
  char id[PL_ID_HEX];
  pl_id_format(&p->id, id);
  bool closed = why == PL_OK || why == PL_DRAINING;
  pl_log_at(p->peers->loop->log, closed ? level_of(p) : PL_LOG_INFO,
            closed ? "link closed" : "link lost", pl_f_bytes("peer", id, LOG_ID),
            pl_f_text("name", pl_peer_name(p)), pl_f_text("why", pl_err_name(why)),
            pl_f_text("detail", detail), pl_f_text("state", state_names[p->state]));
}

static void forget(pl_peer *p) {
  pl_peers *ps = p->peers;
  pl_list_remove(&p->node);
  if (p->was_up) pl_map_remove_bytes(&ps->by_id, p->id.bytes, sizeof p->id.bytes);
  pl_peer_drop(p);  // the list's reference
}

void pl_peer_settle(pl_peer *p, pl_err why, const char *detail) {
  pl_peers *ps = p->peers;
  pl_peer_state was = p->state;
  pl_peer_state now = state_now(p);
  if (was == now || was == PL_PEER_GONE) return;
  p->state = now;
  if (now == PL_PEER_UP) {
    ps->up++;
    log_up(p, was);
  } else if (was == PL_PEER_UP) {
    ps->up--;
    log_lost(p, why, detail);
  }
  pl_peer_hold(p);
  if (now == PL_PEER_GONE) forget(p);
  ps->ops->on_state(p, was, ps->user);
  pl_peer_drop(p);
}

void pl_peer_unsettle(pl_peer *p) {
  if (!pl_list_empty(&p->unsettled)) return;
  pl_list_push(&p->peers->unsettled, &p->unsettled);
  pl_peer_hold(p);
  pl_peers_wake(p->peers);
}

void pl_peer_learn(pl_peer *p, const pl_told *t) {
  pl_told_fini(&p->told);
  p->told.epoch = t->epoch;
  p->told.role = t->role;
  p->told.name = pl_strdup(t->name);
  if (t->addresses != NULL) p->told.addresses = pl_slice_hold(t->addresses);
}

void pl_peer_disconnect(pl_peer *p, const char *reason, bool allow_reconnect, bool abort) {
  if (!allow_reconnect) pl_dialers_end(p);
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn *c = pl_container(n, pl_conn, of_peer);
    if (abort) {
      pl_session_abort(c->session, PL_OK, reason);
    } else {
      pl_session_close(c->session, PL_OK, reason, allow_reconnect);
    }
  }
}

// What is known of it.

const pl_id *pl_peer_id(const pl_peer *p) {
  return &p->id;
}

const char *pl_peer_name(const pl_peer *p) {
  return p->told.name != NULL ? p->told.name : "";
}

pl_role pl_peer_role(const pl_peer *p) {
  return p->told.role;
}

uint64_t pl_peer_epoch(const pl_peer *p) {
  return p->told.epoch;
}

pl_bytes pl_peer_addresses(const pl_peer *p) {
  pl_slice *s = p->told.addresses;
  return s != NULL ? (pl_bytes){.data = s->data, .len = s->len, .owner = s} : (pl_bytes){0};
}

pl_peer_state pl_peer_status(const pl_peer *p) {
  return p->state;
}

pl_session *pl_peer_session(const pl_peer *p) {
  return p->active != NULL && pl_conn_is_up(p->active) ? p->active->session : NULL;
}

uint32_t pl_peer_cost_us(const pl_peer *p) {
  bool accepted = p->active != NULL && !p->active->dialled;
  uint32_t cost = accepted ? p->active->cost_us : 0;
  for (const pl_list *n = p->dialers.next; n != &p->dialers; n = n->next) {
    const pl_dialer *d = pl_container(n, pl_dialer, of_peer);
    if (d->url.cost_us > cost) cost = d->url.cost_us;
  }
  return cost;
}

void pl_peer_update(pl_peer *p, const char *name, pl_role role) {
  char *copy = pl_strdup(name);
  pl_free(p->told.name);
  p->told.name = copy;
  p->told.role = role;
}

void pl_peer_renew(pl_peer *p, uint64_t epoch) {
  p->told.epoch = epoch;
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn *c = pl_container(n, pl_conn, of_peer);
    c->told.epoch = epoch;
    pl_session_renew(c->session, epoch);
  }
}

void pl_peer_set_data(pl_peer *p, void *data) {
  p->data = data;
}

void *pl_peer_data(const pl_peer *p) {
  return p->data;
}
