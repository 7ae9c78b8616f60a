#include "peer/hello.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TO(state) (1u << (state))
static const unsigned legal[] = {
    [PL_HELLO_IDLE] = TO(PL_HELLO_PREAMBLE) | TO(PL_HELLO_FAILED),
    [PL_HELLO_PREAMBLE] = TO(PL_HELLO_GREETING) | TO(PL_HELLO_FAILED),
    [PL_HELLO_GREETING] = TO(PL_HELLO_DECIDING) | TO(PL_HELLO_FAILED),
    [PL_HELLO_DECIDING] = TO(PL_HELLO_ACCEPTED) | TO(PL_HELLO_EXPECTED) | TO(PL_HELLO_FAILED),
    [PL_HELLO_EXPECTED] = TO(PL_HELLO_READY) | TO(PL_HELLO_FAILED),
    [PL_HELLO_ACCEPTED] = TO(PL_HELLO_READY) | TO(PL_HELLO_FAILED),
    [PL_HELLO_READY] = 0,
    [PL_HELLO_FAILED] = 0,
};

// The only place that changes the state.
static void enter(pl_hello *h, pl_hello_state next) {
  assert(legal[h->state] & TO(next));
  h->state = next;
}

static pl_hello_event broken(pl_hello *h, pl_err err, const char *detail) {
  if (detail != NULL) snprintf(h->detail, sizeof h->detail, "%s", detail);
  enter(h, PL_HELLO_FAILED);
  return (pl_hello_event){.step = PL_HELLO_STEP_BROKEN, .err = err};
}

static bool put_frame(pl_buf *out, uint8_t type, pl_bytes body) {
  uint8_t header[PL_FRAME_HEADER];
  pl_frame_put_header(header, type, 0, 0, 0, body.len);
  return pl_buf_append(out, header, sizeof header) && pl_buf_append(out, body.data, body.len);
}

static pl_err put_hello(const pl_hello *h, pl_buf *out) {
  const pl_identity *self = h->self;
  const pl_msg_hello m = {
      .id = self->id,
      .epoch = self->epoch,
      .name = pl_bytes_of(self->name, strlen(self->name)),
      .role = self->role,
      .nonce = h->nonce,
      .addresses = pl_bytes_of(pl_buf_data(&self->addresses), pl_buf_len(&self->addresses)),
      .body_window = PL_BODY_WINDOW,
      .message_max = self->message_max,
      .heartbeat_ms = self->heartbeat_us / 1000,
      .version = pl_bytes_of(PERILUNE_VERSION, strlen(PERILUNE_VERSION)),
      .mesh = pl_bytes_of(self->mesh, strlen(self->mesh)),
      .draining = self->draining,
  };
  pl_buf body = {0};
  pl_err err = pl_msg_hello_encode(&body, &m);
  if (err == PL_OK &&
      !put_frame(out, PL_FRAME_HELLO, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)))) {
    err = PL_NO_MEMORY;
  }
  pl_buf_fini(&body);
  return err;
}

static pl_err put_preamble(pl_buf *out) {
  uint8_t preamble[PL_PREAMBLE];
  pl_preamble_put(preamble);
  return pl_buf_append(out, preamble, sizeof preamble) ? PL_OK : PL_NO_MEMORY;
}

pl_err pl_hello_start(pl_hello *h, const pl_identity *self, bool dialler, const pl_id *nonce,
                      pl_buf *out) {
  *h = (pl_hello){.state = PL_HELLO_IDLE, .dialler = dialler, .self = self, .nonce = *nonce};
  pl_err err = PL_OK;
  if (dialler) err = put_preamble(out);
  if (dialler && err == PL_OK) err = put_hello(h, out);
  enter(h, err == PL_OK ? PL_HELLO_PREAMBLE : PL_HELLO_FAILED);
  return err;
}

// The end that was dialled answers with its preamble even another major version, so that both
// ends can name both.
static pl_hello_event on_preamble(pl_hello *h, pl_bytes in, pl_buf *out) {
  unsigned major = PL_PROTOCOL_MAJOR, minor = 0;
  int known = pl_preamble_check(in, &major, &minor);
  if (known == 0) return (pl_hello_event){.step = PL_HELLO_STEP_MORE};
  if (known < 0 && major == PL_PROTOCOL_MAJOR) {
    return broken(h, PL_PROTOCOL, "not a perilune node");
  }
  if (!h->dialler && put_preamble(out) != PL_OK) return broken(h, PL_NO_MEMORY, "");
  if (known < 0) {
    snprintf(h->detail, sizeof h->detail, "speaks protocol %u.%u, this node speaks %d.%d", major,
             minor, PL_PROTOCOL_MAJOR, PL_PROTOCOL_MINOR);
    return broken(h, PL_PROTOCOL, NULL);
  }
  h->understood = true;
  if (!h->dialler && put_hello(h, out) != PL_OK) return broken(h, PL_NO_MEMORY, "");
  enter(h, PL_HELLO_GREETING);
  return (pl_hello_event){.step = PL_HELLO_STEP_NEXT, .used = PL_PREAMBLE};
}

static pl_hello_event on_hello(pl_hello *h, const pl_frame *f) {
  pl_hello_event e = {.step = PL_HELLO_STEP_ASK};
  if (pl_msg_hello_decode(&e.msg.hello, f->body) != PL_OK) {
    return broken(h, PL_PROTOCOL, "malformed HELLO");
  }
  const pl_msg_hello *m = &e.msg.hello;
  h->peer_id = m->id;
  h->peer_nonce = m->nonce;
  h->peer_body_window = m->body_window != 0 ? m->body_window : PL_BODY_WINDOW;
  h->peer_message_max = m->message_max != 0 ? m->message_max : UINT64_MAX;
  enter(h, PL_HELLO_DECIDING);
  return e;
}

static pl_hello_event on_ready(pl_hello *h) {
  bool up = h->state == PL_HELLO_ACCEPTED;
  enter(h, up ? PL_HELLO_READY : PL_HELLO_EXPECTED);
  return (pl_hello_event){.step = up ? PL_HELLO_STEP_UP : PL_HELLO_STEP_NEXT};
}

static pl_hello_event on_goodbye(pl_hello *h, const pl_frame *f) {
  pl_hello_event e = {.step = PL_HELLO_STEP_LEFT};
  if (pl_msg_goodbye_decode(&e.msg.goodbye, f->body) != PL_OK) {
    return broken(h, PL_PROTOCOL, "malformed GOODBYE");
  }
  enter(h, PL_HELLO_FAILED);
  return e;
}

static pl_hello_event unexpected(pl_hello *h, const pl_frame *f) {
  snprintf(h->detail, sizeof h->detail, "frame of type %u in the handshake", f->type);
  return broken(h, PL_PROTOCOL, NULL);
}

// Types of the link that this version does not know may belong to the handshake of a later one.
static pl_hello_event on_other(pl_hello *h, const pl_frame *f) {
  if (f->type <= PL_FRAME_LINK_LAST || pl_frame_is_circuit(f->type)) return unexpected(h, f);
  h->skipped++;
  return (pl_hello_event){.step = PL_HELLO_STEP_NEXT};
}

static pl_hello_event on_frame(pl_hello *h, const pl_frame *f) {
  bool greeting = h->state == PL_HELLO_GREETING;
  bool ready_due = h->state == PL_HELLO_DECIDING || h->state == PL_HELLO_ACCEPTED;
  switch (f->type) {
    case PL_FRAME_HELLO: return greeting ? on_hello(h, f) : unexpected(h, f);
    case PL_FRAME_READY: return ready_due ? on_ready(h) : unexpected(h, f);
    case PL_FRAME_GOODBYE: return on_goodbye(h, f);
    default: return on_other(h, f);
  }
}

static pl_hello_event on_bytes(pl_hello *h, pl_bytes in) {
  pl_frame f;
  ptrdiff_t took = pl_frame_decode(&f, in, PL_HELLO_MAX);
  if (took == 0) return (pl_hello_event){.step = PL_HELLO_STEP_MORE};
  if (took == PL_TOO_LARGE) {
    return broken(h, PL_TOO_LARGE, "frame over the limit in the handshake");
  }
  if (took < 0) return broken(h, PL_PROTOCOL, "malformed frame in the handshake");
  if (h->received + (size_t)took > PL_UNTRUSTED_BYTES) {
    return broken(h, PL_TOO_LARGE, "too many bytes in the handshake");
  }
  pl_hello_event e = on_frame(h, &f);
  e.used = (size_t)took;
  return e;
}

pl_hello_event pl_hello_feed(pl_hello *h, pl_bytes in, pl_buf *out) {
  pl_hello_event e = {.step = PL_HELLO_STEP_MORE};
  switch (h->state) {  // no default: a new state must be handled here
    case PL_HELLO_PREAMBLE: e = on_preamble(h, in, out); break;
    case PL_HELLO_GREETING:
    case PL_HELLO_DECIDING:
    case PL_HELLO_EXPECTED:
    case PL_HELLO_ACCEPTED: e = on_bytes(h, in); break;
    case PL_HELLO_IDLE:
    case PL_HELLO_READY:
    case PL_HELLO_FAILED: assert(false && "fed a handshake that is not running"); break;
  }
  h->received += e.used;
  return e;
}

pl_err pl_hello_accept(pl_hello *h, bool *up, pl_buf *out) {
  bool here = h->state == PL_HELLO_EXPECTED;
  if (!put_frame(out, PL_FRAME_READY, (pl_bytes){0})) return PL_NO_MEMORY;
  enter(h, here ? PL_HELLO_READY : PL_HELLO_ACCEPTED);
  *up = here;
  return PL_OK;
}

void pl_hello_fail(pl_hello *h) {
  if (h->state != PL_HELLO_FAILED) enter(h, PL_HELLO_FAILED);
}
