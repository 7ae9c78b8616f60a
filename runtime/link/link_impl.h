// What the schemes share: the parts of a link that do not depend on how bytes travel, and the
// contract of a scheme. Internal to link/ and to the simulator, which has a scheme of its own;
// everybody else includes link/link.h. Loop thread only.
//
//     CONNECTING --> OPEN --> CLOSING --> STOPPED --> (on_close, freed)
//         |           |    flush, then       ^
//         |           |    wait for the end  |
//         +-----------+----------------------+  abort, end of the other side, failure
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/loop.h"
#include "link/link.h"
#include "link/outq.h"

enum {
  PL_SLABS = 4,    // read slabs kept for reuse: what is kept of a read rarely lives longer
  PL_PUT_OFF = 4,  // links of which something is put off; what others have read is taken at once
};

// What the links of one loop share. Exists while there is a link or a listener.
typedef struct pl_link_env {
  pl_list node;  // in the list of all loops that have one
  pl_loop *loop;
  unsigned refs;  // links and listeners
  pl_slice *slabs[PL_SLABS];
  unsigned slab;     // read into now
  size_t slab_used;  // bytes of it that somebody keeps views of
  unsigned put_off;  // links with pl_link.more: each keeps a slab
  pl_batch_pool pool;
  pl_list names;     // of mem:// listeners
  uint8_t *nowhere;  // PL_WRITE_BATCH bytes for what is written to closed links
} pl_link_env;

pl_link_env *pl_link_env_hold(pl_loop *loop);
void pl_link_env_drop(pl_link_env *env);

typedef enum pl_link_state {
  PL_LINK_CONNECTING,
  PL_LINK_OPEN,
  PL_LINK_CLOSING,
  PL_LINK_STOPPED,
} pl_link_state;

// What a kind of link implements. None of these may call up.
typedef struct pl_link_type {
  const char *scheme;
  // Begins to read: pl_link_room, pl_link_received, pl_link_end.
  void (*start)(pl_link *l);
  // Writes of l->out what the system takes now, and arranges to go on with the rest. pl_link_wrote.
  void (*flush)(pl_link *l);
  // Everything is written: tells the other end that nothing follows. Reading goes on until its end.
  void (*finish)(pl_link *l);
  // Ends all I/O; l->out is empty from here on. pl_link_stopped follows from the loop.
  void (*stop)(pl_link *l, bool reset);
} pl_link_type;

// Is the first member of the struct of its kind, which pl_alloc made and pl_link_stopped frees.
struct pl_link {
  const pl_link_type *type;
  pl_loop *loop;
  pl_link_env *env;
  const pl_link_ops *ops;  // NULL until an accepted link is started
  void *user;
  pl_link_state state;
  bool local;
  bool reading;
  bool high;      // the backlog was over PL_WRITE_HIGH and on_drained is due
  bool broken;    // writing failed; what can still be read is read
  bool refused;   // nobody listens where it dialled
  bool finished;  // type->finish was called
  int64_t peer_uid;
  char *remote;    // owned
  pl_outq out;     // not yet taken by the system, and what is kept for another link
  pl_slice *rest;  // read and not yet used: a partial frame. NULL when there is none
  pl_bytes more;   // read and put off, one reference; without an owner: none
  bool paused;     // on_bytes wants a pause
  size_t front;    // of the room that was given last: bytes before it that the rest may need
  pl_work flush_work, drained_work, stopped_work, more_work;
  pl_timer timer;  // bounds CLOSING and a broken link
  pl_err why;      // with `detail`, for on_close
  char *detail;    // owned, NULL reads as ""
};

void pl_link_init(pl_link *l, const pl_link_type *type, pl_loop *loop, pl_link_state state);
void pl_link_set_remote(pl_link *l, const char *text);

// Of a scheme to the common part, only from the loop and not from inside a function of the type:
// a dialled link is connected,
void pl_link_opened(pl_link *l);
// `n` bytes were put into the room; may stop the link,
void pl_link_received(pl_link *l, size_t n);
// and after pl_link_stop, nothing more will happen. Frees `l`.
void pl_link_stopped(pl_link *l);

// The same, and also allowed inside functions of the type:
// where to read to, and how much of it; NULL when memory is exhausted, and the link has stopped.
uint8_t *pl_link_room(pl_link *l, size_t *len);
// `n` bytes of the front of l->out are out of our hands.
void pl_link_wrote(pl_link *l, size_t n);
// Some of l->out is gone: whoever waits for that is told.
void pl_link_relax(pl_link *l);
// Writing failed; reading goes on for a moment, because the other end may have said why.
void pl_link_write_failed(pl_link *l, const char *detail);
// The other end is done (PL_OK) or lost, or the dial failed.
void pl_link_end(pl_link *l, pl_err why, const char *detail);
// pl_link_stopped, from the loop.
void pl_link_stopped_later(pl_link *l);
// reading.c: what was read and put off comes now, as far as the link stays open;
void pl_link_take_all(pl_link *l);
// or never.
void pl_link_drop_read(pl_link *l);
// Writes now what can be written now; or at the end of the turn.
void pl_link_flush(pl_link *l);
void pl_link_flush_later(pl_link *l);

typedef struct pl_listener_type {
  // Accepts no more, undoes the name; pl_listener_stopped follows from the loop.
  void (*stop)(pl_listener *s);
} pl_listener_type;

// Is the first member of the struct of its kind.
struct pl_listener {
  const pl_listener_type *type;
  pl_loop *loop;
  pl_link_env *env;
  const pl_listener_ops *ops;
  void *user;
  pl_url url;  // really bound
  bool closed;
};

void pl_listener_init(pl_listener *s, const pl_listener_type *type, pl_loop *loop,
                      const pl_url *url);
void pl_listener_stopped(pl_listener *s);

typedef struct pl_scheme {
  const char *name;
  bool needs_uv;  // does not exist in virtual time
  // The link is CONNECTING. Everything but PL_OK: nothing was made. NULL: only listeners have it.
  pl_err (*dial)(pl_link **out, pl_loop *loop, const pl_url *url);
  // `detail` (PL_URL_MAX bytes) says why it failed. Does not accept before the caller has set the
  // ops.
  pl_err (*listen)(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail);
} pl_scheme;

extern const pl_scheme pl_scheme_tcp;
extern const pl_scheme pl_scheme_unix;
extern const pl_scheme pl_scheme_mem;
extern const pl_scheme pl_scheme_door;
extern const pl_scheme pl_scheme_fd;
