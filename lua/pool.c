// The queue of the pool: who waits, whose turn it is, who is told.

#include "lua/pool.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/pool_impl.h"

enum {
  SETTLE_SECONDS = 2,
  JOB_FIRST_US = 100 * 1000,  // what one takes, before any has ended
  JOB_PART = 8,               // how much the newest says of what the next will take
};

pl_pool pl_the_pool = {
    .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .job_us = JOB_FIRST_US};

static pl_pool *const pool = &pl_the_pool;

void pl_pool_init(void) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->wake, &attr);
  pthread_cond_init(&pool->settled, &attr);
  pthread_condattr_destroy(&attr);
  pl_list_init(&pool->employers);
}

// The queue.

static void dequeue(pl_pooled *p) {
  pl_employer *e = p->employer;
  pl_list_remove(&p->node);
  pool->queued--;
  e->queued--;
  e->queued_bytes -= p->bytes;
  if (e->queued == 0) pl_list_remove(&e->turn);
}

pl_pooled *pl_pool_take_of(pl_employer *e) {
  pl_pooled *p = pl_container(e->jobs.next, pl_pooled, node);
  dequeue(p);
  p->state = PL_POOLED_RUNNING;
  pool->running++;
  e->running++;
  e->used++;
  return p;
}

pl_pooled *pl_pool_take(void) {
  for (pl_list *n = pool->employers.next; n != &pool->employers; n = n->next) {
    pl_employer *e = pl_container(n, pl_employer, turn);
    if (e->running >= e->threads) continue;
    pl_list_remove(n);
    pl_list_push(&pool->employers, n);  // behind the others
    return pl_pool_take_of(e);
  }
  return NULL;
}

bool pl_pool_end(pl_pooled *p, uint64_t took_us) {
  pl_employer *e = p->employer;
  pool->running--;
  e->running--;
  if (took_us > 0) pool->job_us = (pool->job_us * (JOB_PART - 1) + took_us) / JOB_PART;
  bool abandoned = atomic_load_explicit(&p->job.abandoned, memory_order_relaxed);
  if (!abandoned) {
    p->state = PL_POOLED_DONE;
    pl_list_push(&e->done, &p->node);
    // Inside the lock: nobody closes it as long as there is a job that is waited for.
    if (e->loop->uv != NULL) uv_async_send(&e->async);
  }
  pl_employer_unuse(e);
  return abandoned;
}

static bool has_room(const pl_employer *e, size_t bytes) {
  if (e->queued == 0) return true;
  return e->queued < PL_OFFLOAD_QUEUE && bytes <= PL_OFFLOAD_BYTES &&
         e->queued_bytes <= PL_OFFLOAD_BYTES - bytes;
}

// False: there is no thread at all.
static bool provide_thread(unsigned threads) {
  // A woken thread still counts as idle, hence the comparison and not a test for any.
  if (pool->queued < pool->idle || pool->threads >= threads) return true;
  if (pl_pool_start_thread()) pool->threads++;
  return pool->threads > 0;
}

static pl_err enqueue(pl_employer *e, pl_pooled *p, unsigned threads) {
  if (!has_room(e, p->bytes)) return PL_BUSY;
  if (e->loop->uv != NULL && !provide_thread(threads)) return PL_BUSY;
  e->threads = threads;
  p->employer = e;
  p->state = PL_POOLED_QUEUED;
  atomic_store_explicit(&p->job.abandoned, false, memory_order_relaxed);
  pl_list_push(&e->jobs, &p->node);
  e->queued_bytes += p->bytes;
  pool->queued++;
  if (e->queued++ == 0 && e->loop->uv != NULL) pl_list_push(&pool->employers, &e->turn);
  pthread_cond_signal(&pool->wake);
  return PL_OK;
}

pl_err pl_pool_submit(pl_employer *e, pl_pooled *p, unsigned threads) {
  assert(p->state == PL_POOLED_IDLE);
  p->bytes = pl_buf_len(&p->job.args) + pl_buf_len(&p->job.code);
  pl_employer_give_texts(e);
  pthread_mutex_lock(&pool->lock);
  pl_err err = enqueue(e, p, threads);
  pthread_mutex_unlock(&pool->lock);
  e->loop->metrics.offload_jobs++;
  if (err != PL_OK) {
    e->loop->metrics.offload_refused++;
    return err;
  }
  if (e->loop->uv == NULL) {
    pl_employer_run_local(e);
  } else if (e->pending == 0) {
    uv_ref((uv_handle_t *)&e->async);
  }
  e->pending++;
  return PL_OK;
}

uint32_t pl_pool_retry_ms(const pl_employer *e) {
  pthread_mutex_lock(&pool->lock);
  bool threads = e->loop->uv != NULL && pool->threads > 0;
  uint64_t us = threads ? pool->job_us * e->queued / pool->threads : JOB_FIRST_US * e->queued;
  pthread_mutex_unlock(&pool->lock);
  uint64_t ms = us / 1000 + 1;
  return ms < PL_OFFLOAD_RETRY_MS ? (uint32_t)ms : PL_OFFLOAD_RETRY_MS;
}

// Leaving.

static void settle(pl_employer *e) {
  assert(e->pending > 0);
  if (--e->pending == 0 && e->loop->uv != NULL) uv_unref((uv_handle_t *)&e->async);
}

static pl_pooled *take_done(pl_employer *e) {
  pthread_mutex_lock(&pool->lock);
  pl_list *node = pl_list_pop(&e->done);
  pthread_mutex_unlock(&pool->lock);
  if (node == NULL) return NULL;
  pl_pooled *p = pl_container(node, pl_pooled, node);
  p->state = PL_POOLED_IDLE;
  return p;
}

// One at a time: `done` may cancel any other.
void pl_pool_deliver(pl_employer *e) {
  pl_employer_take_texts(e);
  for (pl_pooled *p; (p = take_done(e)) != NULL;) {
    settle(e);
    p->type->done(p);
  }
}

void pl_pool_cancel(pl_pooled *p) {
  pl_employer *e = p->employer;
  pthread_mutex_lock(&pool->lock);
  pl_pooled_state state = p->state;
  if (state == PL_POOLED_QUEUED) dequeue(p);
  if (state == PL_POOLED_DONE) pl_list_remove(&p->node);
  if (state == PL_POOLED_RUNNING)
    atomic_store_explicit(&p->job.abandoned, true, memory_order_relaxed);
  pthread_mutex_unlock(&pool->lock);
  // From here on one that runs is its thread's alone.
  if (state != PL_POOLED_IDLE) settle(e);
  if (state != PL_POOLED_RUNNING) {
    p->type->discard(p);
  } else if (e->local_job == p) {
    pl_offload_vm_cancel(e->local);
  }
}

void pl_pool_settle(void) {
  pthread_once(&pool->once, pl_pool_init);
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += SETTLE_SECONDS;
  pthread_mutex_lock(&pool->lock);
  int rc = 0;
  while (pool->lingering > 0 && rc != ETIMEDOUT)
    rc = pthread_cond_timedwait(&pool->settled, &pool->lock, &until);
  pthread_mutex_unlock(&pool->lock);
}

void pl_pool_count(pl_metrics *m) {
  pthread_mutex_lock(&pool->lock);
  m->offload_running_now = pool->running;
  m->offload_queued_now = pool->queued;
  m->offload_vms_now = pool->vms;
  m->offload_bytes_now = pool->bytes;
  pthread_mutex_unlock(&pool->lock);
}
