// Of several links to a peer the one that is used, and how the others end (docs/protocol.md 7.2 and
// 7.3).
//
// Both ends prefer the same link, but not at the same moment: one may be up at one end only, or be
// lost at one end and not yet at the other. So an end gives up a link for good, by RETIRE, only
// when a better one has shown that it is up at the other end, too, and when no circuit that was
// opened here is left on it. Up to then it may be used again. A link of which both ends have said
// that closes without anything lost.
#include "base/mem.h"
#include "peer/peers.h"

// The end with the smaller id, and of its links the one with the smaller nonce: both ends know
// these four numbers.
static bool beats(const pl_conn *a, const pl_conn *b) {
  if (a->dialled != b->dialled) {
    const pl_id *self = &a->peers->config.identity->id;
    bool self_is_smaller = pl_id_compare(self, pl_session_peer_id(a->session)) < 0;
    return a->dialled == self_is_smaller;
  }
  return pl_id_compare(pl_session_nonce(a->session, true), pl_session_nonce(b->session, true)) < 0;
}

static bool is_live(const pl_conn *c) {
  return pl_session_status(c->session) == PL_SESSION_UP;
}

// Neither end has given it up.
static bool is_usable(const pl_conn *c) {
  return pl_conn_is_up(c) && !c->said && !c->other_said && !c->unkept;
}

static bool is_preferred(const pl_conn *a, const pl_conn *b) {
  return is_live(a) != is_live(b) ? is_live(a) : beats(a, b);
}

static pl_conn *preferred(const pl_peer *p) {
  pl_conn *best = NULL;
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn *c = pl_container(n, pl_conn, of_peer);
    if (is_usable(c) && (best == NULL || is_preferred(c, best))) best = c;
  }
  return best;
}

// How a link ends.

static void say_retire(const pl_conn *c, bool unkept) {
  const pl_msg_retire m = {.unkept = unkept};
  pl_buf body = {0};
  if (!unkept || pl_msg_retire_encode(&body, &m) == PL_OK) {
    pl_session_send(c->session, PL_FRAME_RETIRE, 0, 0, 0,
                    pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)));
  }
  pl_buf_fini(&body);
}

void pl_conn_finish(pl_conn *c) {
  if (c->stage != PL_CONN_RETIRED || !is_live(c)) return;
  const pl_peers *ps = c->peers;
  if (!c->said && ps->ops->opened(c->session, ps->user) == 0) {
    c->said = true;
    say_retire(c, false);
  }
  if (!c->said || !c->other_said || ps->ops->circuits(c->session, ps->user) > 0) return;
  pl_session_close(c->session, PL_OK, c->unkept ? "nobody keeps it" : "duplicate link", true);
}

static void retire(pl_conn *c) {
  c->stage = PL_CONN_RETIRED;
  c->peers->loop->metrics.duplicate_links++;
  pl_log_debug(c->peers->loop->log, "duplicate link",
               pl_f_text("remote", pl_link_remote(pl_session_link(c->session))),
               pl_f_bool("dialled", c->dialled));
  pl_conn_finish(c);
}

// Asks the better link whether it is up at the other end. Where that cannot be asked now, the other
// end may.
static void contend(pl_conn *c) {
  pl_conn *active = c->peer->active;
  if (c->stage != PL_CONN_CONTENDING || c->probe != NULL) return;
  if (active != NULL && is_live(active) && beats(active, c)) pl_conn_probe(c, active);
}

// That nothing comes from there may be the fault of its process, unless that answers elsewhere.
static bool is_silent(const pl_conn *active, const pl_conn *c, uint64_t since_us) {
  return pl_session_heard_us(active->session) < since_us &&
         pl_session_heard_us(c->session) > since_us;
}

void pl_conn_answered(pl_conn *c, pl_conn *asked, pl_err err, uint64_t since_us) {
  bool still = c->peer->active == asked && is_live(asked);
  if (still && err == PL_OK) {
    retire(c);
    return;
  }
  if (still && err == PL_TIMEOUT && is_silent(asked, c, since_us)) {
    pl_session_lose(asked->session, "silent beside a new link");
  }
  contend(c);
}

// Which link is used.

static void activate(pl_peer *p, pl_conn *c) {
  c->stage = PL_CONN_ACTIVE;
  p->active = c;
  pl_peer_learn(p, &c->told);
  p->peers->ops->on_session(p, c->session, p->peers->user);
}

void pl_peer_choose(pl_peer *p) {
  pl_conn *next = preferred(p);
  if (next != p->active) {
    for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
      pl_conn *c = pl_container(n, pl_conn, of_peer);
      if (is_usable(c)) c->stage = PL_CONN_CONTENDING;  // with the new one
    }
    p->active = NULL;
    if (next != NULL) activate(p, next);
  }
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    contend(pl_container(n, pl_conn, of_peer));
  }
}

void pl_peer_joined(pl_peer *p, pl_conn *c) {
  pl_metrics *m = &p->peers->loop->metrics;
  m->links_opened++;
  m->links_now++;
  c->stage = PL_CONN_CONTENDING;
  pl_list_push(&p->conns, &c->of_peer);
  pl_peer_choose(p);
  pl_dialers_rest(p);
  pl_peer_settle(p, PL_OK, "");
}

void pl_conn_went_on(pl_conn *c) {
  pl_peer_choose(c->peer);
  pl_conn_finish(c);
}

// Links that are given up.

// `c` was in use, and is not any more.
static void replace(pl_peer *p, pl_conn *c) {
  pl_peer_choose(p);
  if (p->active == NULL) p->peers->ops->on_unkept(p, c->session, p->peers->user);
  pl_peer_unsettle(p);
}

void pl_conn_given_up(pl_conn *c, bool unkept) {
  pl_peer *p = c->peer;
  bool in_use = p->active == c;
  if (unkept) {
    c->unkept = true;
  } else {
    c->other_said = true;
  }
  c->stage = PL_CONN_RETIRED;
  if (in_use) {
    replace(p, c);
    if (p->active == NULL) pl_dialers_resume(p, NULL);
  }
  pl_conn_finish(c);
}

void pl_peer_unkeep(pl_peer *p) {
  pl_peer_hold(p);
  pl_dialers_end(p);
  pl_conn *was = p->active;
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn *c = pl_container(n, pl_conn, of_peer);
    if (!c->dialled || !is_usable(c) || p->peers->stopping) continue;
    c->unkept = true;
    c->stage = PL_CONN_RETIRED;
    say_retire(c, true);
  }
  if (was != NULL && was->unkept) replace(p, was);
  for (pl_list *n = p->conns.next; n != &p->conns; n = n->next) {
    pl_conn_finish(pl_container(n, pl_conn, of_peer));
  }
  pl_peer_drop(p);
}
