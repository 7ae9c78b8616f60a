// Shared by the files that implement session.h: session.c has its life, session_frames.c what
// happens while it is up, session_resume.c what happens when it loses its link.
#pragma once

#include "peer/heartbeat.h"
#include "peer/hello.h"
#include "peer/pings.h"
#include "peer/session.h"

enum { PL_SESSION_DETAIL = 256 };

struct pl_session {
  pl_session_state state;
  bool dialler;
  bool deferred;  // the answer to the HELLO follows later
  bool has_left;  // the other end said GOODBYE
  unsigned refs;  // one of them is the link's, until on_down
  pl_link *link;  // NULL after on_down
  pl_loop *loop;
  const pl_identity *self;
  const pl_session_ops *ops;
  void *user;
  void *data;
  pl_circuit_fn *take;  // NULL: on_frame
  uint64_t sent;        // frames
  bool counted;         // it can be resumed: both ends count what they receive
  uint64_t received;    // position: bytes of whole frames
  uint64_t told;        // of these, acknowledged
  uint64_t peer_epoch;
  uint64_t hint_epoch;  // told in a GOODBYE
  pl_timer
      timer;  // to connect, then for the handshake, then of the heartbeat, or of the suspension
  pl_timer ack_timer;
  pl_heartbeat heartbeat;
  pl_pings pings;
  pl_hello hello;
  pl_resume resume;        // of this session, when `counted`
  pl_url *url;             // owned: where it was dialled; NULL: it was accepted
  pl_session *attempt;     // one reference: while SUSPENDED, the new link that its dialler tries
  unsigned attempts;       // in a row
  pl_timer retry_timer;    // the next one
  const char *hopeless;    // no further attempt makes sense, and why
  pl_session *resumes;     // one reference: this is such an attempt, at either end, and of whom
  uint64_t patience_us;    // of such a one; 0: as the identity says
  bool refused;            // nobody listens where it dialled
  uint64_t suspended_us;   // when the link was lost
  uint64_t went_on_us;     // when the session went on last; 0: never
  uint64_t went_on_at;     // and its progress then
  pl_msg_goodbye goodbye;  // reason borrows from `detail`
  pl_err why;
  char detail[PL_SESSION_DETAIL];
};

// session.c: the only place that changes the state;
void pl_session_enter(pl_session *s, pl_session_state next);
// the end is decided: CLOSING;
void pl_session_leave(pl_session *s, pl_err why, const char *detail);
// there is neither link nor attempt any more: on_down;
void pl_session_end(pl_session *s);
// a new link to where `s` was dialled, for going on with `s`;
pl_err pl_session_redial(pl_session **out, pl_session *s, const pl_session_ops *ops,
                         uint64_t patience_us);
// the other end broke the protocol, or a bound,
void pl_session_break(pl_session *s, pl_err why, const char *detail);
// or said GOODBYE: it reads no more.
void pl_session_left(pl_session *s, const pl_msg_goodbye *m);
extern const pl_link_ops pl_session_link_ops;

// session_frames.c: writes a frame in any state in which there is a link. `head` is copied.
void pl_session_put(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                    pl_bytes head, pl_bytes body);
// The same, of a frame of the link itself: of use on this link only.
void pl_session_put_once(pl_session *s, uint8_t type, pl_bytes body);
// Delivers the frames in `in`, as long as the session is up; returns the bytes used.
size_t pl_session_read(pl_session *s, pl_bytes in);
// It came up, or goes on: pings at once, and from time to time.
void pl_session_start_heartbeat(pl_session *s);

// session_resume.c: it came up; from here on it can be resumed, if both ends want that.
void pl_session_count(pl_session *s);
// Its link was lost. False: it cannot go on.
bool pl_session_suspend(pl_session *s, const char *detail);
// A suspended one is to end.
void pl_session_cease(pl_session *s);
// The other end of `attempt` proved that it may go on with attempt->resumes, of which it received
// all up to `position`: that has taken over the link, unless the attempt is CLOSING now.
void pl_session_take_link(pl_session *attempt, uint64_t position);
// All frames of one read were counted: acknowledges them in time.
void pl_session_acknowledge(pl_session *s);
// An ACK. PL_PROTOCOL.
pl_err pl_session_acknowledged(pl_session *s, const pl_frame *f);
