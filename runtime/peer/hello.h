// The handshake of one link as a machine without I/O: bytes and answers in, bytes to send and steps
// out (docs/protocol.md, "Handshake"). It has no clock either; who owns it bounds its time.
//
//   dialler                                     other end
//     preamble, HELLO  ------------------------->
//                      <-------------------------  preamble, HELLO
//     PROOF            ------------------------->                     if they authenticate each
//                      <-------------------------  PROOF              other (peer/auth.h)
//     READY            ------------------------->
//                      <-------------------------  READY
//
// Each end says READY when its owner has accepted the other's HELLO, which he is asked for once the
// other end has proved what it must; with both said the link is up. The end that was dialled says
// nothing at all before it has seen that the other speaks this protocol.
//
// A link that goes on with a session says RESUME in the place of READY, first the dialler and then
// the other end, which has nothing to say before it has checked the dialler's proof.
//
//   IDLE -> PREAMBLE -> GREETING -----------> DECIDING ----> ACCEPTED -> READY
//                          |                   ^  |   \                     ^
//                          +----> PROVING -----+  |    +----> EXPECTED -----+
//                                                 +--> FAILED   (from everywhere but READY)
#pragma once

#include "base/buf.h"
#include "peer/auth.h"
#include "peer/resume.h"
#include "peer/session.h"

typedef enum pl_hello_state {
  PL_HELLO_IDLE,
  PL_HELLO_PREAMBLE,  // the other's preamble is due
  PL_HELLO_GREETING,  // its HELLO is due
  PL_HELLO_PROVING,   // its PROOF is due
  PL_HELLO_DECIDING,  // our owner's answer is due
  PL_HELLO_EXPECTED,  // the same, and the other's READY is here already
  PL_HELLO_ACCEPTED,  // the other's READY is due
  PL_HELLO_READY,
  PL_HELLO_FAILED,
} pl_hello_state;

typedef struct pl_hello {
  pl_hello_state state;
  bool dialler;
  bool understood;  // the other speaks our protocol: a GOODBYE makes sense
  const pl_identity *self;
  pl_auth_side ours;
  // Of the other's HELLO:
  pl_auth_side theirs;
  uint64_t peer_body_window;
  uint64_t peer_message_max;
  uint8_t peer_preamble[PL_PREAMBLE];
  const pl_auth_method *method;      // by which they authenticate each other; NULL: not at all
  uint8_t link_key[PL_AUTH_DIGEST];  // what both share then, until READY
  pl_bytes hello;                    // the body of it, kept while PROVING and DECIDING
  pl_id secret;             // told in READY; the owner sets it before it accepts. Zero: none
  pl_id peer_secret;        // of the other's READY; zero: none
  const pl_resume *resume;  // the session that goes on here; NULL: a new one
  uint64_t position;        // received of that, the dialler's
  size_t received;          // bytes used; bounded until READY
  uint64_t skipped;         // frames of types unknown here
  char detail[128];         // why it FAILED, for people
  const char *reason;       // what the other end is told of it; NULL: the same
} pl_hello;

typedef enum pl_hello_step {
  PL_HELLO_STEP_MORE,    // a partial preamble or frame: wait for more bytes
  PL_HELLO_STEP_NEXT,    // something was used; feed the rest
  PL_HELLO_STEP_ASK,     // who is there is known: answer with pl_hello_accept or pl_hello_fail
  PL_HELLO_STEP_UP,      // READY both ways; the rest is frames of the session
  PL_HELLO_STEP_RESUME,  // the other end proved that it may go on from `position`; if that is the
                         // dialler, answer with pl_hello_resume. The rest is frames of the session
  PL_HELLO_STEP_LEFT,    // the other end said GOODBYE
  PL_HELLO_STEP_BROKEN,  // the other end broke the protocol, or is UNAUTHORIZED; see `err` and
                         // h->detail
} pl_hello_step;

typedef struct pl_hello_event {
  pl_hello_step step;
  size_t used;  // bytes of the input, also when it failed
  pl_err err;   // BROKEN
  union {
    pl_msg_hello hello;      // ASK: borrows, until the next call
    pl_msg_goodbye goodbye;  // LEFT: the same
    uint64_t position;       // RESUME
  } msg;
} pl_hello_event;

// `nonce` is random and new. What is to be sent is appended to `out`, here and below; PL_NO_MEMORY
// is the only error, and then nothing is sent. `resume`, of the dialler only: the session that is
// to go on over this link, of which `position` was received; outlives the handshake. NULL: a new
// one.
pl_err pl_hello_start(pl_hello *h, const pl_identity *self, bool dialler, const pl_id *nonce,
                      const pl_resume *resume, uint64_t position, pl_buf *out);

// Takes at most one preamble or frame from the start of `in`. Not after READY or FAILED.
pl_hello_event pl_hello_feed(pl_hello *h, pl_bytes in, pl_buf *out);

// The owner's answer in DECIDING or EXPECTED: READY is sent. *up: and had already come. With
// h->resume set (by the owner that was dialled: to what the HELLO asks for) the dialler's RESUME is
// sent, or awaited.
pl_err pl_hello_accept(pl_hello *h, bool *up, pl_buf *out);
// Of the end that was dialled, after STEP_RESUME: RESUME is sent, with what was received.
pl_err pl_hello_resume(pl_hello *h, uint64_t position, pl_buf *out);
// The handshake ends without a link: refused, too late, or closed. Fine in every state but READY.
void pl_hello_fail(pl_hello *h);
