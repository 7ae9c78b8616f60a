#include "lua/filework.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/thread.h"

enum {
  IDLE_SECONDS = 5,  // an idle thread ends: a node that touches no files has no threads
  STACK_BYTES = 1024 * 1024,
  SLOW_THREADS = PL_FILE_THREADS / 2,
};

struct pl_fileport {
  uv_async_t async;
  pl_loop *loop;
  pl_list done;      // of pl_filejob, guarded by the lock of the pool
  unsigned pending;  // jobs submitted and neither delivered nor cancelled
};

// One pool for all loops of the process.
static struct {
  pthread_once_t once;
  pthread_mutex_t lock;  // guards all below, the lists of the ports and the state of jobs
  pthread_cond_t wake;
  pl_list quick, slow;  // of pl_filejob, oldest first
  unsigned queued;      // in both
  unsigned threads, idle, slow_running;
} pool = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static void pool_init(void) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&pool.wake, &attr);
  pthread_condattr_destroy(&attr);
  pl_list_init(&pool.quick);
  pl_list_init(&pool.slow);
}

static pl_filejob *next_job(void) {
  pl_list *node = pl_list_pop(&pool.quick);
  if (node == NULL && pool.slow_running < SLOW_THREADS) node = pl_list_pop(&pool.slow);
  if (node == NULL) return NULL;
  pool.queued--;
  return pl_container(node, pl_filejob, node);
}

// Waits for a job with the lock held; NULL when none came for a while.
static pl_filejob *await_job(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += IDLE_SECONDS;
  for (;;) {
    pl_filejob *job = next_job();
    if (job != NULL) return job;
    pool.idle++;
    int rc = pthread_cond_timedwait(&pool.wake, &pool.lock, &until);
    pool.idle--;
    if (rc == ETIMEDOUT) return next_job();
  }
}

// Hands the finished job to whoever waits; true when that is nobody.
static bool deliver(pl_filejob *job) {
  if (job->port == NULL) return true;
  job->state = PL_FILEJOB_DONE;
  pl_list_push(&job->port->done, &job->node);
  // Inside the lock: the port cannot be closed before the job was taken out.
  uv_async_send(&job->port->async);
  return false;
}

static void *work(void *unused) {
  (void)unused;
  pthread_mutex_lock(&pool.lock);
  for (pl_filejob *job; (job = await_job()) != NULL;) {
    bool slow = job->type->slow;
    pool.slow_running += slow;
    job->state = PL_FILEJOB_RUNNING;
    pthread_mutex_unlock(&pool.lock);
    job->type->run(job);
    pthread_mutex_lock(&pool.lock);
    pool.slow_running -= slow;
    if (slow && !pl_list_empty(&pool.slow)) pthread_cond_signal(&pool.wake);
    if (deliver(job)) {
      pthread_mutex_unlock(&pool.lock);
      job->type->discard(job);
      pthread_mutex_lock(&pool.lock);
    }
  }
  pool.threads--;
  pthread_mutex_unlock(&pool.lock);
  return NULL;
}

static pl_err enqueue(pl_fileport *port, pl_filejob *job) {
  pthread_once(&pool.once, pool_init);
  pthread_mutex_lock(&pool.lock);
  pl_err err = pool.queued >= PL_FILE_QUEUE ? PL_BUSY : PL_OK;
  // A woken thread still counts as idle, hence the comparison and not a test for any.
  if (err == PL_OK && pool.queued >= pool.idle && pool.threads < PL_FILE_THREADS) {
    if (pl_thread_start(STACK_BYTES, work, NULL)) {
      pool.threads++;
    } else if (pool.threads == 0) {
      err = PL_BUSY;
    }
  }
  if (err == PL_OK) {
    job->port = port;
    job->state = PL_FILEJOB_QUEUED;
    pl_list_push(job->type->slow ? &pool.slow : &pool.quick, &job->node);
    pool.queued++;
    pthread_cond_signal(&pool.wake);
  }
  pthread_mutex_unlock(&pool.lock);
  if (err != PL_OK && port != NULL) port->loop->metrics.file_work_refused++;
  return err;
}

static void settle(pl_fileport *port) {
  assert(port->pending > 0);
  if (--port->pending == 0) uv_unref((uv_handle_t *)&port->async);
}

static pl_filejob *take_done(pl_fileport *port) {
  pthread_mutex_lock(&pool.lock);
  pl_list *node = pl_list_pop(&port->done);
  pl_filejob *job = node != NULL ? pl_container(node, pl_filejob, node) : NULL;
  if (job != NULL) {
    job->state = PL_FILEJOB_IDLE;
    job->port = NULL;
  }
  pthread_mutex_unlock(&pool.lock);
  return job;
}

// One at a time: `done` may cancel any other job.
static void on_async(uv_async_t *async) {
  pl_fileport *port = pl_container(async, pl_fileport, async);
  for (pl_filejob *job; (job = take_done(port)) != NULL;) {
    settle(port);
    job->type->done(job);
  }
}

pl_fileport *pl_fileport_new(pl_loop *loop) {
  assert(loop->uv != NULL);
  pl_fileport *port = pl_new(pl_fileport);
  if (uv_async_init(loop->uv, &port->async, on_async) != 0) {
    pl_free(port);
    return NULL;
  }
  uv_unref((uv_handle_t *)&port->async);
  port->loop = loop;
  pl_list_init(&port->done);
  return port;
}

static void on_closed(uv_handle_t *handle) {
  pl_free(pl_container(handle, pl_fileport, async));
}

void pl_fileport_close(pl_fileport *port) {
  assert(port->pending == 0);
  uv_close((uv_handle_t *)&port->async, on_closed);
}

pl_err pl_filework_submit(pl_fileport *port, pl_filejob *job) {
  assert(job->state == PL_FILEJOB_IDLE);
  pl_err err = enqueue(port, job);
  if (err == PL_OK && port->pending++ == 0) uv_ref((uv_handle_t *)&port->async);
  return err;
}

pl_err pl_filework_post(pl_filejob *job) {
  assert(job->state == PL_FILEJOB_IDLE);
  return enqueue(NULL, job);
}

void pl_filework_cancel(pl_filejob *job) {
  pthread_mutex_lock(&pool.lock);
  pl_fileport *port = job->port;
  bool running = job->state == PL_FILEJOB_RUNNING;
  if (job->state == PL_FILEJOB_QUEUED) pool.queued--;
  if (job->state == PL_FILEJOB_QUEUED || job->state == PL_FILEJOB_DONE) pl_list_remove(&job->node);
  job->port = NULL;
  pthread_mutex_unlock(&pool.lock);
  // From here on a running job is its thread's alone.
  if (port != NULL) settle(port);
  if (!running) job->type->discard(job);
}
