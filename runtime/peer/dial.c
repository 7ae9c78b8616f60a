#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "peer/peers.h"

enum {
  BACKOFF_US = 50 * 1000,  // after the first failure, and after a loss; doubles with every failure
  BACKOFF_DOUBLINGS = 20,
};

// A quarter more or less, so that those who lost the same node do not come back together.
static uint64_t backoff_us(pl_dialer *d) {
  uint64_t most_us = d->peers->config.reconnect_max_us;
  unsigned n = d->failures < BACKOFF_DOUBLINGS ? d->failures : BACKOFF_DOUBLINGS;
  uint64_t base_us = (uint64_t)BACKOFF_US << n;
  if (base_us > most_us / 5 * 4) base_us = most_us / 5 * 4;
  return base_us / 4 * 3 + pl_random_below(&d->peers->loop->random, base_us / 2 + 1);
}

static void detach(pl_dialer *d) {
  pl_peer *p = d->peer;
  if (p == NULL) return;
  d->peer = NULL;
  pl_list_remove(&d->of_peer);
  pl_peer_unsettle(p);
  pl_peer_drop(p);
}

void pl_dialer_attach(pl_dialer *d, pl_peer *p) {
  if (d->peer == p) return;
  detach(d);
  d->peer = pl_peer_hold(p);
  pl_list_push(&p->dialers, &d->of_peer);
}

static pl_err attempt(pl_dialer *d) {
  pl_timer_stop(&d->timer);
  d->peers->loop->metrics.dials++;
  pl_err err = pl_conn_dial(&d->attempt, d);
  if (err == PL_OK) d->state = PL_DIALER_TRYING;
  return err;
}

static void on_wait_over(pl_timer *t);

static void wait(pl_dialer *d, uint64_t least_us) {
  uint64_t us = backoff_us(d);
  if (us < least_us) us = least_us + pl_random_below(&d->peers->loop->random, least_us / 4 + 1);
  d->failures++;
  d->state = PL_DIALER_WAITING;
  pl_timer_start(&d->peers->loop->clock, &d->timer, us, on_wait_over);
}

static void on_wait_over(pl_timer *t) {
  pl_dialer *d = pl_container(t, pl_dialer, timer);
  if (attempt(d) != PL_OK) {
    d->peers->loop->metrics.dials_failed++;
    wait(d, 0);
  }
}

static void rest(pl_dialer *d) {
  pl_timer_stop(&d->timer);
  d->renewed = false;
  d->failures = 0;
  d->state = PL_DIALER_RESTING;
}

// No more attempts, and none under way.
static void end(pl_dialer *d) {
  pl_timer_stop(&d->timer);
  pl_conn *c = d->attempt;
  d->attempt = NULL;
  if (c != NULL) c->dialer = NULL;
  if (c != NULL && c->stage == PL_CONN_GREETING) {
    pl_session_close(c->session, PL_OK, "not wanted any more", true);
  }
  d->state = PL_DIALER_ENDED;
  detach(d);
}

static void free_dialer(pl_dialer *d) {
  assert(pl_list_empty(&d->dials));
  end(d);
  pl_work_cancel(&d->rested);
  pl_list_remove(&d->node);
  pl_free(d);
}

// Tells those who wait how their first attempt went. The last thing to do with `d`, which goes
// when nobody keeps it; the callbacks may stop any dial.
static void tell(pl_dialer *d, pl_err err, const char *detail, pl_peer *p) {
  pl_list due;
  pl_list_init(&due);
  for (pl_list *n = d->dials.next, *next; n != &d->dials; n = next) {
    next = n->next;
    pl_dial *dial = pl_container(n, pl_dial, node);
    if (dial->told) continue;
    pl_list_push(&due, &dial->due);
    if (dial->keep) continue;
    pl_list_remove(&dial->node);
    dial->dialer = NULL;
  }
  if (p != NULL) pl_peer_hold(p);
  if (pl_list_empty(&d->dials)) free_dialer(d);
  for (pl_list *n; (n = pl_list_pop(&due)) != NULL;) {
    pl_dial *dial = pl_container(n, pl_dial, due);
    bool keep = dial->keep;
    dial->told = true;
    if (dial->done != NULL) dial->done(dial, err, detail, p, dial->user);
    if (!keep) pl_free(dial);
  }
  if (p != NULL) pl_peer_drop(p);
}

void pl_dials_tell_cancelled(pl_peers *ps) {
  for (pl_list *n; (n = pl_list_pop(&ps->cancelled)) != NULL;) {
    pl_dial *dial = pl_container(n, pl_dial, due);
    bool ended = dial->dialer == NULL;
    dial->told = true;
    if (dial->done != NULL) dial->done(dial, PL_CANCELLED, "", NULL, dial->user);
    if (ended) pl_free(dial);
  }
}

static void tell_cancelled_later(pl_dial *dial) {
  pl_list_remove(&dial->due);
  pl_list_push(&dial->peers->cancelled, &dial->due);
  pl_peers_wake(dial->peers);
}

// What happens to an attempt.

void pl_dialer_up(pl_dialer *d, pl_peer *p) {
  d->attempt = NULL;
  pl_dialer_attach(d, p);
  rest(d);
  tell(d, PL_OK, "", p);
}

// What goes wrong in another way than the last time is news.
static void log_failed(const pl_dialer *d, pl_err why, const char *detail) {
  bool news = d->failures == 0 || d->why != why;
  pl_log_level level = why == PL_UNAUTHORIZED ? PL_LOG_WARN : PL_LOG_INFO;
  if (!news) level = PL_LOG_DEBUG;
  pl_log_at(d->peers->loop->log, level, "dial failed", pl_f_text("address", d->text),
            pl_f_text("why", pl_err_name(why)), pl_f_text("detail", detail),
            pl_f_int("failures", (int64_t)d->failures + 1));
}

// Keys do not change by themselves: longer than after other failures.
static uint64_t refused_us(const pl_dialer *d) {
  uint64_t ms = PL_REFUSED_MIN_MS;
  for (unsigned n = d->failures; n > 0 && ms < PL_REFUSED_MAX_MS; n--)
    ms *= 2;
  return (ms < PL_REFUSED_MAX_MS ? ms : PL_REFUSED_MAX_MS) * 1000;
}

void pl_peers_retry_refused(pl_peers *ps) {
  for (pl_list *n = ps->dialers.next; n != &ps->dialers; n = n->next) {
    pl_dialer *d = pl_container(n, pl_dialer, node);
    bool refused = d->state == PL_DIALER_WAITING && d->why == PL_UNAUTHORIZED;
    if (refused) pl_timer_start(&ps->loop->clock, &d->timer, 0, on_wait_over);
  }
}

// The other end knew an earlier start of this node as a later one, which is put right: once.
static bool is_worth_another(const pl_dialer *d, const pl_msg_goodbye *goodbye) {
  if (d->renewed || goodbye == NULL || goodbye->epoch == 0) return false;
  return goodbye->epoch < d->peers->config.identity->epoch;
}

void pl_dialer_failed(pl_dialer *d, pl_err why, const char *detail, const pl_msg_goodbye *goodbye) {
  if (why == PL_OK) why = PL_CONNECT_FAILED;  // refused without an error
  d->attempt = NULL;
  d->peers->loop->metrics.dials_failed++;
  log_failed(d, why, detail);
  const pl_peers *ps = d->peers;
  if (ps->ops->on_dial_failed != NULL) ps->ops->on_dial_failed(d->text, why, ps->user);
  d->why = why;
  if (d->peer->active != NULL) {  // another link was faster
    pl_peer *p = d->peer;
    rest(d);
    tell(d, PL_OK, "", p);
    return;
  }
  if (is_worth_another(d, goodbye)) {
    d->renewed = true;
    d->state = PL_DIALER_WAITING;
    pl_timer_start(&d->peers->loop->clock, &d->timer, 0, on_wait_over);
    return;
  }
  if (why == PL_SELF || (goodbye != NULL && !goodbye->allow_reconnect)) {
    end(d);
  } else if (why == PL_UNAUTHORIZED) {
    wait(d, refused_us(d));
  } else {
    wait(d, goodbye != NULL ? goodbye->retry_after_ms * 1000 : 0);
  }
  tell(d, why, detail, NULL);
}

// What happens to their peer.

void pl_dialers_rest(pl_peer *p) {
  for (pl_list *n = p->dialers.next; n != &p->dialers; n = n->next) {
    pl_dialer *d = pl_container(n, pl_dialer, of_peer);
    if (d->state == PL_DIALER_WAITING) rest(d);
  }
}

void pl_dialers_resume(pl_peer *p, const pl_msg_goodbye *goodbye) {
  if (goodbye != NULL && !goodbye->allow_reconnect) {
    pl_dialers_end(p);
    return;
  }
  for (pl_list *n = p->dialers.next; n != &p->dialers; n = n->next) {
    pl_dialer *d = pl_container(n, pl_dialer, of_peer);
    if (d->state == PL_DIALER_RESTING) {
      wait(d, goodbye != NULL ? goodbye->retry_after_ms * 1000 : 0);
    }
  }
}

static void cancel_dials(pl_dialer *d) {
  for (pl_list *n = d->dials.next, *next; n != &d->dials; n = next) {
    next = n->next;
    pl_dial *dial = pl_container(n, pl_dial, node);
    if (dial->told) continue;
    tell_cancelled_later(dial);
    if (dial->keep) continue;
    pl_list_remove(&dial->node);
    dial->dialer = NULL;
  }
}

void pl_dialers_end(pl_peer *p) {
  while (!pl_list_empty(&p->dialers)) {
    pl_dialer *d = pl_container(p->dialers.next, pl_dialer, of_peer);
    cancel_dials(d);
    if (pl_list_empty(&d->dials)) {
      free_dialer(d);
    } else {
      end(d);
    }
  }
}

// Dials.

static pl_dialer *find_dialer(pl_peers *ps, const char *text) {
  for (pl_list *n = ps->dialers.next; n != &ps->dialers; n = n->next) {
    pl_dialer *d = pl_container(n, pl_dialer, node);
    if (strcmp(d->text, text) == 0) return d;
  }
  return NULL;
}

static pl_dialer *new_dialer(pl_peers *ps, const pl_url *url) {
  pl_dialer *d = pl_new(pl_dialer);
  d->peers = ps;
  d->state = PL_DIALER_ENDED;
  d->url = *url;
  pl_url_format(url, d->text);
  pl_list_init(&d->dials);
  pl_list_init(&d->of_peer);
  pl_list_push(&ps->dialers, &d->node);
  return d;
}

static void on_rested(pl_work *w) {
  pl_dialer *d = pl_container(w, pl_dialer, rested);
  // If the peer was lost just now, the next attempt tells.
  if (d->state == PL_DIALER_RESTING && d->peer->active != NULL) tell(d, PL_OK, "", d->peer);
}

// Sees to it that a dial of `d` will be told something.
static pl_err start(pl_dialer *d) {
  pl_err err = PL_OK;
  switch (d->state) {
    case PL_DIALER_TRYING: break;
    case PL_DIALER_RESTING: pl_loop_defer(d->peers->loop, &d->rested, on_rested); break;
    case PL_DIALER_WAITING:
      err = attempt(d);
      if (err != PL_OK) wait(d, 0);
      break;
    case PL_DIALER_ENDED:
      err = attempt(d);
      if (err == PL_OK) pl_dialer_attach(d, pl_peer_new(d->peers));
      break;
  }
  return err;
}

static pl_err refuse(char *detail, pl_err err, const char *why) {
  snprintf(detail, PL_URL_MAX, "%s", why);
  return err;
}

pl_err pl_peers_dial(pl_dial **out, pl_peers *ps, const char *url, bool keep, pl_dial_fn *done,
                     void *user, char *detail) {
  if (ps->stopping) return refuse(detail, PL_DRAINING, "the node is stopping");
  pl_url parsed;
  const char *why = "";
  pl_err err = pl_url_parse(&parsed, url, &why);
  if (err == PL_OK) err = pl_url_check_dial(&parsed, &why);
  if (err != PL_OK) return refuse(detail, err, why);

  char text[PL_URL_MAX];
  pl_url_format(&parsed, text);
  pl_dialer *d = find_dialer(ps, text);
  if (d == NULL) d = new_dialer(ps, &parsed);
  if (parsed.cost_us > 0) d->url.cost_us = parsed.cost_us;
  err = start(d);
  if (err != PL_OK) {
    if (pl_list_empty(&d->dials)) free_dialer(d);
    return refuse(detail, err, pl_err_text(err));
  }
  pl_dial *dial = pl_new(pl_dial);
  *dial = (pl_dial){.peers = ps, .dialer = d, .keep = keep, .done = done, .user = user};
  pl_list_init(&dial->due);
  pl_list_push(&d->dials, &dial->node);
  *out = dial;
  return PL_OK;
}

const char *pl_dial_address(const pl_dial *dial) {
  return dial->dialer->text;
}

pl_err pl_dial_wake(pl_dial *dial) {
  return dial->dialer->state == PL_DIALER_ENDED ? start(dial->dialer) : PL_OK;
}

void pl_dial_stop(pl_dial *dial) {
  if (dial->told && !dial->keep) return;  // is ending by itself
  pl_dialer *d = dial->dialer;
  dial->dialer = NULL;
  pl_list_remove(&dial->node);
  if (dial->told) {
    pl_free(dial);
  } else {
    tell_cancelled_later(dial);
  }
  if (d != NULL && pl_list_empty(&d->dials)) free_dialer(d);
}

void pl_dial_unkeep(pl_dial *dial) {
  pl_peer *p = dial->dialer != NULL ? dial->dialer->peer : NULL;
  if (p == NULL) {
    pl_dial_stop(dial);
    return;
  }
  pl_peer_hold(p);
  pl_dial_stop(dial);
  if (pl_list_empty(&p->dialers)) pl_peer_unkeep(p);
  pl_peer_drop(p);
}

void pl_dialers_stop_all(pl_peers *ps) {
  while (!pl_list_empty(&ps->dialers)) {
    pl_dialer *d = pl_container(ps->dialers.next, pl_dialer, node);
    assert(!pl_list_empty(&d->dials));
    pl_dial_stop(pl_container(d->dials.next, pl_dial, node));
  }
}
