#include "peer/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "peer/session_impl.h"

enum {
  BUSY_RETRY_MS = 1000,  // what a refused newcomer is told to wait
  RETRY_AFTER_MAX_MS = 3600 * 1000,
};

static const char *const state_names[] = {
    [PL_SESSION_CONNECTING] = "connecting",
    [PL_SESSION_GREETING] = "greeting",
    [PL_SESSION_UP] = "up",
    [PL_SESSION_SUSPENDED] = "suspended",
    [PL_SESSION_CLOSING] = "closing",
};

#define TO(state) (1u << (state))
static const unsigned legal[] = {
    [PL_SESSION_CONNECTING] = TO(PL_SESSION_GREETING) | TO(PL_SESSION_CLOSING),
    [PL_SESSION_GREETING] = TO(PL_SESSION_UP) | TO(PL_SESSION_CLOSING),
    [PL_SESSION_UP] = TO(PL_SESSION_SUSPENDED) | TO(PL_SESSION_CLOSING),
    [PL_SESSION_SUSPENDED] = TO(PL_SESSION_UP) | TO(PL_SESSION_CLOSING),
    [PL_SESSION_CLOSING] = 0,
};

void pl_session_enter(pl_session *s, pl_session_state next) {
  assert(legal[s->state] & TO(next));
  pl_log_debug(s->loop->log, "session", pl_f_text("remote", pl_link_remote(s->link)),
               pl_f_bool("dialler", s->dialler), pl_f_text("was", state_names[s->state]),
               pl_f_text("state", state_names[next]));
  s->state = next;
}

// What the handshake wrote.
static void send_greeting(pl_session *s, pl_buf *out) {
  pl_link_append(s->link, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
  pl_buf_fini(out);
}

// Ending.

void pl_session_leave(pl_session *s, pl_err why, const char *detail) {
  s->why = why;
  snprintf(s->detail, sizeof s->detail, "%s", detail);
  if (s->hello.state != PL_HELLO_READY) pl_hello_fail(&s->hello);
  pl_timer_stop(&s->timer);
  pl_timer_stop(&s->ack_timer);
  pl_session_enter(s, PL_SESSION_CLOSING);
}

void pl_session_abort(pl_session *s, pl_err why, const char *detail) {
  if (s->link == NULL) return;
  if (s->state != PL_SESSION_CLOSING) pl_session_leave(s, why, detail);
  pl_link_abort(s->link, why, detail);
  pl_session_cease(s);
}

static uint64_t retry_after_ms(pl_err code) {
  if (code == PL_UNAUTHORIZED) return PL_REFUSED_MIN_MS;
  return code == PL_BUSY ? BUSY_RETRY_MS : 0;
}

static void put_goodbye(pl_session *s, pl_err code, const char *reason, bool allow_reconnect) {
  size_t len = strlen(reason);
  const pl_msg_goodbye m = {
      .code = code,
      .reason = pl_bytes_of(reason, len < PL_NAME_MAX ? len : PL_NAME_MAX),
      .allow_reconnect = allow_reconnect,
      .retry_after_ms = retry_after_ms(code),
      .epoch = s->hint_epoch,
  };
  pl_buf body = {0};
  if (pl_msg_goodbye_encode(&body, &m) == PL_OK) {
    pl_session_put(s, PL_FRAME_GOODBYE, 0, 0, 0, (pl_bytes){0},
                   pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)));
  }
  pl_buf_fini(&body);
}

void pl_session_close(pl_session *s, pl_err code, const char *reason, bool allow_reconnect) {
  if (s->state == PL_SESSION_CLOSING) return;
  if (s->state == PL_SESSION_SUSPENDED) {  // nobody hears a goodbye
    pl_session_abort(s, code, reason);
    return;
  }
  if (s->hello.understood) put_goodbye(s, code, reason, allow_reconnect);
  pl_session_leave(s, code, reason);
  pl_link_close(s->link);
}

// The other end proved nothing, or the wrong thing; each end is told what it can do.
static void refuse(pl_session *s) {
  const pl_hello *h = &s->hello;
  put_goodbye(s, PL_UNAUTHORIZED, h->reason, true);
  pl_session_leave(s, PL_UNAUTHORIZED, h->detail);
  pl_link_close(s->link);
}

void pl_session_break(pl_session *s, pl_err why, const char *detail) {
  if (why == PL_PROTOCOL || why == PL_TOO_LARGE) s->loop->metrics.protocol_errors++;
  pl_session_close(s, why, detail, true);
}

void pl_session_left(pl_session *s, const pl_msg_goodbye *m) {
  char reason[PL_SESSION_DETAIL];
  snprintf(reason, sizeof reason, "%.*s", (int)m->reason.len, (const char *)m->reason.data);
  // An error of a later version is still one; a positive number is none.
  pl_err code = m->code <= 0 && m->code >= INT32_MIN ? (pl_err)m->code : PL_PROTOCOL;
  pl_session_leave(s, code, reason);
  s->has_left = true;
  s->goodbye = *m;
  s->goodbye.code = code;
  s->goodbye.reason = pl_bytes_of(s->detail, strlen(s->detail));
  if (m->retry_after_ms > RETRY_AFTER_MAX_MS) s->goodbye.retry_after_ms = RETRY_AFTER_MAX_MS;
  pl_link_close(s->link);
}

// The link ended without a word.
static void leave_unannounced(pl_session *s, pl_err why, const char *detail) {
  switch (s->state) {
    case PL_SESSION_CONNECTING:
      pl_session_leave(s, why == PL_OK ? PL_CONNECT_FAILED : why, detail);
      return;
    case PL_SESSION_GREETING:
      pl_session_leave(s, PL_CONNECT_FAILED, why == PL_OK ? "closed in the handshake" : detail);
      return;
    case PL_SESSION_UP:
    case PL_SESSION_SUSPENDED:
      pl_session_leave(s, PL_PEER_LOST, why == PL_OK ? "closed without a goodbye" : detail);
      return;
    case PL_SESSION_CLOSING: return;
  }
}

void pl_session_end(pl_session *s) {
  assert(s->link == NULL && s->attempt == NULL);
  bool greeted = s->hello.self != NULL;
  if (greeted && s->hello.state != PL_HELLO_READY) s->loop->metrics.handshakes_failed++;
  if (s->why == PL_UNAUTHORIZED) s->loop->metrics.handshakes_unauthorized++;
  pl_pings_fail(&s->pings, s->why == PL_OK ? PL_CLOSED : s->why);
  s->ops->on_down(s, s->why, s->detail, s->has_left ? &s->goodbye : NULL, s->user);
  pl_session_drop(s);
}

static void on_link_close(pl_link *link, pl_err why, const char *detail, void *user) {
  pl_session *s = user;
  const char *text = why == PL_OK ? "closed without a goodbye" : detail;
  if (s->state == PL_SESSION_UP && pl_session_suspend(s, text)) return;
  leave_unannounced(s, why, detail);
  s->refused = pl_link_was_refused(link);
  s->link = NULL;
  pl_session_cease(s);
  if (s->attempt == NULL) pl_session_end(s);
}

// Handshake.

static void go_up(pl_session *s) {
  pl_session_enter(s, PL_SESSION_UP);
  pl_session_count(s);
  pl_session_start_heartbeat(s);
  s->ops->on_up(s, s->user);
}

void pl_session_defer(pl_session *s) {
  s->deferred = true;
}

void pl_session_hint_epoch(pl_session *s, uint64_t epoch) {
  s->hint_epoch = epoch;
}

void pl_session_renew(pl_session *s, uint64_t epoch) {
  s->peer_epoch = epoch;
}

void pl_session_accept(pl_session *s) {
  if (s->state != PL_SESSION_GREETING) return;
  bool up = false;
  pl_buf out = {0};
  pl_err err = pl_hello_accept(&s->hello, &up, &out);
  send_greeting(s, &out);
  if (err != PL_OK) {
    pl_session_close(s, err, "", true);
  } else if (up) {
    go_up(s);
  }
}

static void decide(pl_session *s, const pl_msg_hello *hello) {
  s->peer_epoch = hello->epoch;
  const char *reason = "";
  pl_err err = s->ops->on_hello(s, hello, &reason, s->user);
  if (s->state != PL_SESSION_GREETING) return;
  if (err != PL_OK) {
    pl_session_close(s, err, reason, true);
  } else if (!s->deferred) {
    pl_session_accept(s);
  }
}

static void on_late(pl_timer *t) {
  pl_session *s = pl_container(t, pl_session, timer);
  bool connecting = s->state == PL_SESSION_CONNECTING;
  uint64_t us = connecting ? s->self->connect_timeout_us : s->self->handshake_timeout_us;
  if (s->patience_us > 0) us = s->patience_us;
  char detail[64];
  snprintf(detail, sizeof detail, "%s within %.1f s", connecting ? "no connection" : "no handshake",
           (double)us / 1e6);
  pl_session_abort(s, PL_TIMEOUT, detail);
}

static void make_random(pl_session *s, pl_id *out) {
  if (s->loop->uv != NULL) {
    pl_id_random(out);
    return;
  }
  for (size_t i = 0; i < sizeof out->bytes; i++) {  // in virtual time a run replays
    out->bytes[i] = (uint8_t)pl_random_below(&s->loop->random, 256);
  }
}

// Its dialler has to be able to come back.
static bool may_be_resumed(const pl_session *s) {
  return s->self->resume_window_us > 0 && (!s->dialler || s->url != NULL) && s->resumes == NULL;
}

static void greet(pl_session *s) {
  uint64_t us = s->patience_us > 0 ? s->patience_us : s->self->handshake_timeout_us;
  pl_timer_start(&s->loop->clock, &s->timer, us, on_late);
  pl_id nonce;
  make_random(s, &nonce);
  pl_buf out = {0};
  const pl_session *old = s->resumes;
  pl_err err =
      pl_hello_start(&s->hello, s->self, s->dialler, &nonce, old != NULL ? &old->resume : NULL,
                     old != NULL ? old->received : 0, &out);
  if (may_be_resumed(s)) make_random(s, &s->hello.secret);
  send_greeting(s, &out);
  if (err != PL_OK) pl_session_abort(s, err, "");
}

static void on_link_open(pl_link *link, void *user) {
  (void)link;
  pl_session *s = user;
  pl_session_enter(s, PL_SESSION_GREETING);
  greet(s);
}

// Returns the bytes used; anything else than UP means that there is nothing left to do now.
static size_t read_greeting(pl_session *s, pl_bytes in) {
  size_t at = 0;
  while (s->state == PL_SESSION_GREETING && at < in.len) {
    pl_buf out = {0};
    pl_bytes rest = {.data = in.data + at, .len = in.len - at, .owner = in.owner};
    pl_hello_event e = pl_hello_feed(&s->hello, rest, &out);
    send_greeting(s, &out);
    at += e.used;
    switch (e.step) {
      case PL_HELLO_STEP_MORE: return at;
      case PL_HELLO_STEP_NEXT: break;
      case PL_HELLO_STEP_ASK: decide(s, &e.msg.hello); break;
      case PL_HELLO_STEP_UP: go_up(s); break;
      case PL_HELLO_STEP_RESUME: pl_session_take_link(s, e.msg.position); break;
      case PL_HELLO_STEP_LEFT: pl_session_left(s, &e.msg.goodbye); break;
      case PL_HELLO_STEP_BROKEN:
        if (e.err == PL_FORBIDDEN) s->loop->metrics.resumes_refused++;
        if (e.err == PL_UNAUTHORIZED) refuse(s);
        if (e.err != PL_UNAUTHORIZED) pl_session_break(s, e.err, s->hello.detail);
        break;
    }
  }
  s->loop->metrics.frames_unknown += s->hello.skipped;
  s->hello.skipped = 0;
  return at;
}

static size_t read_frames(pl_session *s, pl_bytes in, size_t used) {
  pl_bytes rest = {.data = in.data + used, .len = in.len - used, .owner = in.owner};
  used += pl_session_read(s, rest);
  return used;
}

// The session that goes on over the link of `s`, which has ended, if `s` was an attempt at that and
// succeeded; else `s`.
static pl_session *successor(pl_session *s) {
  if (s->link != NULL) return pl_session_hold(s);
  pl_session *old = pl_session_hold(s->resumes);
  pl_session_end(s);
  if (old->state == PL_SESSION_UP) old->ops->on_resumed(old, old->user);
  return old;
}

static size_t on_link_bytes(pl_link *link, pl_bytes in, void *user) {
  (void)link;
  pl_session *s = user;
  size_t used = 0;
  if (s->state == PL_SESSION_UP) {
    pl_heartbeat_heard(&s->heartbeat, pl_now_us(s->loop));
    used = read_frames(s, in, 0);
    return s->state == PL_SESSION_CLOSING ? in.len : used;
  }
  if (s->state == PL_SESSION_GREETING) used = read_greeting(s, in);
  s = successor(s);
  if (s->state == PL_SESSION_UP) used = read_frames(s, in, used);
  bool closing = s->state == PL_SESSION_CLOSING;
  pl_session_drop(s);
  return closing ? in.len : used;
}

static void on_link_drained(pl_link *link, void *user) {
  (void)link;
  pl_session *s = user;
  if (s->state == PL_SESSION_UP) s->ops->on_drained(s, s->user);
}

const pl_link_ops pl_session_link_ops = {
    .on_open = on_link_open,
    .on_bytes = on_link_bytes,
    .on_drained = on_link_drained,
    .on_close = on_link_close,
};

static pl_session *new_session(pl_loop *loop, const pl_identity *self, bool dialler,
                               const pl_session_ops *ops, void *user) {
  pl_session *s = pl_new(pl_session);
  s->loop = loop;
  s->self = self;
  s->dialler = dialler;
  s->ops = ops;
  s->user = user;
  s->refs = 2;  // the caller's and the link's
  pl_pings_init(&s->pings, loop);
  return s;
}

pl_session *pl_session_open(pl_loop *loop, const pl_identity *self, pl_link *link, bool dialler,
                            const pl_session_ops *ops, void *user) {
  pl_session *s = new_session(loop, self, dialler, ops, user);
  s->link = link;
  pl_link_start(link, &pl_session_link_ops, s);
  pl_session_enter(s, PL_SESSION_GREETING);
  greet(s);
  return s;
}

static pl_err dial(pl_session *s, const pl_url *url, uint64_t timeout_us) {
  pl_err err = pl_link_dial(&s->link, s->loop, url, &pl_session_link_ops, s);
  if (err != PL_OK) return err;
  pl_timer_start(&s->loop->clock, &s->timer, timeout_us, on_late);
  return PL_OK;
}

pl_err pl_session_dial(pl_session **out, pl_loop *loop, const pl_identity *self, const pl_url *url,
                       const pl_session_ops *ops, void *user) {
  pl_session *s = new_session(loop, self, true, ops, user);
  pl_err err = dial(s, url, self->connect_timeout_us);
  if (err != PL_OK) {
    pl_free(s);
    return err;
  }
  s->url = pl_new(pl_url);
  *s->url = *url;
  *out = s;
  return PL_OK;
}

pl_err pl_session_redial(pl_session **out, pl_session *s, const pl_session_ops *ops,
                         uint64_t patience_us) {
  pl_session *attempt = new_session(s->loop, s->self, true, ops, s);
  attempt->patience_us = patience_us;
  pl_err err = dial(attempt, s->url, patience_us);
  if (err != PL_OK) {
    pl_free(attempt);
    return err;
  }
  attempt->resumes = pl_session_hold(s);
  *out = attempt;
  return PL_OK;
}

pl_session *pl_session_hold(pl_session *s) {
  assert(s->refs > 0);
  s->refs++;
  return s;
}

void pl_session_drop(pl_session *s) {
  assert(s->refs > 0);
  if (--s->refs > 0) return;
  assert(s->link == NULL);
  if (s->resumes != NULL) pl_session_drop(s->resumes);
  pl_free(s->url);
  pl_free(s);
}

pl_session_state pl_session_status(const pl_session *s) {
  return s->state;
}

bool pl_session_is_open(const pl_session *s) {
  return s->state == PL_SESSION_UP || s->state == PL_SESSION_SUSPENDED;
}

bool pl_session_is_dialler(const pl_session *s) {
  return s->dialler;
}

pl_link *pl_session_link(const pl_session *s) {
  return s->link;
}

const pl_id *pl_session_peer_id(const pl_session *s) {
  return &s->hello.theirs.id;
}

const pl_id *pl_session_nonce(const pl_session *s, bool dialler) {
  return dialler == s->dialler ? &s->hello.ours.nonce : &s->hello.theirs.nonce;
}

pl_bytes pl_session_identity(const pl_session *s) {
  return s->hello.method != NULL ? s->hello.method->identity : (pl_bytes){0};
}

uint64_t pl_session_body_window(const pl_session *s) {
  return s->hello.peer_body_window;
}

uint64_t pl_session_message_max(const pl_session *s) {
  return s->hello.peer_message_max;
}

uint64_t pl_session_sent(const pl_session *s) {
  return s->sent;
}

size_t pl_session_held(const pl_session *s) {
  return s->link != NULL ? pl_link_held(s->link) : 0;
}

size_t pl_session_backlog(const pl_session *s) {
  return s->link != NULL ? pl_link_backlog(s->link) : 0;
}

bool pl_session_is_full(const pl_session *s) {
  return s->state != PL_SESSION_UP || pl_link_is_full(s->link);
}

uint64_t pl_session_heard_us(const pl_session *s) {
  return s->heartbeat.heard_us;
}

uint64_t pl_session_rtt_us(const pl_session *s) {
  return s->heartbeat.rtt_us;
}

void *pl_session_user(const pl_session *s, const pl_session_ops *ops) {
  return s->ops == ops ? s->user : NULL;
}

void pl_session_set_data(pl_session *s, void *data, pl_circuit_fn *take) {
  s->data = data;
  s->take = take;
}

void *pl_session_data(const pl_session *s) {
  return s->data;
}
