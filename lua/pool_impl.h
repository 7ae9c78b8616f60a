// What the files of the pool share: pool.c (the queue), pool_thread.c, employer.c.
#pragma once

#include <pthread.h>

#include "base/loop.h"
#include "lua/pool.h"

struct pl_employer {
  // Of the loop thread.
  pl_loop *loop;
  uv_async_t async;  // where there are threads
  unsigned pending;  // jobs submitted and neither delivered nor cancelled
  pl_origins *sources;
  const pl_origins *replay;
  size_t sources_given;   // of `sources`, that `texts` has
  size_t texts_taken;     // the other way round
  pl_offload_vm *local;   // in virtual time, when there was a job
  pl_pooled *local_job;   // that runs in it
  pl_work local_work;     // next_local
  pl_vm_options options;  // of the VM that asks. Never changes, owned texts

  // Guarded by the lock of the pool.
  pl_list turn;  // in pool.employers while jobs are queued
  pl_list jobs;  // of pl_pooled, oldest first
  pl_list done;  // of pl_pooled
  size_t queued, queued_bytes;
  pl_origins texts;  // that modules were loaded from, in any VM of it
  unsigned threads;  // that it may use at once,
  unsigned running;  // and does
  size_t used;       // VMs, and jobs that run
  bool closed;       // by who asks
  bool gone;         // the loop has let go of it, too
};

// Tells who waits for the jobs of `done`.
void pl_pool_deliver(pl_employer *e);

// One for the process. `lock` guards all of it.
typedef struct pl_pool {
  pthread_mutex_t lock;
  pthread_cond_t wake;     // for threads
  pthread_cond_t settled;  // `lingering` has become 0
  pl_list employers;       // of pl_employer.turn
  size_t queued, running;
  unsigned threads, idle;
  size_t vms, bytes;  // that threads keep, and what these held after their last job
  size_t lingering;   // sum of `used` of those that are closed
  uint64_t job_us;    // how long one takes, about
  pthread_once_t once;
} pl_pool;

extern pl_pool pl_the_pool;

void pl_pool_init(void);  // by pthread_once

// With the lock held, as those that follow.
// Takes the next job of one that has some, which runs then.
pl_pooled *pl_pool_take_of(pl_employer *e);
// The same of the one whose turn it is; NULL: there is none that may have one more.
pl_pooled *pl_pool_take(void);
// It has taken so long; 0: who knows. True when nobody wants it: to be discarded without the lock.
bool pl_pool_end(pl_pooled *p, uint64_t took_us);
// A VM of the employer, or a job, is no more. May free the employer.
void pl_employer_unuse(pl_employer *e);
// Copies of what `from` has from `first` on and `to` has not.
void pl_texts_of_add(pl_origins *to, const pl_origins *from, size_t first);

// pool_thread.c: starts one; false: the system has none.
bool pl_pool_start_thread(void);

// employer.c, without the lock: soon runs queued jobs of one, in virtual time.
void pl_employer_run_local(pl_employer *e);
// Loop thread: texts that are new on either side.
void pl_employer_give_texts(pl_employer *e);
void pl_employer_take_texts(pl_employer *e);
