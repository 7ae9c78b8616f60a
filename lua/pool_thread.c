// A thread of the pool: its VMs, and the jobs that it does in them.

#include <errno.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/thread.h"
#include "lua/pool_impl.h"

enum { STACK_BYTES = 8 * 1024 * 1024 };  // as much as a main thread has: Lua recurses in C

static pl_pool *const pool = &pl_the_pool;

typedef struct held {
  pl_list node;
  pl_offload_vm *vm;
  pl_employer *employer;
  size_t texts;  // of the VM, that its employer has
  size_t bytes;  // that it held after its last job
} held;

typedef struct worker {
  pl_list vms;  // of held, the one used last first
  unsigned count;
} worker;

// VMs. With the lock held, which is given up meanwhile.

static void close_vm(worker *w, held *h) {
  pl_list_remove(&h->node);
  w->count--;
  pool->vms--;
  pool->bytes -= h->bytes;
  pthread_mutex_unlock(&pool->lock);
  pl_offload_vm_free(h->vm);
  pthread_mutex_lock(&pool->lock);
  pl_employer_unuse(h->employer);
  pl_free(h);
}

// Those of scripts, or generations, that are no more. True when there was any.
static bool close_stale(worker *w) {
  for (pl_list *n = w->vms.next; n != &w->vms; n = n->next) {
    held *h = pl_container(n, held, node);
    if (!h->employer->closed) continue;
    close_vm(w, h);
    return true;
  }
  return false;
}

static void close_all(worker *w) {
  while (!pl_list_empty(&w->vms))
    close_vm(w, pl_container(w->vms.next, held, node));
}

static held *find_vm(worker *w, const pl_employer *e) {
  for (pl_list *n = w->vms.next; n != &w->vms; n = n->next) {
    held *h = pl_container(n, held, node);
    if (h->employer != e) continue;
    pl_list_remove(&h->node);
    pl_list_push_front(&w->vms, &h->node);
    return h;
  }
  return NULL;
}

static held *make_vm(worker *w, pl_employer *e) {
  if (w->count >= PL_OFFLOAD_VMS) close_vm(w, pl_container(w->vms.prev, held, node));
  pl_origins texts = {0};
  pl_texts_of_add(&texts, &e->texts, 0);
  e->used++;
  pthread_mutex_unlock(&pool->lock);
  pl_offload_vm *vm = pl_offload_vm_new(&e->options, NULL, &texts);
  pthread_mutex_lock(&pool->lock);
  if (vm == NULL) {
    pl_employer_unuse(e);
    return NULL;
  }
  held *h = pl_new(held);
  h->vm = vm;
  h->employer = e;
  pl_list_push_front(&w->vms, &h->node);
  w->count++;
  pool->vms++;
  return h;
}

// Jobs.

static void tell_texts(held *h) {
  const pl_origins *texts = pl_offload_vm_texts(h->vm);
  pl_texts_of_add(&h->employer->texts, texts, h->texts);
  h->texts = texts->count;
}

static void do_job(worker *w, pl_pooled *p) {
  pl_employer *e = p->employer;
  held *h = find_vm(w, e);
  if (h == NULL) h = make_vm(w, e);
  uint64_t began = uv_hrtime();
  if (h == NULL) {
    pl_offload_job_refuse(&p->job);
  } else {
    pthread_mutex_unlock(&pool->lock);
    pl_offload_vm_run(h->vm, &p->job);
    pthread_mutex_lock(&pool->lock);
    tell_texts(h);
  }
  // Who waits is told before the garbage goes.
  if (pl_pool_end(p, (uv_hrtime() - began) / 1000)) {
    pthread_mutex_unlock(&pool->lock);
    p->type->discard(p);
    pthread_mutex_lock(&pool->lock);
  }
  if (h == NULL) return;
  pthread_mutex_unlock(&pool->lock);
  bool fit = pl_offload_vm_is_fit(h->vm);
  size_t bytes = pl_offload_vm_memory(h->vm);
  pthread_mutex_lock(&pool->lock);
  pool->bytes += bytes - h->bytes;
  h->bytes = bytes;
  if (!fit) close_vm(w, h);
}

// False: there was nothing to do for long.
static bool await_work(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += PL_OFFLOAD_IDLE_US / 1000000;
  pool->idle++;
  int rc = pthread_cond_timedwait(&pool->wake, &pool->lock, &until);
  pool->idle--;
  return rc != ETIMEDOUT;
}

static void *work(void *unused) {
  (void)unused;
  worker w = {0};
  pl_list_init(&w.vms);
  pthread_mutex_lock(&pool->lock);
  for (;;) {
    if (close_stale(&w)) continue;
    pl_pooled *p = pl_pool_take();
    if (p != NULL) {
      do_job(&w, p);
    } else if (!await_work() && pl_list_empty(&pool->employers)) {
      break;
    }
  }
  pool->threads--;
  close_all(&w);
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

// The governor lets its own signal through.
bool pl_pool_start_thread(void) {
  return pl_thread_start(STACK_BYTES, work, NULL);
}
