// The supervisor: which scripts live on worker threads, in how many replicas, and what is done when
// one dies. It belongs to the host of the node. Loop thread only.
//
// A replica:
//
//   WAITING --> LOADING --> SERVING --+--> ENDED    its script has ended by itself
//      ^           |           |      |
//      +-----------+-----------+      +--> WAITING  it died: again after a pause
//      |                              +--> GIVEN_UP it died too often
//      +--> FAILED  it could not even be loaded the first time
//
// A replica dies when its memory is full and stays so, when its script cannot be loaded again, and
// with its thread. A thread that does not turn its loop for as long as a neighbour may be silent
// (heartbeat x heartbeat_misses) is given up: its replicas are lost to their callers as a killed
// process is, and live again on a thread made in its place.
#pragma once

#include "lua/host.h"
#include "lua/pack.h"

typedef struct pl_workers pl_workers;

// In how many replicas a script lives on worker threads by these options; 0: it does not.
size_t pl_workers_replicas(const pl_options *o, const char *path);
// Every script that the options name is among the paths. INVALID with `detail` (PL_URL_MAX bytes).
pl_err pl_workers_check(const pl_options *o, const char *const *paths, size_t count, char *detail);

pl_workers *pl_workers_new(pl_host *h, pl_loop *loop, const pl_host_ops *ops, void *user);
// Before it starts, or after pl_host_workers_over.
void pl_workers_free(pl_workers *ws);

// Before it starts. INVALID with `detail`: the options allow no threads.
pl_err pl_workers_add(pl_workers *ws, const char *path, const char *const *args, size_t count,
                      size_t replicas, char *detail);
// The files of the scripts are watched. Before it starts.
void pl_workers_watch(pl_workers *ws);
// The node has joined: makes threads and replicas. An error of the system goes to `detail`.
pl_err pl_workers_start(pl_workers *ws, char *detail);
// Ends all replicas. pl_host_workers_over follows, also if nothing was started. Again, with less:
// sooner.
void pl_workers_stop(pl_workers *ws, uint64_t drain_us);

typedef enum pl_workers_state {
  PL_WORKERS_LOADING,   // not all have been loaded the first time
  PL_WORKERS_ALIVE,     // one at least lives, or will again
  PL_WORKERS_ENDED,     // all have ended
  PL_WORKERS_GIVEN_UP,  // the same, some because they died too often
  PL_WORKERS_FAILED,    // one could not be loaded the first time
} pl_workers_state;
pl_workers_state pl_workers_status(const pl_workers *ws);

// One answer to pl_workers_reload: one encoded map as of pl_reload_report_encode, borrowed; empty:
// the replica died meanwhile.
typedef void pl_workers_reloaded(pl_bytes report, void *user);
// Reloads all replicas that serve, of one script or (NULL) of all. Returns how many; each is told
// once, from the loop, unless it is forgotten. `done` may be NULL.
size_t pl_workers_reload(pl_workers *ws, const char *path, pl_workers_reloaded *done, void *user);
// Who asked with that `user` is told no more.
void pl_workers_forget(pl_workers *ws, const void *user);
// The paths of the scripts, one a replica; NULL ends.
const char *pl_workers_path(const pl_workers *ws, size_t i);
// Whether it has a script with that path.
bool pl_workers_have(const pl_workers *ws, const char *path);

// A list of all replicas and how they are.
void pl_workers_pack(const pl_workers *ws, pl_pack *k);
