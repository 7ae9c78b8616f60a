// What a session does about the loss of its link: it keeps what the other end may have missed,
// waits for another link, or dials it, and goes on there.
//
//   dialler                                     other end
//     attempt: a session of its own              a new session, which its owner finds to be for
//     HELLO (session), RESUME  --------------->  one that it has: pl_session_resume
//                              <---------------  RESUME
//     takes the link of the attempt,             the same; both attempts end
//     sends what is missing over there
#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "peer/session_impl.h"
#include "wire/msgpack.h"

enum {
  ACK_BODY = 8,
  ACK_US = 100 * 1000,        // the latest that something received is acknowledged
  RETRY_US = 5 * 1000,        // after the first attempt that failed; doubles
  RETRY_MAX_US = 100 * 1000,  // up to this
  RETRY_DOUBLINGS = 5,
  TRIES = 3,        // attempts that fit the window, if they get no answer at all
  ROUND_TRIPS = 4,  // that an attempt may take at least
  LOG_ID = 8,       // digits of an id in a log line
};

// Counting.

void pl_session_count(pl_session *s) {
  const pl_hello *h = &s->hello;
  if (pl_id_is_zero(&h->secret) || pl_id_is_zero(&h->peer_secret)) return;
  s->counted = true;
  s->resume = (pl_resume){
      .session = *pl_session_nonce(s, true),
      .dialler_secret = s->dialler ? h->secret : h->peer_secret,
      .other_secret = s->dialler ? h->peer_secret : h->secret,
  };
  pl_link_keep(s->link);
}

static void send_ack(pl_session *s) {
  uint8_t body[ACK_BODY];
  pl_put_be64(body, s->received);
  pl_session_put_once(s, PL_FRAME_ACK, pl_bytes_of(body, sizeof body));
  s->told = s->received;
}

static void on_ack_due(pl_timer *t) {
  pl_session *s = pl_container(t, pl_session, ack_timer);
  if (s->received != s->told) send_ack(s);
}

void pl_session_acknowledge(pl_session *s) {
  if (s->state != PL_SESSION_UP) return;
  if (s->received - s->told >= PL_ACK_BYTES) {
    send_ack(s);
  } else if (!pl_timer_active(&s->ack_timer)) {
    pl_timer_start(&s->loop->clock, &s->ack_timer, ACK_US, on_ack_due);
  }
}

pl_err pl_session_acknowledged(pl_session *s, const pl_frame *f) {
  if (f->body.len < ACK_BODY) return PL_PROTOCOL;
  if (!s->counted) return PL_OK;
  return pl_link_acknowledge(s->link, pl_get_be64(f->body.data)) ? PL_OK : PL_PROTOCOL;
}

// The end of waiting.

static void log_change(const pl_session *s, const char *what, const char *detail) {
  char id[PL_ID_HEX];
  pl_id_format(pl_session_peer_id(s), id);
  pl_log_info(s->loop->log, what, pl_f_bytes("peer", id, LOG_ID),
              pl_f_text("remote", pl_link_remote(s->link)), pl_f_bool("dialled", s->dialler),
              pl_f_text("detail", detail));
}

void pl_session_cease(pl_session *s) {
  pl_timer_stop(&s->retry_timer);
  if (s->attempt != NULL) pl_session_abort(s->attempt, PL_CANCELLED, "");
}

static void give_up(pl_session *s, const char *why) {
  char detail[PL_SESSION_DETAIL];
  snprintf(detail, sizeof detail, "%.150s; %.100s", s->detail, why);
  pl_session_abort(s, PL_PEER_LOST, detail);
}

static void on_window_over(pl_timer *t) {
  pl_session *s = pl_container(t, pl_session, timer);
  char why[64];
  snprintf(why, sizeof why, "not back within %.2f s", (double)s->self->resume_window_us / 1e6);
  give_up(s, why);
}

// Attempts of the dialler.

static pl_err attempt_hello(pl_session *attempt, const pl_msg_hello *hello, const char **reason,
                            void *user) {
  (void)attempt;
  pl_session *s = user;
  bool same = pl_id_equal(&hello->id, pl_session_peer_id(s));
  if (same && hello->epoch == s->peer_epoch) return PL_OK;
  s->hopeless = same ? "the node was started again" : "another node answers";
  *reason = "the session was with another";
  return PL_INVALID;
}

static void attempt_nothing(pl_session *attempt, void *user) {
  (void)attempt, (void)user;
}

static pl_err attempt_frame(pl_session *attempt, const pl_frame *f, void *user) {
  (void)attempt, (void)f, (void)user;
  return PL_PROTOCOL;
}

static void try_now(pl_session *s);

static void on_retry(pl_timer *t) {
  try_now(pl_container(t, pl_session, retry_timer));
}

static void try_again_later(pl_session *s) {
  unsigned n = s->attempts < RETRY_DOUBLINGS ? s->attempts : RETRY_DOUBLINGS;
  uint64_t us = (uint64_t)RETRY_US << n;
  s->attempts++;
  pl_timer_start(&s->loop->clock, &s->retry_timer, us < RETRY_MAX_US ? us : RETRY_MAX_US, on_retry);
}

// A link that breaks is worth another; nobody there, or a refusal, is the end.
static bool worth_another(pl_err why) {
  return why == PL_CONNECT_FAILED || why == PL_TIMEOUT || why == PL_PEER_LOST;
}

static void attempt_failed(pl_session *s, const pl_session *attempt, pl_err why, const char *detail,
                           const pl_msg_goodbye *goodbye) {
  if (goodbye != NULL) s->loop->metrics.resumes_refused++;
  if (s->hopeless != NULL) {
    give_up(s, s->hopeless);
  } else if (goodbye != NULL || attempt->refused || !worth_another(why)) {
    give_up(s, detail);
  } else {
    try_again_later(s);
  }
}

static void attempt_down(pl_session *attempt, pl_err why, const char *detail,
                         const pl_msg_goodbye *goodbye, void *user) {
  pl_session *s = user;
  s->attempt = NULL;
  if (s->state == PL_SESSION_SUSPENDED) attempt_failed(s, attempt, why, detail, goodbye);
  pl_session_drop(attempt);
  if (s->link == NULL) pl_session_end(s);
}

static const pl_session_ops attempt_ops = {
    .on_hello = attempt_hello,
    .on_up = attempt_nothing,
    .on_frame = attempt_frame,
    .on_drained = attempt_nothing,
    .on_resumed = attempt_nothing,
    .on_down = attempt_down,
};

static void try_now(pl_session *s) {
  uint64_t patience_us = s->self->resume_window_us / TRIES;
  uint64_t needed_us = ROUND_TRIPS * s->heartbeat.rtt_us;
  if (patience_us < needed_us) patience_us = needed_us;
  pl_err err = pl_session_redial(&s->attempt, s, &attempt_ops, patience_us);
  if (err != PL_OK) give_up(s, pl_err_text(err));
}

// Suspended, and not any more.

static uint64_t progress(const pl_session *s) {
  return s->received + pl_link_acknowledged(s->link);
}

// Links that break one after the other before anything gets through, or could have been
// acknowledged, are still the same loss.
static bool is_another_loss(const pl_session *s) {
  bool lasted = pl_now_us(s->loop) - s->went_on_us >= (uint64_t)2 * ACK_US;
  return s->went_on_us == 0 || lasted || progress(s) != s->went_on_at;
}

static bool suspend(pl_session *s, const char *detail, bool another) {
  if (!s->counted) return false;
  uint64_t now_us = pl_now_us(s->loop);
  if (another) s->suspended_us = now_us;
  uint64_t end_us = s->suspended_us + s->self->resume_window_us;
  if (end_us <= now_us) return false;
  pl_link *parked = pl_link_park(s->link);
  if (parked == NULL) return false;
  s->link = parked;
  pl_link_start(parked, &pl_session_link_ops, s);
  snprintf(s->detail, sizeof s->detail, "%s", detail);
  pl_timer_stop(&s->ack_timer);
  pl_timer_start(&s->loop->clock, &s->timer, end_us - now_us, on_window_over);
  pl_session_enter(s, PL_SESSION_SUSPENDED);
  s->loop->metrics.links_broken++;
  log_change(s, "link broken", detail);
  if (another) s->attempts = 0;
  if (s->dialler && another) try_now(s);
  if (s->dialler && !another) try_again_later(s);
  return true;
}

bool pl_session_suspend(pl_session *s, const char *detail) {
  if (!suspend(s, detail, is_another_loss(s))) return false;
  if (s->ops->on_suspended != NULL) s->ops->on_suspended(s, s->user);
  return true;
}

bool pl_session_resume(pl_session *s, pl_session *old, const pl_msg_hello *hello) {
  if (old->dialler || !old->counted || !pl_session_is_open(old)) return false;
  if (!pl_id_equal(&hello->resume, &old->resume.session)) return false;
  if (!pl_id_equal(&hello->id, pl_session_peer_id(old)) || hello->epoch != old->peer_epoch) {
    return false;
  }
  assert(s->resumes == NULL && s->state == PL_SESSION_GREETING);
  s->resumes = pl_session_hold(old);
  s->hello.resume = &old->resume;
  return true;
}

// Of the end that was dialled: tells what was received, as the last of the handshake.
static bool answer(pl_session *attempt, const pl_session *s) {
  if (attempt->dialler) return true;
  pl_buf out = {0};
  pl_err err = pl_hello_resume(&attempt->hello, s->received, &out);
  if (err == PL_OK) pl_link_append(attempt->link, pl_bytes_of(pl_buf_data(&out), pl_buf_len(&out)));
  pl_buf_fini(&out);
  return err == PL_OK;
}

static void refuse(pl_session *attempt, pl_err why, const char *reason) {
  attempt->loop->metrics.resumes_refused++;
  pl_session_close(attempt, why, reason, true);
}

static void go_on(pl_session *s) {
  pl_timer_stop(&s->retry_timer);
  pl_session_enter(s, PL_SESSION_UP);
  s->loop->metrics.links_resumed++;
  uint64_t now_us = pl_now_us(s->loop);
  char detail[64];
  snprintf(detail, sizeof detail, "after %.3f s", (double)(now_us - s->suspended_us) / 1e6);
  log_change(s, "link resumed", detail);
  s->told = s->received;
  if (progress(s) != s->went_on_at) {  // something got through on the link before
    s->suspended_us = now_us;
    s->attempts = 0;
  }
  s->went_on_us = now_us;
  s->went_on_at = progress(s);
  pl_session_start_heartbeat(s);
}

void pl_session_take_link(pl_session *attempt, uint64_t position) {
  pl_session *s = attempt->resumes;
  if (s->state == PL_SESSION_UP) suspend(s, "replaced by a new link", true);
  if (s->state != PL_SESSION_SUSPENDED) {
    refuse(attempt, PL_CLOSED, "the session has ended");
    return;
  }
  if (!pl_link_covers(s->link, position)) {
    refuse(attempt, PL_PROTOCOL, "a position that cannot be");
    return;
  }
  pl_link *link = attempt->link;
  if (!answer(attempt, s) || !pl_link_resume(link, s->link, position)) {
    pl_session_abort(attempt, PL_NO_MEMORY, "no memory to go on with a session");
    give_up(s, "no memory to go on");
    return;
  }
  pl_session_leave(attempt, PL_OK, "resumed");
  attempt->link = NULL;
  s->link = link;
  pl_link_start(link, &pl_session_link_ops, s);
  go_on(s);
}
