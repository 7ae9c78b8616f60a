#include "peer/hello.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define TO(state) (1u << (state))
static const unsigned legal[] = {
    [PL_HELLO_IDLE] = TO(PL_HELLO_PREAMBLE) | TO(PL_HELLO_FAILED),
    [PL_HELLO_PREAMBLE] = TO(PL_HELLO_GREETING) | TO(PL_HELLO_FAILED),
    [PL_HELLO_GREETING] = TO(PL_HELLO_PROVING) | TO(PL_HELLO_DECIDING) | TO(PL_HELLO_FAILED),
    [PL_HELLO_PROVING] = TO(PL_HELLO_DECIDING) | TO(PL_HELLO_FAILED),
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
  if (next != PL_HELLO_FAILED && next != PL_HELLO_READY) return;
  pl_bytes_drop(&h->hello);
  OPENSSL_cleanse(h->link_key, sizeof h->link_key);
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

static pl_err encode_hello(const pl_hello *h, pl_bytes methods, pl_buf *body) {
  const pl_identity *self = h->self;
  pl_msg_hello m = {
      .id = self->id,
      .epoch = h->ours.epoch,
      .name = pl_bytes_of(self->name, strlen(self->name)),
      .role = self->role,
      .nonce = h->ours.nonce,
      .methods = methods,
      .addresses = pl_bytes_of(pl_buf_data(&self->addresses), pl_buf_len(&self->addresses)),
      .body_window = PL_BODY_WINDOW,
      .message_max = self->message_max,
      .heartbeat_ms = self->heartbeat_us / 1000,
      .version = pl_bytes_of(PERILUNE_VERSION, strlen(PERILUNE_VERSION)),
      .mesh = pl_bytes_of(self->mesh, strlen(self->mesh)),
      .draining = self->draining,
  };
  if (h->resume != NULL) m.resume = h->resume->session;
  return pl_msg_hello_encode(body, &m);
}

static pl_bytes view(const pl_buf *b) {
  return pl_bytes_of(pl_buf_data(b), pl_buf_len(b));
}

// What a proof will say of our HELLO. Without a method to prove anything by, the library that
// digests is not even woken, which costs memory.
static bool digest_ours(pl_hello *h, const uint8_t *frame, size_t len) {
  if (!pl_auth_is_asked(&h->self->auth)) return true;
  uint8_t preamble[PL_PREAMBLE];
  pl_preamble_put(preamble);
  return pl_auth_digest(h->ours.said, preamble, sizeof preamble, frame, len);
}

static pl_err put_hello(pl_hello *h, pl_buf *out) {
  pl_buf methods = {0}, body = {0};
  size_t before = pl_buf_len(out);
  pl_err err = pl_auth_offer(&h->self->auth, &methods);
  if (err == PL_OK) err = encode_hello(h, view(&methods), &body);
  if (err == PL_OK && !put_frame(out, PL_FRAME_HELLO, view(&body))) err = PL_NO_MEMORY;
  if (err == PL_OK && !digest_ours(h, pl_buf_data(out) + before, pl_buf_len(out) - before))
    err = PL_NO_MEMORY;
  pl_buf_fini(&methods);
  pl_buf_fini(&body);
  return err;
}

static pl_err put_preamble(pl_buf *out) {
  uint8_t preamble[PL_PREAMBLE];
  pl_preamble_put(preamble);
  return pl_buf_append(out, preamble, sizeof preamble) ? PL_OK : PL_NO_MEMORY;
}

pl_err pl_hello_start(pl_hello *h, const pl_identity *self, bool dialler, const pl_id *nonce,
                      const pl_resume *resume, uint64_t position, pl_buf *out) {
  *h = (pl_hello){
      .state = PL_HELLO_IDLE,
      .dialler = dialler,
      .self = self,
      .ours = {.id = self->id, .epoch = self->epoch, .nonce = *nonce},
      .resume = resume,
      .position = position,
  };
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
  memcpy(h->peer_preamble, in.data, PL_PREAMBLE);
  if (!h->dialler && put_hello(h, out) != PL_OK) return broken(h, PL_NO_MEMORY, "");
  enter(h, PL_HELLO_GREETING);
  return (pl_hello_event){.step = PL_HELLO_STEP_NEXT, .used = PL_PREAMBLE};
}

// Proofs.

static pl_hello_event refused(pl_hello *h, const char *here, const char *there) {
  h->reason = there;
  return broken(h, PL_UNAUTHORIZED, here);
}

static pl_hello_event unproved(pl_hello *h, pl_err err) {
  if (err == PL_UNAUTHORIZED) return refused(h, h->method->refused, h->method->refused);
  return broken(h, err, err == PL_PROTOCOL ? "malformed PROOF" : "");
}

static pl_auth_facts facts_of(const pl_hello *h) {
  return (pl_auth_facts){.dialler = h->dialler ? h->ours : h->theirs,
                         .other = h->dialler ? h->theirs : h->ours};
}

// What the other end has to say in HELLO was said, and proved if it must be.
static pl_hello_event ask(pl_hello *h, const pl_msg_hello *m) {
  enter(h, PL_HELLO_DECIDING);
  return (pl_hello_event){.step = PL_HELLO_STEP_ASK, .msg.hello = *m};
}

// READY is the last word, after the proofs: with it comes one for itself.
static bool seal_ready(const pl_hello *h, bool by_dialler, const pl_id *secret,
                       uint8_t seal[PL_AUTH_DIGEST]) {
  return pl_auth_seal(seal, h->link_key, by_dialler, secret->bytes, sizeof secret->bytes);
}

// The HELLO has to wait for a proof: it is copied, because the bytes it came in are shared.
static pl_hello_event await_proof(pl_hello *h, const pl_frame *f, pl_buf *out) {
  pl_slice *copy = pl_slice_copy(f->body.data, f->body.len);
  if (copy == NULL) return broken(h, PL_NO_MEMORY, "");
  h->hello = (pl_bytes){.data = copy->data, .len = copy->len, .owner = copy};
  pl_err err = PL_OK;
  pl_buf proof = {0};
  if (h->dialler) {
    pl_auth_facts facts = facts_of(h);
    err = h->method->prove(&h->self->auth, &facts, &proof);
    if (err == PL_OK && !put_frame(out, PL_FRAME_PROOF, view(&proof))) err = PL_NO_MEMORY;
  }
  pl_buf_fini(&proof);
  if (err != PL_OK) return unproved(h, err);
  enter(h, PL_HELLO_PROVING);
  return (pl_hello_event){.step = PL_HELLO_STEP_NEXT};
}

static pl_hello_event on_proof(pl_hello *h, const pl_frame *f, pl_buf *out) {
  pl_auth_facts facts = facts_of(h);
  pl_buf proof = {0};
  pl_err err;
  if (h->dialler) {
    err = h->method->check(&h->self->auth, &facts, f->body, h->link_key);
  } else {
    err = h->method->answer(&h->self->auth, &facts, f->body, &proof, h->link_key);
    if (err == PL_OK && !put_frame(out, PL_FRAME_PROOF, view(&proof))) err = PL_NO_MEMORY;
  }
  pl_buf_fini(&proof);
  if (err != PL_OK) return unproved(h, err);
  pl_msg_hello m;
  err = pl_msg_hello_decode(&m, h->hello);
  assert(err == PL_OK);  // it was decoded before
  return ask(h, &m);
}

// Frames.

static void learn(pl_hello *h, const pl_msg_hello *m) {
  h->theirs.id = m->id;
  h->theirs.epoch = m->epoch;
  h->theirs.nonce = m->nonce;
  h->peer_body_window = m->body_window != 0 ? m->body_window : PL_BODY_WINDOW;
  h->peer_message_max = m->message_max != 0 ? m->message_max : UINT64_MAX;
}

static pl_hello_event on_hello(pl_hello *h, const pl_frame *f, pl_buf *out) {
  pl_msg_hello m;
  if (pl_msg_hello_decode(&m, f->body) != PL_OK) return broken(h, PL_PROTOCOL, "malformed HELLO");
  learn(h, &m);
  pl_auth_refusal why;
  pl_err err = pl_auth_choose(&h->method, &h->self->auth, h->dialler, m.methods, &why);
  if (err != PL_OK) return refused(h, why.here, why.there);
  if (h->method == NULL) return ask(h, &m);
  const uint8_t *frame = f->body.data - PL_FRAME_HEADER;
  if (!pl_auth_digest(h->theirs.said, h->peer_preamble, sizeof h->peer_preamble, frame,
                      PL_FRAME_HEADER + f->body.len)) {
    return broken(h, PL_NO_MEMORY, "");
  }
  return await_proof(h, f, out);
}

static pl_hello_event on_ready(pl_hello *h, const pl_frame *f) {
  pl_msg_ready m = {0};
  if (f->body.len > 0 && pl_msg_ready_decode(&m, f->body) != PL_OK) {
    return broken(h, PL_PROTOCOL, "malformed READY");
  }
  if (h->method != NULL) {
    uint8_t seal[PL_AUTH_DIGEST];
    bool sealed = m.seal.len == sizeof seal && seal_ready(h, !h->dialler, &m.secret, seal);
    if (!sealed || CRYPTO_memcmp(seal, m.seal.data, sizeof seal) != 0) {
      return refused(h, "READY was changed on its way", "READY was changed on its way");
    }
  }
  h->peer_secret = m.secret;
  bool up = h->state == PL_HELLO_ACCEPTED;
  enter(h, up ? PL_HELLO_READY : PL_HELLO_EXPECTED);
  return (pl_hello_event){.step = up ? PL_HELLO_STEP_UP : PL_HELLO_STEP_NEXT};
}

// Going on with a session.

static pl_resume_claim claim(const pl_hello *h, bool by_dialler, uint64_t position) {
  return (pl_resume_claim){
      .by_dialler = by_dialler,
      .dialler_nonce = h->dialler ? h->ours.nonce : h->theirs.nonce,
      .other_nonce = h->dialler ? h->theirs.nonce : h->ours.nonce,
      .position = position,
  };
}

static pl_err put_resume(const pl_hello *h, uint64_t position, pl_buf *out) {
  uint8_t proof[PL_RESUME_PROOF];
  pl_resume_claim c = claim(h, h->dialler, position);
  if (!pl_resume_prove(h->resume, &c, proof)) return PL_NO_MEMORY;
  const pl_msg_resume m = {
      .session = h->resume->session,
      .position = position,
      .proof = pl_bytes_of(proof, sizeof proof),
  };
  pl_buf body = {0};
  pl_err err = pl_msg_resume_encode(&body, &m);
  if (err == PL_OK &&
      !put_frame(out, PL_FRAME_RESUME, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)))) {
    err = PL_NO_MEMORY;
  }
  pl_buf_fini(&body);
  return err;
}

static pl_hello_event on_resume(pl_hello *h, const pl_frame *f) {
  pl_msg_resume m;
  if (pl_msg_resume_decode(&m, f->body) != PL_OK) {
    return broken(h, PL_PROTOCOL, "malformed RESUME");
  }
  pl_resume_claim c = claim(h, !h->dialler, m.position);
  if (!pl_id_equal(&m.session, &h->resume->session) ||
      !pl_resume_check(h->resume, &c, m.proof.data)) {
    return broken(h, PL_FORBIDDEN, "not who had the session");
  }
  if (h->dialler) enter(h, PL_HELLO_READY);
  return (pl_hello_event){.step = PL_HELLO_STEP_RESUME, .msg.position = m.position};
}

static pl_hello_event on_goodbye(pl_hello *h, const pl_frame *f) {
  pl_hello_event e = {.step = PL_HELLO_STEP_LEFT};
  if (pl_msg_goodbye_decode(&e.msg.goodbye, f->body) != PL_OK) {
    return broken(h, PL_PROTOCOL, "malformed GOODBYE");
  }
  // Who has proved nothing yet does not move this node to anything.
  if (h->state < PL_HELLO_DECIDING) e.msg.goodbye.epoch = 0;
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

// A frame that is not skipped says nothing in these: a flipped bit there is no less a forgery.
static bool is_plain(const pl_frame *f) {
  return f->type > PL_FRAME_LINK_LAST || (f->flags == 0 && f->aux == 0);
}

static pl_hello_event on_frame(pl_hello *h, const pl_frame *f, pl_buf *out) {
  bool fresh = h->resume == NULL;
  bool ready_due = fresh && (h->state == PL_HELLO_DECIDING || h->state == PL_HELLO_ACCEPTED);
  bool resume_due = !fresh && h->state == PL_HELLO_ACCEPTED;
  if (!is_plain(f)) return broken(h, PL_PROTOCOL, "malformed frame in the handshake");
  switch (f->type) {
    case PL_FRAME_HELLO:
      return h->state == PL_HELLO_GREETING ? on_hello(h, f, out) : unexpected(h, f);
    case PL_FRAME_PROOF:
      return h->state == PL_HELLO_PROVING ? on_proof(h, f, out) : unexpected(h, f);
    case PL_FRAME_READY: return ready_due ? on_ready(h, f) : unexpected(h, f);
    case PL_FRAME_RESUME: return resume_due ? on_resume(h, f) : unexpected(h, f);
    case PL_FRAME_GOODBYE: return on_goodbye(h, f);
    default: return on_other(h, f);
  }
}

static pl_hello_event on_bytes(pl_hello *h, pl_bytes in, pl_buf *out) {
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
  pl_hello_event e = on_frame(h, &f, out);
  e.used = (size_t)took;
  return e;
}

pl_hello_event pl_hello_feed(pl_hello *h, pl_bytes in, pl_buf *out) {
  pl_hello_event e = {.step = PL_HELLO_STEP_MORE};
  switch (h->state) {  // no default: a new state must be handled here
    case PL_HELLO_PREAMBLE: e = on_preamble(h, in, out); break;
    case PL_HELLO_GREETING:
    case PL_HELLO_PROVING:
    case PL_HELLO_DECIDING:
    case PL_HELLO_EXPECTED:
    case PL_HELLO_ACCEPTED: e = on_bytes(h, in, out); break;
    case PL_HELLO_IDLE:
    case PL_HELLO_READY:
    case PL_HELLO_FAILED: assert(false && "fed a handshake that is not running"); break;
  }
  h->received += e.used;
  return e;
}

static pl_err put_ready(const pl_hello *h, pl_buf *out) {
  uint8_t seal[PL_AUTH_DIGEST];
  pl_msg_ready m = {.secret = h->secret};
  if (h->method != NULL) {
    if (!seal_ready(h, h->dialler, &h->secret, seal)) return PL_NO_MEMORY;
    m.seal = pl_bytes_of(seal, sizeof seal);
  }
  pl_buf body = {0};
  bool empty = pl_id_is_zero(&h->secret) && m.seal.len == 0;
  pl_err err = empty ? PL_OK : pl_msg_ready_encode(&body, &m);
  if (err == PL_OK &&
      !put_frame(out, PL_FRAME_READY, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)))) {
    err = PL_NO_MEMORY;
  }
  pl_buf_fini(&body);
  return err;
}

pl_err pl_hello_accept(pl_hello *h, bool *up, pl_buf *out) {
  bool here = h->state == PL_HELLO_EXPECTED;
  pl_err err = PL_OK;
  if (h->resume == NULL) {
    err = put_ready(h, out);
  } else if (h->dialler) {
    err = put_resume(h, h->position, out);
  }
  if (err != PL_OK) return err;
  enter(h, here ? PL_HELLO_READY : PL_HELLO_ACCEPTED);
  *up = here;
  return PL_OK;
}

pl_err pl_hello_resume(pl_hello *h, uint64_t position, pl_buf *out) {
  assert(!h->dialler && h->resume != NULL);
  pl_err err = put_resume(h, position, out);
  if (err == PL_OK) enter(h, PL_HELLO_READY);
  return err;
}

void pl_hello_fail(pl_hello *h) {
  if (h->state != PL_HELLO_FAILED) enter(h, PL_HELLO_FAILED);
}
