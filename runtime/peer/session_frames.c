#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "peer/session_impl.h"
#include "wire/msgpack.h"

enum {
  PING_BODY = 8,       // of our pings: a token
  PING_BODY_MAX = 64,  // of others, which is sent back
  PORTION = 24,        // frames of a read before what they have set going
};

// Sending.

// Where frames go that nobody will read: a caller may always write what it began.
static uint8_t *nowhere(void) {
  static _Thread_local uint8_t room[PL_FRAGMENT_MAX];
  return room;
}

void pl_session_put(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                    pl_bytes head, pl_bytes body) {
  assert(head.len + body.len <= PL_FRAGMENT_MAX);
  size_t copied = head.len;
  if (body.len <= PL_COPY_MAX || body.owner == NULL) copied += body.len;
  uint8_t *to = pl_link_reserve(s->link, PL_FRAME_HEADER + copied);
  pl_frame_put_header(to, type, flags, aux, label, head.len + body.len);
  to += PL_FRAME_HEADER;
  if (head.len > 0) memcpy(to, head.data, head.len);
  if (copied > head.len) memcpy(to + head.len, body.data, body.len);
  pl_link_commit(s->link, PL_FRAME_HEADER + copied);
  if (copied < head.len + body.len) pl_link_append(s->link, body);
  s->sent++;
  s->loop->metrics.frames_written++;
}

void pl_session_put_once(pl_session *s, uint8_t type, pl_bytes body) {
  uint8_t *to = pl_link_reserve(s->link, PL_FRAME_HEADER + body.len);
  pl_frame_put_header(to, type, 0, 0, 0, body.len);
  if (body.len > 0) memcpy(to + PL_FRAME_HEADER, body.data, body.len);
  pl_link_commit_once(s->link, PL_FRAME_HEADER + body.len);
  s->sent++;
  s->loop->metrics.frames_written++;
}

void pl_session_send(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                     pl_bytes body) {
  if (pl_session_is_open(s)) pl_session_put(s, type, flags, aux, label, (pl_bytes){0}, body);
}

void pl_session_send_parts(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                           pl_bytes head, pl_bytes body) {
  if (pl_session_is_open(s)) pl_session_put(s, type, flags, aux, label, head, body);
}

uint8_t *pl_session_begin(pl_session *s, size_t max) {
  assert(max <= PL_FRAGMENT_MAX);
  if (!pl_session_is_open(s)) return nowhere();
  return pl_link_reserve(s->link, PL_FRAME_HEADER + max) + PL_FRAME_HEADER;
}

void pl_session_finish(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                       uint8_t *body, size_t len) {
  if (!pl_session_is_open(s)) return;
  pl_frame_put_header(body - PL_FRAME_HEADER, type, flags, aux, label, len);
  pl_link_commit(s->link, PL_FRAME_HEADER + len);
  s->sent++;
  s->loop->metrics.frames_written++;
}

// Heartbeat.

static void put_ping(uint64_t token, void *user) {
  uint8_t body[PING_BODY];
  pl_put_be64(body, token);
  pl_session_put_once(user, PL_FRAME_PING, pl_bytes_of(body, sizeof body));
}

pl_err pl_session_ping(pl_session *s, uint64_t timeout_us, pl_pong_fn *done, void *user) {
  if (!pl_session_is_open(s)) return PL_CLOSED;
  uint64_t token;
  pl_err err = pl_pings_add(&s->pings, timeout_us, done, user, &token);
  if (err != PL_OK) return err;
  if (s->state == PL_SESSION_UP) put_ping(token, s);  // else with the next link
  return PL_OK;
}

static void on_tick(pl_timer *t);

static void plan_tick(pl_session *s) {
  uint64_t now_us = pl_now_us(s->loop);
  uint64_t due_us = s->heartbeat.due_us;
  pl_timer_start(&s->loop->clock, &s->timer, due_us > now_us ? due_us - now_us : 0, on_tick);
}

void pl_session_lose(pl_session *s, const char *detail) {
  if (s->state == PL_SESSION_UP) pl_link_lose(s->link, PL_PEER_LOST, detail);
}

static void lose(pl_session *s) {
  char detail[64];
  snprintf(detail, sizeof detail, "no sign of life for %.1f s",
           (double)s->heartbeat.patience_us / 1e6);
  pl_session_lose(s, detail);
}

static void on_tick(pl_timer *t) {
  pl_session *s = pl_container(t, pl_session, timer);
  switch (pl_heartbeat_tick(&s->heartbeat, pl_now_us(s->loop))) {
    case PL_HEARTBEAT_LOST: lose(s); return;
    case PL_HEARTBEAT_MISSED:
      s->loop->metrics.heartbeats_missed++;
      pl_session_ping(s, PL_NEVER, NULL, NULL);
      break;
    case PL_HEARTBEAT_PING: pl_session_ping(s, PL_NEVER, NULL, NULL); break;
    case PL_HEARTBEAT_WAIT: break;
  }
  if (s->state == PL_SESSION_UP) plan_tick(s);
}

void pl_session_start_heartbeat(pl_session *s) {
  const pl_identity *self = s->self;
  uint64_t rtt_us = s->heartbeat.rtt_us;
  pl_heartbeat_start(&s->heartbeat, self->heartbeat_us, self->heartbeat_misses, pl_now_us(s->loop));
  s->heartbeat.rtt_us = rtt_us;
  plan_tick(s);
  pl_pings_again(&s->pings, put_ping, s);
  pl_session_ping(s, PL_NEVER, NULL, NULL);
}

static void on_pong(pl_session *s, const pl_frame *f) {
  if (f->body.len != PING_BODY) return;
  uint64_t rtt_us = pl_pings_answer(&s->pings, pl_get_be64(f->body.data));
  if (rtt_us > 0) pl_heartbeat_measured(&s->heartbeat, rtt_us);
}

// Frames.

static pl_err on_link_frame(pl_session *s, const pl_frame *f) {
  pl_msg_goodbye goodbye;
  switch (f->type) {
    case PL_FRAME_HELLO:
    case PL_FRAME_PROOF:
    case PL_FRAME_READY:
    case PL_FRAME_RESUME: return PL_PROTOCOL;
    case PL_FRAME_PING:
      if (f->body.len > PING_BODY_MAX) return PL_PROTOCOL;
      pl_session_put_once(s, PL_FRAME_PONG, f->body);
      return PL_OK;
    case PL_FRAME_PONG: on_pong(s, f); return PL_OK;
    case PL_FRAME_ACK: return pl_session_acknowledged(s, f);
    case PL_FRAME_GOODBYE:
      if (pl_msg_goodbye_decode(&goodbye, f->body) != PL_OK) return PL_PROTOCOL;
      pl_session_left(s, &goodbye);
      return PL_OK;
    default: return s->ops->on_frame(s, f, s->user);
  }
}

static void frame_failed(pl_session *s, pl_err err) {
  pl_session_break(s, err, err == PL_TOO_LARGE ? "frame over the limit" : pl_err_text(err));
}

// The rest is of use on one link only.
static bool is_counted(uint8_t type) {
  return type != PL_FRAME_PING && type != PL_FRAME_PONG && type != PL_FRAME_ACK;
}

// What a few frames have begun is worked off before the next ones are looked at: so it is still in
// the caches, and its memory serves those that follow.
static bool is_time_for_work(const pl_session *s, uint64_t count) {
  return count >= PORTION && pl_loop_has_work(s->loop);
}

size_t pl_session_read(pl_session *s, pl_bytes in) {
  size_t at = 0;
  uint64_t count = 0;
  while (s->state == PL_SESSION_UP) {
    if (is_time_for_work(s, count) && at < in.len) {
      pl_link_pause(s->link);
      break;
    }
    pl_frame f;
    pl_bytes rest = {.data = in.data + at, .len = in.len - at, .owner = in.owner};
    ptrdiff_t took = pl_frame_decode(&f, rest, PL_FRAGMENT_MAX);
    if (took <= 0) {
      if (took < 0) frame_failed(s, (pl_err)took);
      break;
    }
    at += (size_t)took;
    count++;
    pl_err err = PL_OK;
    if (pl_frame_is_circuit(f.type)) {
      s->received += (size_t)took;
      err = s->take != NULL ? s->take(s->data, &f) : s->ops->on_frame(s, &f, s->user);
    } else if (f.type <= PL_FRAME_LINK_LAST) {
      if (is_counted(f.type)) s->received += (size_t)took;
      err = on_link_frame(s, &f);
    } else {
      s->received += (size_t)took;
      s->loop->metrics.frames_unknown++;
    }
    if (err != PL_OK) frame_failed(s, err);
  }
  s->loop->metrics.frames_read += count;
  if (s->counted && s->received != s->told) pl_session_acknowledge(s);
  return at;
}
