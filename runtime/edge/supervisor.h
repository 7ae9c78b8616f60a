// The service manager that started this process, in the manner of systemd: listening sockets that
// it hands over, and news that it wants to have. It says so by variables of the environment:
// LISTEN_PID, LISTEN_FDS; NOTIFY_SOCKET; WATCHDOG_USEC, WATCHDOG_PID. Loop thread only.
//
// Without them nothing here does anything. A message is a datagram, and waits for a manager that is
// slow for a moment at most.
#pragma once

#include "base/err.h"
#include "base/loop.h"

enum {
  PL_HANDED_FIRST = 3,  // descriptor of the first socket that is handed over
  PL_HANDED_MAX = 64,   // so many sockets
};

typedef struct pl_supervisor pl_supervisor;

// Reads the variables; `get` is getenv or a twin of it. Never NULL: what it cannot use of those for
// news is logged and left, as sd_notify does. `loop` outlives it.
pl_supervisor *pl_supervisor_new(pl_loop *loop, char *(*get)(const char *name));
void pl_supervisor_free(pl_supervisor *s);
// The sockets that are meant for this process: descriptors from PL_HANDED_FIRST on, which listeners
// at fd://3 and so on take. PL_INVALID with `why` (PL_URL_MAX bytes): it is not to be understood.
pl_err pl_supervisor_sockets(unsigned *count, char *(*get)(const char *name), char *why);
// Takes them out of the environment: what this process starts is not the manager's business.
void pl_supervisor_hide(void);

// READY=1: it serves, or a reload is over. From now on the watchdog, if one is wanted, is told
// twice in its time that the loop turns.
void pl_supervisor_ready(pl_supervisor *s);
// RELOADING=1, until it is ready again.
void pl_supervisor_reloading(pl_supervisor *s);
// STOPPING=1: it takes no more requests. Later news are not told, but the watchdog still is.
void pl_supervisor_stopping(pl_supervisor *s);
