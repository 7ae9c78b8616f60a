#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "peer/peers.h"

struct pl_probe {
  pl_conn *asker;  // NULL when it has gone
  // It is there until the answer is, which is also given when it goes. NULL: a node far away.
  pl_conn *asked;
  uint64_t since_us;
};

static void keep_hello(pl_conn *c, const pl_msg_hello *m) {
  pl_told_fini(&c->told);
  c->told.epoch = m->epoch;
  c->told.role = m->role == PL_ROLE_LEAF ? PL_ROLE_LEAF : PL_ROLE_NODE;
  c->told.name = pl_alloc(m->name.len + 1);
  if (m->name.len > 0) memcpy(c->told.name, m->name.data, m->name.len);
  if (m->addresses.len > 0) {
    c->told.addresses = pl_slice_copy(m->addresses.data, m->addresses.len);
  }
}

static void admit(pl_conn *c) {
  assert(!c->admitted);
  c->admitted = true;
  c->peers->admitted++;
  if (!c->dialled) c->peers->greeting--;
}

static pl_conn *active_of(pl_peers *ps, const pl_id *id) {
  pl_peer *p = pl_peers_find(ps, id);
  return p != NULL && p->active != NULL && pl_conn_is_up(p->active) ? p->active : NULL;
}

static bool is_full(const pl_conn *c) {
  return !c->dialled && c->peers->admitted >= c->peers->config.max_peers;
}

const char pl_id_taken[] = "id is taken";

// Two nodes claim one id, and the older link is silent: the later start is believed. The other one
// may take a greater epoch, if it likes.
static bool displace(pl_conn *c, pl_conn *active) {
  if (c->told.epoch < active->told.epoch) {
    pl_session_hint_epoch(c->session, active->told.epoch);
    return false;
  }
  pl_peer *p = active->peer;
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn *old = pl_container(n, pl_conn, of_peer);
    if (old->told.epoch != c->told.epoch) {
      pl_session_abort(old->session, PL_PEER_LOST, "replaced by a restart of the node");
    }
  }
  return true;
}

// A link to go on with a session that lost its own.
static pl_err find_session(pl_conn *c, const pl_msg_hello *hello, const char **reason) {
  pl_peer *p = pl_peers_find(c->peers, &hello->id);
  if (p != NULL) {
    for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
      pl_conn *old = pl_container(n, pl_conn, of_peer);
      if (pl_session_resume(c->session, old->session, hello)) return PL_OK;
    }
  }
  c->peers->loop->metrics.resumes_refused++;
  *reason = "no such session";
  return PL_CLOSED;
}

static uint64_t known_epoch(const pl_conn *c, const pl_id *id) {
  const pl_peers *ps = c->peers;
  return ps->ops->known_epoch != NULL ? ps->ops->known_epoch(id, ps->user) : 0;
}

// It was asked in vain, and nothing came since.
static bool is_silent(const pl_conn *c) {
  return c->silent_us != 0 && c->silent_us == pl_session_heard_us(c->session);
}

// Whether it may come in for what is known of the mesh. It learns what it has to surpass.
static bool is_latest(pl_conn *c, pl_err err) {
  uint64_t known = known_epoch(c, pl_session_peer_id(c->session));
  if (known <= c->told.epoch) return true;
  if (err != PL_OK) pl_session_hint_epoch(c->session, known);
  return false;
}

static void id_probed(pl_conn *c, pl_err err) {
  pl_conn *active = active_of(c->peers, pl_session_peer_id(c->session));
  bool conflict = active != NULL && active->told.epoch != c->told.epoch;
  if (conflict && err == PL_TIMEOUT) active->silent_us = pl_session_heard_us(active->session);
  bool refused = conflict && (err == PL_OK || !displace(c, active));
  if (refused || (active == NULL && !is_latest(c, err))) {
    pl_session_close(c->session, PL_INVALID, pl_id_taken, true);
    return;
  }
  admit(c);
  pl_session_accept(c->session);
}

static void on_probed(pl_err err, uint64_t rtt_us, void *user) {
  (void)rtt_us;
  pl_probe *probe = user;
  pl_conn *c = probe->asker;
  pl_conn *asked = probe->asked;
  uint64_t since_us = probe->since_us;
  pl_free(probe);
  if (c == NULL) return;
  c->probe = NULL;
  if (pl_session_status(c->session) == PL_SESSION_CLOSING) return;
  if (c->stage == PL_CONN_GREETING) {
    id_probed(c, err);
  } else if (c->stage == PL_CONN_CONTENDING) {
    pl_conn_answered(c, asked, err, since_us);
  }
}

// Asks the node that is known by the id of `c` in the mesh.
static bool ask_far(pl_conn *c, const pl_id *id) {
  assert(c->probe == NULL);
  pl_peers *ps = c->peers;
  pl_probe *probe = pl_new(pl_probe);
  *probe = (pl_probe){.asker = c};
  if (ps->ops->ask(id, ps->config.identity->heartbeat_us, on_probed, probe, ps->user) != PL_OK) {
    pl_free(probe);
    return false;
  }
  c->probe = probe;
  return true;
}

bool pl_conn_probe(pl_conn *c, pl_conn *asked) {
  assert(c->probe == NULL);
  pl_probe *probe = pl_new(pl_probe);
  *probe = (pl_probe){.asker = c, .asked = asked, .since_us = pl_now_us(c->peers->loop)};
  uint64_t timeout_us = c->peers->config.identity->heartbeat_us;
  if (pl_session_ping(asked->session, timeout_us, on_probed, probe) != PL_OK) {
    pl_free(probe);
    return false;
  }
  c->probe = probe;
  return true;
}

static pl_err on_hello(pl_session *s, const pl_msg_hello *hello, const char **reason, void *user) {
  pl_conn *c = user;
  pl_peers *ps = c->peers;
  const pl_identity *self = ps->config.identity;
  if (pl_id_equal(&hello->id, &self->id)) {
    bool same = hello->epoch == self->epoch;
    *reason = same ? "the address leads back to this node" : pl_id_taken;
    return same ? PL_SELF : PL_INVALID;
  }
  if (ps->stopping) {
    *reason = "the node is stopping";
    return PL_DRAINING;
  }
  if (!pl_id_is_zero(&hello->resume)) return find_session(c, hello, reason);
  pl_conn *active = active_of(ps, &hello->id);
  if (active == NULL && is_full(c)) {
    ps->loop->metrics.links_refused++;
    *reason = "too many peers";
    return PL_BUSY;
  }
  keep_hello(c, hello);
  uint64_t known = active == NULL ? known_epoch(c, &hello->id) : 0;
  bool surpassed = known > hello->epoch;
  bool fits = active == NULL || active->told.epoch == hello->epoch;
  if (fits && !surpassed) {
    admit(c);
    return PL_OK;
  }
  // Restarted with the same id, or a copy of it: whoever is there proves it by living.
  *reason = pl_id_taken;
  if (active != NULL && (pl_conn_is_waiting(active) || is_silent(active))) {
    if (!displace(c, active)) return PL_INVALID;
    admit(c);
    return PL_OK;
  }
  bool asked = surpassed ? ask_far(c, &hello->id) : pl_conn_probe(c, active);
  if (!asked) {
    pl_session_hint_epoch(s, known);
    return PL_INVALID;
  }
  pl_session_defer(s);
  return PL_OK;
}

// The peer that `c` leads to: known, or else the one that its dialer stands for.
static pl_peer *find_peer(pl_conn *c) {
  const pl_id *id = pl_session_peer_id(c->session);
  pl_peer *p = pl_peers_find(c->peers, id);
  if (p != NULL) return p;
  p = c->dialer != NULL && !c->dialer->peer->was_up ? c->dialer->peer : pl_peer_new(c->peers);
  pl_peer_identify(p, id);
  return p;
}

static void on_up(pl_session *s, void *user) {
  pl_conn *c = user;
  pl_conn *active = active_of(c->peers, pl_session_peer_id(s));
  if (active != NULL && active->told.epoch != c->told.epoch && !displace(c, active)) {
    pl_session_close(s, PL_INVALID, pl_id_taken, true);
    return;
  }
  c->peer = pl_peer_hold(find_peer(c));
  if (c->dialer != NULL) pl_dialer_attach(c->dialer, c->peer);
  pl_peer_joined(c->peer, c);
  pl_dialer *d = c->dialer;  // unless it was ended by a callback
  if (d == NULL) return;
  c->dialer = NULL;
  pl_dialer_up(d, c->peer);
}

static pl_err on_retire(pl_conn *c, pl_bytes body) {
  pl_msg_retire m = {0};
  if (body.len > 0 && pl_msg_retire_decode(&m, body) != PL_OK) return PL_PROTOCOL;
  pl_conn_given_up(c, m.unkept);
  return PL_OK;
}

static pl_err on_frame(pl_session *s, const pl_frame *f, void *user) {
  pl_conn *c = user;
  if (c->peer == NULL) return PL_OK;
  if (f->type == PL_FRAME_RETIRE) return on_retire(c, f->body);
  return c->peers->ops->on_frame(c->peer, s, f, c->peers->user);
}

static void on_drained(pl_session *s, void *user) {
  pl_conn *c = user;
  if (c->peer != NULL) c->peers->ops->on_drained(c->peer, s, c->peers->user);
}

static void tell_away(pl_conn *c, bool away) {
  pl_peers *ps = c->peers;
  if (c->peer != NULL && ps->ops->on_away != NULL)
    ps->ops->on_away(c->peer, c->session, away, ps->user);
}

// One that waits for what the neighbour on `asked` answers to its claim of the same id.
static pl_conn *claimant_of(const pl_peers *ps, const pl_conn *asked) {
  for (pl_list *n = ps->conns.next; n != &ps->conns; n = n->next) {
    pl_conn *c = pl_container(n, pl_conn, node);
    if (c->stage == PL_CONN_GREETING && c->probe != NULL && c->probe->asked == asked) return c;
  }
  return NULL;
}

// No answer comes on a link that is away: who came just before it was lost is treated as who comes
// just after. A restarted node often is how the loss is noticed.
static void decide_claims(pl_peers *ps, const pl_conn *asked) {
  for (pl_conn *c; (c = claimant_of(ps, asked)) != NULL;) {
    c->probe->asker = NULL;
    c->probe = NULL;
    if (pl_session_status(c->session) == PL_SESSION_CLOSING) continue;
    pl_conn *active = active_of(ps, pl_session_peer_id(c->session));
    bool live = active != NULL && !pl_conn_is_waiting(active);
    if (!live || !pl_conn_probe(c, active)) id_probed(c, live ? PL_OK : PL_PEER_LOST);
  }
}

static void on_suspended(pl_session *s, void *user) {
  (void)s;
  pl_conn *c = user;
  pl_peers *ps = c->peers;
  if (c->peer != NULL) pl_peer_choose(c->peer);
  tell_away(c, true);
  decide_claims(ps, c);
}

static void on_resumed(pl_session *s, void *user) {
  pl_conn *c = user;
  if (c->peer == NULL) return;
  tell_away(c, false);
  c->peers->ops->on_drained(c->peer, s, c->peers->user);
  if (pl_session_status(s) == PL_SESSION_UP) pl_conn_went_on(c);
}

static void tell_down(pl_conn *c, pl_err why, const char *detail, const pl_msg_goodbye *goodbye) {
  pl_peers *ps = c->peers;
  pl_peer *p = c->peer;
  if (p->active == c) p->active = NULL;
  pl_list_remove(&c->of_peer);
  ps->loop->metrics.links_closed++;
  ps->loop->metrics.links_now--;
  if (why == PL_PEER_LOST) ps->loop->metrics.peers_lost++;
  // That this node has drained says nothing of what the other end runs for it.
  if (why == PL_DRAINING && goodbye == NULL) why = PL_OK;
  pl_peer_choose(p);
  ps->ops->on_session_down(p, c->session, why, detail, ps->user);
  if (p->active == NULL) pl_dialers_resume(p, goodbye);
  pl_peer_settle(p, why, detail);
  pl_peer_drop(p);
}

// A stranger who may not come in. Who dials learns it of his dial.
static void tell_refused(pl_conn *c, const char *detail) {
  pl_peers *ps = c->peers;
  if (ps->refusals == NULL) ps->refusals = pl_refusals_new();
  const char *from = c->from;
  uint64_t times = pl_refusals_note(ps->refusals, &from, pl_now_us(ps->loop));
  if (times == 0) return;
  pl_log_warn(ps->loop->log, "refused as unauthorized", pl_f_text("from", from),
              pl_f_text("detail", detail), pl_f_int("times", (int64_t)times));
}

static void on_down(pl_session *s, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                    void *user) {
  pl_conn *c = user;
  pl_peers *ps = c->peers;
  pl_list_remove(&c->node);
  if (c->probe != NULL) c->probe->asker = NULL;
  if (c->admitted) {
    ps->admitted--;
  } else if (!c->dialled) {
    ps->greeting--;
  }
  bool surpassed = goodbye != NULL && goodbye->epoch > ps->config.identity->epoch;
  if (surpassed && ps->ops->on_surpassed != NULL) ps->ops->on_surpassed(goodbye->epoch, ps->user);
  if (c->peer != NULL) {
    tell_down(c, why, detail, goodbye);
  } else if (c->dialer != NULL) {
    pl_dialer_failed(c->dialer, why, detail, goodbye);
  } else if (c->from != NULL && why == PL_UNAUTHORIZED) {
    tell_refused(c, detail);
  }
  pl_free(c->from);
  pl_told_fini(&c->told);
  pl_session_drop(s);
  pl_free(c);
  if (ps->stopping) pl_peers_wake(ps);
}

static const pl_session_ops session_ops = {
    .on_hello = on_hello,
    .on_up = on_up,
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_suspended = on_suspended,
    .on_resumed = on_resumed,
    .on_down = on_down,
};

static pl_conn *new_conn(pl_peers *ps, bool dialled) {
  pl_conn *c = pl_new(pl_conn);
  if (ps->ops->on_handshake != NULL) ps->ops->on_handshake(ps->user);
  c->peers = ps;
  c->dialled = dialled;
  pl_list_init(&c->of_peer);
  return c;
}

// Each connection of a node has a port of its own, which says nothing.
static char *address_of(pl_link *link) {
  char *from = pl_strdup(pl_link_remote(link));
  char *port = strrchr(from, ':');
  if (strncmp(from, "tcp://", 6) == 0 && port > from + 6) *port = '\0';
  return from;
}

void pl_conn_accept(pl_peers *ps, pl_link *link, uint32_t cost_us) {
  if (ps->stopping || ps->greeting >= PL_GREETING_MAX) {
    ps->loop->metrics.links_refused++;
    pl_link_abort(link, PL_BUSY, "");
    return;
  }
  pl_conn *c = new_conn(ps, false);
  pl_list_push(&ps->conns, &c->node);
  ps->greeting++;
  c->cost_us = cost_us;
  c->from = address_of(link);
  c->session = pl_session_open(ps->loop, ps->config.identity, link, false, &session_ops, c);
}

pl_err pl_conn_dial(pl_conn **out, pl_dialer *d) {
  pl_peers *ps = d->peers;
  pl_conn *c = new_conn(ps, true);
  pl_err err =
      pl_session_dial(&c->session, ps->loop, ps->config.identity, &d->url, &session_ops, c);
  if (err != PL_OK) {
    pl_free(c);
    return err;
  }
  c->dialer = d;
  pl_list_push(&ps->conns, &c->node);
  *out = c;
  return PL_OK;
}

void pl_peers_idle(pl_peers *ps, pl_session *s) {
  (void)ps;
  pl_conn *c = pl_session_user(s, &session_ops);
  if (c != NULL) pl_conn_finish(c);
}
