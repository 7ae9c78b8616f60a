// The admin listener: GET of /metrics, /health and /ready over HTTP/1, for this machine alone. One
// request a connection. Loop thread only.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

typedef struct pl_admin pl_admin;

// One that asks for /metrics.
typedef struct pl_admin_ask pl_admin_ask;

typedef struct pl_admin_ops {
  // Wants what /metrics answers: pl_admin_tell follows, from here or later, also after
  // pl_admin_close.
  void (*want_metrics)(pl_admin_ask *ask, void *user);
  // Why it does not serve: "loading", "draining"; NULL: it does.
  const char *(*why_not_ready)(void *user);
} pl_admin_ops;

// `address` is HOST:PORT, or the URL of a listener. `bound` (PL_URL_MAX bytes) gets the one that it
// has. FORBIDDEN for one that other machines can reach, and as pl_listener_open, with `detail`
// (PL_URL_MAX bytes).
pl_err pl_admin_open(pl_admin **out, pl_loop *loop, const char *address, const pl_admin_ops *ops,
                     void *user, char *bound, char *detail);
// `text` NULL: there is no memory for it. Once; `ask` is gone then.
void pl_admin_tell(pl_admin_ask *ask, const pl_buf *text);
// Accepts no more, and cuts who is there; `done` follows once it is gone, and all are told.
void pl_admin_close(pl_admin *a, void (*done)(void *user), void *user);
