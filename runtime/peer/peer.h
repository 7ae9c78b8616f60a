// The neighbours of a node: who is dialled, who has come, which link to each is in use, and what
// happens when it breaks.
//
// A pl_peer is a neighbouring node and stays the same object while its links come and go, as long
// as somebody dials it or it is up. A dial is an address that the node keeps connected: first
// attempt at once, then again after 0.05 s x 2^n with jitter, at most `reconnect_max`. Of two links
// to the same node one survives by a rule that both ends compute alike (docs/protocol.md); the
// other is retired: no new circuits, closed when its last one has ended at both ends. Loop thread
// only.
#pragma once

#include "peer/session.h"

typedef struct pl_peers pl_peers;
typedef struct pl_peer pl_peer;
typedef struct pl_dial pl_dial;

typedef enum pl_peer_state {
  PL_PEER_CONNECTING,  // never was up
  PL_PEER_UP,
  PL_PEER_RECONNECTING,  // was up, a dial goes on
  PL_PEER_GONE,          // neither up nor dialled; freed with its last reference
} pl_peer_state;

typedef struct pl_peers_ops {
  // The epoch with which the mesh knows a node to which there is no link here, while there is a
  // path to it; 0: none. May be NULL, and then so is on_surpassed.
  uint64_t (*known_epoch)(const pl_id *id, void *user);
  // Asks that node for a sign of life: as pl_session_ping, over others.
  pl_err (*ask)(const pl_id *id, uint64_t timeout_us, pl_pong_fn *done, void *probe, void *user);
  // A neighbour refused this node because its id is known with this epoch, of which there is no
  // sign of life: the identity takes a greater one before this returns.
  void (*on_surpassed)(uint64_t epoch, void *user);
  // A dial did not end in a link, `why` not PL_OK; whether it goes on is not decided by this. May
  // be NULL.
  void (*on_dial_failed)(const char *address, pl_err why, void *user);
  // A handshake begins: what the identity holds may be brought up to date. May be NULL.
  void (*on_handshake)(void *user);
  // The session that calls are to use from now on. An older one of this peer may still be finishing
  // (retired), or is about to be told as down, or comes back into use later.
  void (*on_session)(pl_peer *p, pl_session *s, void *user);
  // As pl_session_ops. `s` may be a retired one, and one that on_session never told: the other end
  // may have preferred it for a moment.
  pl_err (*on_frame)(pl_peer *p, pl_session *s, const pl_frame *f, void *user);
  void (*on_drained)(pl_peer *p, pl_session *s, void *user);
  // The link of `s` is lost and may come back, or has come back: who can go another way does. May
  // be NULL.
  void (*on_away)(pl_peer *p, pl_session *s, bool away, void *user);
  // `s` was given up, and none takes its place: no new circuits on it. What runs there may end;
  // then `s` is told as down.
  void (*on_unkept)(pl_peer *p, pl_session *s, void *user);
  // `s` is gone with everything on it. `why` as in pl_session_ops.on_down.
  void (*on_session_down)(pl_peer *p, pl_session *s, pl_err why, const char *detail, void *user);
  // Every change of state, after the upcalls above that caused it.
  void (*on_state)(pl_peer *p, pl_peer_state was, void *user);
  // How many circuits the layer above still has on `s`, and how many of them it opened itself. Of a
  // retired session the other end is told when these are 0, and it is closed when those are. Tell
  // later zeros of either by pl_peers_idle.
  size_t (*circuits)(pl_session *s, void *user);
  size_t (*opened)(pl_session *s, void *user);
} pl_peers_ops;

typedef struct pl_peers_config {
  const pl_identity *identity;  // outlives the peers
  uint64_t reconnect_max_us;
  unsigned max_peers;  // incoming links past it are refused with BUSY
  bool insecure;       // may listen beyond this machine also without authentication
} pl_peers_config;

pl_peers *pl_peers_new(pl_loop *loop, const pl_peers_config *config, const pl_peers_ops *ops,
                       void *user);
// All dials, listeners and sessions must be gone (pl_peers_shutdown and its callback).
void pl_peers_free(pl_peers *ps);

// Opens a listener. `detail` (PL_URL_MAX bytes) says what is wrong. FORBIDDEN: beyond this machine
// without `insecure`. *bound (PL_URL_MAX bytes) gets the address really bound.
pl_err pl_peers_listen(pl_peers *ps, const char *url, char *bound, char *detail);
void pl_peers_unlisten_all(pl_peers *ps);

// Result of the first attempt of a dial, exactly once: PL_OK with the peer (borrowed) when a
// session to it is up, also when that is another link than this one; else why it failed, SELF
// included. With `keep` the dial goes on after a failure; without, it ends with its first link or
// its failure.
typedef void pl_dial_fn(pl_dial *d, pl_err err, const char *detail, pl_peer *p, void *user);
// PL_INVALID, PL_UNSUPPORTED, PL_DRAINING with `detail` (PL_URL_MAX bytes) set. `done` may be NULL.
// Dialling an address that is already kept shares the attempts, and begins one at once when that
// was waiting, or had been told not to come back. What the newer one says of the cost counts.
pl_err pl_peers_dial(pl_dial **out, pl_peers *ps, const char *url, bool keep, pl_dial_fn *done,
                     void *user, char *detail);
// Ends the dial; its `done` is called with CANCELLED from the loop if it was still due. Links stay
// up. The handle is gone with this call, or that of `done`; one without `keep` is gone after `done`
// anyway, and all are after pl_peers_shutdown.
void pl_dial_stop(pl_dial *d);
// The same; and if no dial to its peer is left, the link that they brought is given up: it goes
// when the last circuit on it has ended. If the other end keeps it, it dials anew.
void pl_dial_unkeep(pl_dial *d);
// The address as pl_url_format writes it; borrowed. Dials of one address share their attempts.
const char *pl_dial_address(const pl_dial *d);
// If it was told not to come back, it is tried anew. Errors as of pl_peers_dial.
pl_err pl_dial_wake(pl_dial *d);

// The keys changed: dials that were refused as unauthorized try again at once.
void pl_peers_retry_refused(pl_peers *ps);

// The peer of that id; NULL when there is none.
pl_peer *pl_peers_find(pl_peers *ps, const pl_id *id);
// Walks all peers: start with NULL. The set must not change meanwhile.
pl_peer *pl_peers_next(pl_peers *ps, pl_peer *after);
size_t pl_peers_up(const pl_peers *ps);

const pl_id *pl_peer_id(const pl_peer *p);  // zero while it was never up
const char *pl_peer_name(const pl_peer *p);
pl_role pl_peer_role(const pl_peer *p);
uint64_t pl_peer_epoch(const pl_peer *p);
pl_bytes pl_peer_addresses(const pl_peer *p);  // raw MessagePack array of its hello
pl_peer_state pl_peer_status(const pl_peer *p);
pl_session *pl_peer_session(const pl_peer *p);  // NULL unless up
// What its link costs by the addresses at which it was accepted, or at which the peer is dialled:
// the greatest of it, microseconds; 0: they say nothing.
uint32_t pl_peer_cost_us(const pl_peer *p);
pl_peer *pl_peer_hold(pl_peer *p);
void pl_peer_drop(pl_peer *p);
void pl_peer_set_data(pl_peer *p, void *data);
void *pl_peer_data(const pl_peer *p);
// The neighbour told a new name or role (advert of kind "node").
void pl_peer_update(pl_peer *p, const char *name, pl_role role);
// The neighbour goes on under a greater epoch.
void pl_peer_renew(pl_peer *p, uint64_t epoch);

// Ends the dials to a peer, and gives up the link that they brought as pl_dial_unkeep does.
void pl_peer_unkeep(pl_peer *p);
// Ends the links to a peer and, unless `allow_reconnect`, the dials to it. With `abort` without a
// goodbye.
void pl_peer_disconnect(pl_peer *p, const char *reason, bool allow_reconnect, bool abort);

// The id of this node is another's: closes all links. Dials go on.
void pl_peers_yield(pl_peers *ps);

// The layer above has no circuit on `s` any more, or none that it opened (see ops.circuits).
void pl_peers_idle(pl_peers *ps, pl_session *s);

// Stops dials and listeners and closes all sessions with `code` and `reason`; `done` follows from
// the loop when the last is gone. PL_DRAINING: everything that was asked is answered, so what comes
// after was not executed.
void pl_peers_shutdown(pl_peers *ps, pl_err code, const char *reason, void (*done)(void *user),
                       void *user);
