// The file work of scripts, on threads of its own: what may block for seconds (a network file
// system, a name server that is silent) blocks one of at most PL_FILE_THREADS threads and never
// the loop or libuv's pool. Threads are started on demand, end when idle, and hold up no exit.
//
//   IDLE --submit--> QUEUED --> RUNNING --> DONE --> IDLE and `done`
//                       |          |          |
//                       +--cancel--+----------+--> `discard`, at once or when the thread returns
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"

typedef struct pl_filejob pl_filejob;
typedef struct pl_fileport pl_fileport;

typedef struct pl_filejob_type {
  void (*run)(pl_filejob *job);   // on a thread of the pool; touches nothing but the job
  void (*done)(pl_filejob *job);  // on the loop thread, from the loop, exactly once
  // Nobody waits any more: frees the job and what it opened. On any thread.
  void (*discard)(pl_filejob *job);
  bool slow;  // may take half of the threads only, so that lookups leave room for files
} pl_filejob_type;

typedef enum pl_filejob_state {
  PL_FILEJOB_IDLE,
  PL_FILEJOB_QUEUED,
  PL_FILEJOB_RUNNING,
  PL_FILEJOB_DONE,
} pl_filejob_state;

// Embedded in the object that the work is about. All but `type` is private.
struct pl_filejob {
  const pl_filejob_type *type;
  pl_list node;
  pl_fileport *port;  // NULL when nobody waits
  pl_filejob_state state;
};

// Where a loop hears of finished jobs. It keeps the loop alive while jobs are pending. NULL when
// the system has no descriptor for it. Loop thread only, as everything below.
pl_fileport *pl_fileport_new(pl_loop *loop);
// No job may be pending. The memory goes with the next turn of the loop.
void pl_fileport_close(pl_fileport *port);

// PL_BUSY: the queue is full, or the system gives no thread; nothing has changed then.
pl_err pl_filework_submit(pl_fileport *port, pl_filejob *job);
// Work whose end nobody waits for: run, then discard. Any thread.
pl_err pl_filework_post(pl_filejob *job);
// The waiter leaves: `done` will not be called. Legal in every state; after it the job is not the
// caller's any more.
void pl_filework_cancel(pl_filejob *job);
