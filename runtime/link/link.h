// A link moves bytes between two processes, or between two ends in one. Above it nobody
// knows whether that is TCP, a Unix socket or memory. Loop thread only.
//
// Writing gathers: what is appended during a turn of the loop leaves in one system call at its
// end (pl_loop_flush_later). Small frames are copied into the batch, long payloads are
// written from their slice. Reading shares one slab between all links of a loop, so an idle link
// holds no buffer; bytes that do not make a whole frame yet wait in the link. Reading never stops,
// but what was read may be taken in portions.
//
// The first link or listener of a process makes it ignore SIGPIPE, unless it handles that already.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "link/url.h"

typedef struct pl_link pl_link;

// Upcalls. They come from the loop, never from inside a call on the link, and may close it.
typedef struct pl_link_ops {
  // A dialled link is connected. Not called for accepted ones, which are.
  void (*on_open)(pl_link *l, void *user);
  // Returns how many bytes it used; the rest comes again in front of what arrives next. `bytes` has
  // an owner, so parts of it may be kept. Never called after pl_link_close.
  size_t (*on_bytes)(pl_link *l, pl_bytes bytes, void *user);
  // There is room again after the link had been full.
  void (*on_drained)(pl_link *l, void *user);
  // The last upcall, exactly once; the link is freed after it. PL_OK: closed here, or
  // cleanly by the other end; `detail` is a text for people and may be "".
  void (*on_close)(pl_link *l, pl_err why, const char *detail, void *user);
} pl_link_ops;

// Starts to connect. PL_INVALID, PL_UNSUPPORTED (no such scheme) at once with nothing changed;
// everything else comes through on_close. Host names are resolved off the loop.
pl_err pl_link_dial(pl_link **out, pl_loop *loop, const pl_url *url, const pl_link_ops *ops,
                    void *user);

// An accepted link starts without ops and does not read until it gets them. Whoever takes over a
// dialled link gives it his own by this.
void pl_link_start(pl_link *l, const pl_link_ops *ops, void *user);

// In on_bytes that uses some: the others come again when what is queued on the loop by now has run,
// or before anything else that comes.
void pl_link_pause(pl_link *l);

// Room for `n` bytes (at most PL_WRITE_BATCH) at the end of the batch; commit adds what was
// written. Never NULL: a closed link gives a place that leads nowhere.
uint8_t *pl_link_reserve(pl_link *l, size_t n);
void pl_link_commit(pl_link *l, size_t n);
// Appends `b`: by reference when it has an owner and is longer than PL_COPY_MAX, else copied. A
// borrowed long view is copied whole. False: no memory, and the link is closing.
bool pl_link_append(pl_link *l, pl_bytes b);
// Start of the last `n` committed bytes of this turn, to amend them, as long as they are still in
// the batch; else NULL.
uint8_t *pl_link_recent(pl_link *l, size_t n);

// Bytes appended and not yet taken by the system. With those that are kept (below) past
// PL_WRITE_MAX, the link is aborted with PEER_LOST.
size_t pl_link_backlog(const pl_link *l);
// All that it holds: these, and what is kept.
size_t pl_link_held(const pl_link *l);
// Past PL_WRITE_HIGH of the one, or PL_KEPT_HIGH of the other: on_drained will tell when there is
// room.
bool pl_link_is_full(const pl_link *l);

// Writes what is gathered (as far as possible within ~1 s after close, then aborts), then closes.
// Idempotent.
void pl_link_close(pl_link *l);
// Closes at once, dropping what was not written (TCP: with a reset).
void pl_link_abort(pl_link *l, pl_err why, const char *detail);

// In on_close of a dialled link: nobody listens there, or there is no such socket.
bool pl_link_was_refused(const pl_link *l);

// A link whose bytes may have to go on over another one (link/keep.c).
//
// What is appended from here on is counted, and kept after it was written until the other end has
// acknowledged it; also when the link is lost, until on_close has returned.
void pl_link_keep(pl_link *l);
// As pl_link_commit, of bytes that are of use on this link only: neither counted nor kept.
void pl_link_commit_once(pl_link *l, size_t n);
// The other end has received all counted bytes up to `position`. False: it cannot have.
bool pl_link_acknowledge(pl_link *l, uint64_t position);
// The position up to which that is so.
uint64_t pl_link_acknowledged(const pl_link *l);
// Whether pl_link_resume can go on from `position`.
bool pl_link_covers(const pl_link *l, uint64_t position);
// Ends it at once as lost, keeping what is kept.
void pl_link_lose(pl_link *l, pl_err why, const char *detail);
// A link that leads nowhere takes over what `l` keeps and has to write; `l` ends without on_close,
// or, if this is that, with its return. NULL: `l` keeps nothing (not asked to, closed on purpose,
// or out of memory).
pl_link *pl_link_park(pl_link *l);
// `l`, which keeps nothing yet, goes on from `position` with what `parked` has, which ends without
// on_close. False: not covered after all, or no memory: then `parked` is of no more use.
bool pl_link_resume(pl_link *l, pl_link *parked, uint64_t position);

// For people: "tcp://127.0.0.1:50412", "unix:///run/a.sock", "mem://a".
const char *pl_link_remote(const pl_link *l);
const char *pl_link_scheme(const pl_link *l);
// True when the other end is on this machine (loopback, unix, mem): tracebacks may travel.
bool pl_link_is_local(const pl_link *l);
// Unix: the user id of the other end, from the kernel; else -1.
int64_t pl_link_peer_uid(const pl_link *l);
// True when that is another one than this process has, and not root.
bool pl_link_is_foreign(const pl_link *l);

typedef struct pl_listener pl_listener;

typedef struct pl_listener_ops {
  // `l` is handed over; call pl_link_start or pl_link_abort.
  void (*on_accept)(pl_listener *s, pl_link *l, void *user);
  // Accepting failed, e.g. no descriptors left; the listener pauses and tries again by itself.
  void (*on_error)(pl_listener *s, pl_err why, const char *detail, void *user);
} pl_listener_ops;

// Binds and listens at once (numeric hosts, "localhost" and "*"). `detail` (PL_URL_MAX bytes) says
// why it failed. ADDRESS_IN_USE, INVALID, IO_ERROR, UNSUPPORTED. A stale Unix socket is replaced; a
// live one or any other file is not.
pl_err pl_listener_open(pl_listener **out, pl_loop *loop, const pl_url *url,
                        const pl_listener_ops *ops, void *user, char *detail);
// Where a listener at `url` is reached: of fd://N, the place at which the socket is bound that this
// process was given as that descriptor; else `url`. PL_INVALID with `detail` (PL_URL_MAX bytes).
pl_err pl_listener_place(pl_url *out, const pl_url *url, char *detail);
// The address really bound, e.g. with the port that 0 became.
const pl_url *pl_listener_url(const pl_listener *s);
// Accepts no more; frees itself from the loop. A Unix socket is unlinked if it is still the one
// made.
void pl_listener_close(pl_listener *s);

// Two connected ends in memory on one loop: the ends of mem://, and of the node's calls to itself.
// Bytes arrive in later work, copied once, as from a socket.
void pl_link_pair(pl_link **a, pl_link **b, pl_loop *loop);
