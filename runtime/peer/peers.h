// Shared by the files that implement peer.h.
//
// A conn is one session as the peers see it. A peer has any number of them, of which one is active
// while the peer is up:
//
//   GREETING --> CONTENDING <--> ACTIVE
//                     |            |          each also to the end of its session
//                     +-> RETIRED <+
//
// CONTENDING: up, and another one is in use. If that is the one to stay, it first has to show that
// it is up at the other end. RETIRED: so it is, or an end has given up this one. Both ends close it
// when both have said RETIRE and the last circuit has ended. As long as none has, it may be the
// best again, and ACTIVE.
//
// A dialer keeps one address connected. Any number of dials (the handles of pl_peers_dial) share
// it.
#pragma once

#include "base/map.h"
#include "peer/peer.h"
#include "peer/refusals.h"

typedef struct pl_conn pl_conn;
typedef struct pl_dialer pl_dialer;
typedef struct pl_probe pl_probe;

typedef enum pl_conn_stage {
  PL_CONN_GREETING,
  PL_CONN_CONTENDING,
  PL_CONN_ACTIVE,
  PL_CONN_RETIRED,
} pl_conn_stage;

// Of the HELLO, owned.
typedef struct pl_told {
  uint64_t epoch;
  pl_role role;
  char *name;           // NULL reads as ""
  pl_slice *addresses;  // NULL: none
} pl_told;

struct pl_conn {
  pl_list node;     // in pl_peers.conns
  pl_list of_peer;  // in pl_peer.conns, from CONTENDING on
  pl_conn_stage stage;
  bool dialled;
  bool admitted;    // its HELLO was accepted: counts against max_peers
  bool said;        // RETIRE: no circuit that was opened here is left, and none will be
  bool other_said;  // the same of the other end
  bool unkept;      // it goes without another in its place
  pl_peers *peers;
  pl_session *session;  // one reference
  pl_peer *peer;        // one reference; NULL while GREETING
  pl_dialer *dialer;    // whose attempt this is, while GREETING
  pl_probe *probe;      // whose answer this conn waits for
  uint64_t silent_us;   // it did not answer, and that is when it was heard last; 0: it did
  uint32_t cost_us;     // as the address says at which it was accepted; 0: nothing
  char *from;           // owned: the address of who dialled, without a port; NULL when dialled
  pl_told told;
};

struct pl_peer {
  pl_list node;       // in pl_peers.list, until GONE
  pl_list unsettled;  // in pl_peers.unsettled
  unsigned refs;
  pl_peers *peers;
  pl_peer_state state;
  bool was_up;
  pl_id id;
  pl_told told;
  pl_conn *active;  // NULL unless up
  pl_list conns;    // of pl_conn, all stages but GREETING
  pl_list dialers;
  void *data;
};

typedef enum pl_dialer_state {
  PL_DIALER_TRYING,   // an attempt is under way
  PL_DIALER_WAITING,  // for the next one
  PL_DIALER_RESTING,  // its peer is up
  PL_DIALER_ENDED,    // told not to come back; a new dial wakes it
} pl_dialer_state;

struct pl_dialer {
  pl_list node;     // in pl_peers.dialers
  pl_list of_peer;  // in pl_peer.dialers, unless ENDED
  pl_dialer_state state;
  unsigned failures;  // in a row
  pl_err why;         // the last of them
  pl_peers *peers;
  pl_peer *peer;     // one reference; NULL when ENDED
  pl_conn *attempt;  // while TRYING
  bool renewed;      // it was refused for an old epoch, since it was up last
  pl_list dials;     // of pl_dial
  pl_timer timer;    // while WAITING
  pl_work rested;    // tells a dial that found it RESTING
  pl_url url;
  char text[PL_URL_MAX];
};

struct pl_dial {
  pl_list node;  // in pl_dialer.dials
  pl_list due;   // in a list of those that are told next
  pl_peers *peers;
  pl_dialer *dialer;  // NULL once the dial has ended
  bool keep;
  bool told;
  pl_dial_fn *done;
  void *user;
};

struct pl_peers {
  pl_loop *loop;
  pl_peers_config config;
  const pl_peers_ops *ops;
  void *user;
  pl_map by_id;       // of pl_peer that were up and are not GONE
  pl_list list;       // of pl_peer, until GONE
  pl_list unsettled;  // of pl_peer, each held, whose state is to be looked at
  pl_list conns;
  pl_list dialers;
  pl_list cancelled;  // of pl_dial
  pl_list listeners;
  size_t up;              // peers
  size_t admitted;        // conns
  size_t greeting;        // incoming conns that are not admitted
  pl_refusals *refusals;  // NULL while there was none
  pl_work wake;
  bool stopping;
  void (*stopped)(void *user);
  void *stopped_user;
};

// peers.c: work of the peers follows from the loop.
void pl_peers_wake(pl_peers *ps);

// conn.c
extern const char pl_id_taken[];  // why a second claim of an id is refused
void pl_conn_accept(pl_peers *ps, pl_link *link, uint32_t cost_us);
// Errors as of pl_link_dial.
pl_err pl_conn_dial(pl_conn **out, pl_dialer *d);
// Asks `asked` for a sign of life, on which the fate of `c` depends. False when that is not
// possible.
bool pl_conn_probe(pl_conn *c, pl_conn *asked);
// It has a link, or waits for one to go on with.
static inline bool pl_conn_is_up(const pl_conn *c) {
  return pl_session_is_open(c->session);
}
static inline bool pl_conn_is_waiting(const pl_conn *c) {
  return pl_session_status(c->session) == PL_SESSION_SUSPENDED;
}

// peer.c
pl_peer *pl_peer_new(pl_peers *ps);  // CONNECTING, with one reference of the list
// Gives a new peer its id.
void pl_peer_identify(pl_peer *p, const pl_id *id);
// Brings its state up to date: now, from the loop, or later.
void pl_peer_settle(pl_peer *p, pl_err why, const char *detail);
void pl_peer_unsettle(pl_peer *p);
// What it said of itself counts from now on.
void pl_peer_learn(pl_peer *p, const pl_told *t);
void pl_told_fini(pl_told *t);

// contest.c
// The session of `c`, a conn of `p`, came up.
void pl_peer_joined(pl_peer *p, pl_conn *c);
// A link came, went, broke or goes on: the best of them is active from now on.
void pl_peer_choose(pl_peer *p);
// `c`, which was broken, goes on over another link.
void pl_conn_went_on(pl_conn *c);
// What pl_conn_probe(c, asked) learnt: no sign of life came since `since_us`, unless PL_OK.
void pl_conn_answered(pl_conn *c, pl_conn *asked, pl_err err, uint64_t since_us);
// The other end gave up `c`: it has opened its last circuit there and seen its end, or, `unkept`,
// it will open no more.
void pl_conn_given_up(pl_conn *c, bool unkept);
// A circuit has ended on `c`: does what is due if it is RETIRED.
void pl_conn_finish(pl_conn *c);

// dial.c
void pl_dialer_attach(pl_dialer *d, pl_peer *p);  // that is whom it dials
void pl_dialer_up(pl_dialer *d, pl_peer *p);
void pl_dialer_failed(pl_dialer *d, pl_err why, const char *detail, const pl_msg_goodbye *goodbye);
// Their peer came up; was lost; is no longer wanted.
void pl_dialers_rest(pl_peer *p);
void pl_dialers_resume(pl_peer *p, const pl_msg_goodbye *goodbye);
void pl_dialers_end(pl_peer *p);
void pl_dialers_stop_all(pl_peers *ps);
void pl_dials_tell_cancelled(pl_peers *ps);
