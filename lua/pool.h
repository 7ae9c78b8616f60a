// The threads on which offloaded code runs, of all VMs of the process. They are started on demand,
// as many as who asks allows, and end when there was nothing to do for long. Each keeps some VMs,
// of one generation of a script each (lua/offload.h). Scripts take turns: a free thread does the
// oldest job of the one that has waited longest for its turn.
//
//   IDLE --submit--> QUEUED --> RUNNING --> DONE --> IDLE and `done`
//                       |          |          |
//                       +--cancel--+----------+--> `discard`, at once or when the code has ended
//
// Where time is virtual there are no threads: jobs run one after the other on the loop.
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/metric.h"
#include "lua/offload.h"

typedef struct pl_employer pl_employer;
typedef struct pl_pooled pl_pooled;

typedef struct pl_pooled_type {
  void (*done)(pl_pooled *p);     // on the loop thread, from the loop, exactly once
  void (*discard)(pl_pooled *p);  // nobody waits any more: frees it. On any thread
} pl_pooled_type;

typedef enum pl_pooled_state {
  PL_POOLED_IDLE,
  PL_POOLED_QUEUED,
  PL_POOLED_RUNNING,
  PL_POOLED_DONE,
} pl_pooled_state;

// Embedded in the object of who waits. All but `type` and `job` is private.
struct pl_pooled {
  const pl_pooled_type *type;
  pl_offload_job job;
  pl_list node;
  pl_employer *employer;
  pl_pooled_state state;
  size_t bytes;
};

// The VM that asks, on the thread of its loop, as everything below. NULL: the system has no
// descriptor for it.
pl_employer *pl_employer_new(pl_vm *vm);
// No job of it may be waited for. Its VMs are closed soon, its memory goes after that.
void pl_employer_close(pl_employer *e);

// `threads`: how many may work for it at once. BUSY: too much waits already, or there is no thread;
// nothing has changed then.
pl_err pl_pool_submit(pl_employer *e, pl_pooled *p, unsigned threads);
// In how many milliseconds there should be room again.
uint32_t pl_pool_retry_ms(const pl_employer *e);
// The waiter leaves: `done` will not be called, and what runs is ended. Legal in every state; after
// it the job is not the caller's any more.
void pl_pool_cancel(pl_pooled *p);

// Waits until nothing is left of employers that were closed; not for long if code does not end that
// cannot be interrupted. For the end of a process.
void pl_pool_settle(void);
// Fills in what threads change.
void pl_pool_count(pl_metrics *m);
