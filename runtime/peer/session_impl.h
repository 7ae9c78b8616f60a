// Shared by the files that implement session.h: session.c has its life, session_frames.c what
// happens while it is up.
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
  uint64_t sent;   // frames
  pl_timer timer;  // to connect, then for the handshake, then of the heartbeat
  pl_heartbeat heartbeat;
  pl_pings pings;
  pl_hello hello;
  pl_msg_goodbye goodbye;  // reason borrows from `detail`
  pl_err why;
  char detail[PL_SESSION_DETAIL];
};

// session.c: the other end broke the protocol, or a bound,
void pl_session_break(pl_session *s, pl_err why, const char *detail);
// or said GOODBYE: it reads no more.
void pl_session_left(pl_session *s, const pl_msg_goodbye *m);

// session_frames.c: writes a frame in any state in which there is a link. `head` is copied.
void pl_session_put(pl_session *s, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                    pl_bytes head, pl_bytes body);
// Delivers the frames in `in`, as long as the session is up; returns the bytes used.
size_t pl_session_read(pl_session *s, pl_bytes in);
// It came up: pings at once, and from time to time.
void pl_session_start_heartbeat(pl_session *s);
