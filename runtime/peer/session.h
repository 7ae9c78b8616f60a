// A session is the protocol over one link with one neighbour: preamble and handshake, then frames,
// heartbeat and goodbye. It knows nothing of actions or routes. Loop thread only; no I/O and no
// clock of its own: it uses its link and its loop, so a spec drives it with memory links and
// virtual time.
//
//     CONNECTING --> GREETING --> UP --> CLOSING --> (on_down, freed with its last reference)
//         dialled      HELLO      |^                    from every state
//                        READY    v|
//                               SUSPENDED
//
// A session that loses its link does not end at once: for `resume_window` it is SUSPENDED, and goes
// on when its dialler has brought another link, with nothing lost or repeated. Who only sends and
// receives notices nothing of it: frames are kept meanwhile, and it counts as full.
//
// An object that refers to a session holds it; after on_down its sends do nothing.
#pragma once

#include "base/failure.h"
#include "base/list.h"
#include "base/map.h"
#include "link/link.h"
#include "peer/auth.h"
#include "wire/frame.h"
#include "wire/message.h"

typedef struct pl_session pl_session;

// What this node says of itself in a handshake, and how patient it is. Shared by all sessions of
// the node; outlives them.
typedef struct pl_identity {
  pl_id id;
  uint64_t epoch;
  char name[PL_NAME_MAX + 1];
  char mesh[PL_NAME_MAX + 1];
  pl_role role;
  bool draining;
  bool is_worker;    // it runs scripts of another node of this process
  pl_id worker_of;   // which, if so
  pl_buf addresses;  // raw MessagePack array
  pl_auth auth;
  uint64_t message_max;
  uint64_t connect_timeout_us, handshake_timeout_us;
  uint64_t heartbeat_us;
  unsigned heartbeat_misses;
  uint64_t resume_window_us;  // how long a session waits for another link; 0: it does not
} pl_identity;

typedef enum pl_session_state {
  PL_SESSION_CONNECTING,
  PL_SESSION_GREETING,
  PL_SESSION_UP,
  PL_SESSION_SUSPENDED,
  PL_SESSION_CLOSING,
} pl_session_state;

// Upcalls; any of them may close the session.
typedef struct pl_session_ops {
  // The neighbour's HELLO arrived, is well-formed, and was proved if this node asks for that. PL_OK
  // accepts, unless pl_session_defer was called; any other error refuses with it and `*reason`
  // (static). The hello is borrowed.
  pl_err (*on_hello)(pl_session *s, const pl_msg_hello *hello, const char **reason, void *user);
  // READY went both ways.
  void (*on_up)(pl_session *s, void *user);
  // Any known frame but those of the handshake, the heartbeat and GOODBYE. The body has an owner
  // and may be kept. Not PL_OK closes the session with a GOODBYE of that error.
  pl_err (*on_frame)(pl_session *s, const pl_frame *f, void *user);
  // There is room again after pl_session_is_full.
  void (*on_drained)(pl_session *s, void *user);
  // The link is lost and may come back: it is SUSPENDED. May be NULL.
  void (*on_suspended)(pl_session *s, void *user);
  // It was SUSPENDED and goes on; there is room again.
  void (*on_resumed)(pl_session *s, void *user);
  // The last one, exactly once, also for a session that never came up. `why`: PL_OK (closed on
  // purpose, by either side), CONNECT_FAILED, TIMEOUT, PEER_LOST, PROTOCOL, SELF, UNAUTHORIZED, or
  // what the other side refused with. `goodbye` is what the other side said, or NULL.
  void (*on_down)(pl_session *s, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                  void *user);
} pl_session_ops;

// Takes over `link`, which is connected: accepted, or an end of a pair. `dialler` is the part to
// play in the handshake. One reference, which is given up by pl_session_drop; the session holds
// itself until on_down.
pl_session *pl_session_open(pl_loop *loop, const pl_identity *self, pl_link *link, bool dialler,
                            const pl_session_ops *ops, void *user);
// The same over a new link to `url`. Errors as of pl_link_dial.
pl_err pl_session_dial(pl_session **out, pl_loop *loop, const pl_identity *self, const pl_url *url,
                       const pl_session_ops *ops, void *user);

// In on_hello: the answer follows later, by pl_session_accept or pl_session_close. The time of the
// handshake goes on.
void pl_session_defer(pl_session *s);
void pl_session_accept(pl_session *s);

// In on_hello, or while the answer is due: if the other end is refused, it is told that its id is
// known with this epoch, so that it can take a greater one.
void pl_session_hint_epoch(pl_session *s, uint64_t epoch);
// The neighbour goes on under a greater epoch.
void pl_session_renew(pl_session *s, uint64_t epoch);

// In on_hello, of a session that was accepted: its link is to go on with `old`, if the other end
// proves that it may. Then `s` ends with on_down (PL_OK) in favour of `old`; else it ends
// otherwise, and `old` goes on waiting. False: that is not the session that the hello asks for.
bool pl_session_resume(pl_session *s, pl_session *old, const pl_msg_hello *hello);

pl_session *pl_session_hold(pl_session *s);
void pl_session_drop(pl_session *s);

// Says GOODBYE with the reason, then closes. `code` PL_OK: a plain close. Idempotent.
void pl_session_close(pl_session *s, pl_err code, const char *reason, bool allow_reconnect);
// Its link is taken for lost: it may go on over another one.
void pl_session_lose(pl_session *s, const char *detail);
// Without a word, dropping what was not written.
void pl_session_abort(pl_session *s, pl_err why, const char *detail);

pl_session_state pl_session_status(const pl_session *s);
// UP or SUSPENDED: it may be sent on.
bool pl_session_is_open(const pl_session *s);
bool pl_session_is_dialler(const pl_session *s);
pl_link *pl_session_link(const pl_session *s);  // borrowed, until the next turn; NULL after on_down
// Of the neighbour, valid from on_hello on.
const pl_id *pl_session_peer_id(const pl_session *s);
const pl_id *pl_session_nonce(const pl_session *s,
                              bool dialler);  // of the dialling side, or of the other
// By which it was authenticated, as one MessagePack value (static); empty: it was not.
pl_bytes pl_session_identity(const pl_session *s);
uint64_t pl_session_body_window(
    const pl_session *s);  // bytes of BODY the neighbour takes ungranted
uint64_t pl_session_message_max(const pl_session *s);  // largest value the neighbour takes

// Sends one frame. `body` is written as pl_link_append would; body.len <= PL_FRAGMENT_MAX.
void pl_session_send(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                     pl_bytes body);
// The same with a body in two parts: `head` is copied, `body` is written as pl_link_append would.
void pl_session_send_parts(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                           pl_bytes head, pl_bytes body);
// Frames sent so far: tells whether a frame is still the last one.
uint64_t pl_session_sent(const pl_session *s);
// The same in two steps, for bodies encoded in place: room for a body of at most `max` (<=
// PL_FRAGMENT_MAX), then the body there and its real length.
uint8_t *pl_session_begin(pl_session *s, size_t max);
void pl_session_finish(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                       uint8_t *body, size_t len);

size_t pl_session_backlog(const pl_session *s);
// Bytes that it holds: not written yet, and not acknowledged.
size_t pl_session_held(const pl_session *s);
// Whoever can wait does, until on_drained.
bool pl_session_is_full(const pl_session *s);

// When the last sign of life came.
uint64_t pl_session_heard_us(const pl_session *s);
// Round trip: smoothed, microseconds, 0 when not measured yet.
uint64_t pl_session_rtt_us(const pl_session *s);
// Pings now. `done` is called exactly once with the round trip, or err when the session went down
// or nothing came within `timeout_us`.
typedef void pl_pong_fn(pl_err err, uint64_t rtt_us, void *user);
pl_err pl_session_ping(pl_session *s, uint64_t timeout_us, pl_pong_fn *done,
                       void *user);  // PL_BUSY past 4096 outstanding

// As given when it was opened; NULL when that was with other ops.
void *pl_session_user(const pl_session *s, const pl_session_ops *ops);
// Place for the layer above to hang its per-session state; NULL at first. While it is there, frames
// of circuits go to `take` with it instead of to on_frame, which is the same but for the way there.
typedef pl_err pl_circuit_fn(void *data, const pl_frame *f);
void pl_session_set_data(pl_session *s, void *data, pl_circuit_fn *take);
void *pl_session_data(const pl_session *s);
