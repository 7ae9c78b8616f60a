#include "base/mem.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Each thread counts for itself, as one shared counter costs as much as the allocation.
// A count may be negative: what one thread allocates another may free.
typedef struct tally {
  struct tally *next;  // of all
  struct tally *idle;  // of those whose thread has ended
  atomic_long live;    // written by its thread alone
} tally;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;  // guards the two lists
static tally *tallies;
static tally *idle_tallies;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local tally *mine;

static atomic_size_t fail_in;  // pl_try_* calls until the one that fails; 0: none will

static void out_of_memory(void) {
  fputs("perilune: out of memory\n", stderr);
  abort();
}

static void on_thread_end(void *arg) {
  tally *t = arg;
  mine = NULL;
  pthread_mutex_lock(&mutex);
  t->idle = idle_tallies;
  idle_tallies = t;
  pthread_mutex_unlock(&mutex);
}

static void make_key(void) {
  if (pthread_key_create(&thread_end, on_thread_end) != 0) out_of_memory();
}

// The tally of a thread that counts for the first time, its sum as its last thread left it.
static tally *enlist(void) {
  pthread_once(&once, make_key);
  pthread_mutex_lock(&mutex);
  tally *t = idle_tallies;
  if (t != NULL) {
    idle_tallies = t->idle;
  } else {
    t = calloc(1, sizeof *t);
    if (t == NULL) out_of_memory();
    t->next = tallies;
    tallies = t;
  }
  pthread_mutex_unlock(&mutex);
  if (pthread_setspecific(thread_end, t) != 0) out_of_memory();
  return mine = t;
}

static void add(long blocks) {
  tally *t = mine != NULL ? mine : enlist();
  long live = atomic_load_explicit(&t->live, memory_order_relaxed);
  atomic_store_explicit(&t->live, live + blocks, memory_order_relaxed);
}

static void *count(void *block) {
  if (block != NULL) add(1);
  return block;
}

static bool injected(void) {
  size_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
  while (left > 0) {
    if (atomic_compare_exchange_weak_explicit(&fail_in, &left, left - 1, memory_order_relaxed,
                                              memory_order_relaxed)) {
      return left == 1;
    }
  }
  return false;
}

void *pl_alloc(size_t size) {
  void *block = count(calloc(1, size > 0 ? size : 1));
  if (block == NULL) out_of_memory();
  return block;
}

void pl_mem_tune(void) {
  enum { MIB = 1024 * 1024 };
  mallopt(M_MMAP_THRESHOLD, 4 * MIB);
  mallopt(M_TRIM_THRESHOLD, 16 * MIB);
}

void pl_mem_trim(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

void *pl_try_alloc(size_t size) {
  if (injected()) return NULL;
  return count(malloc(size > 0 ? size : 1));
}

void *pl_try_realloc(void *old, size_t size) {
  if (old == NULL) return pl_try_alloc(size);
  if (injected()) return NULL;
  return realloc(old, size > 0 ? size : 1);
}

char *pl_strdup(const char *text) {
  size_t size = strlen(text) + 1;
  return memcpy(pl_alloc(size), text, size);
}

void pl_free(void *block) {
  if (block == NULL) return;
  add(-1);
  free(block);
}

size_t pl_mem_live(void) {
  long live = 0;
  pthread_mutex_lock(&mutex);
  for (tally *t = tallies; t != NULL; t = t->next) {
    live += atomic_load_explicit(&t->live, memory_order_relaxed);
  }
  pthread_mutex_unlock(&mutex);
  return live > 0 ? (size_t)live : 0;
}

void pl_mem_fail_at(size_t n) {
  atomic_store_explicit(&fail_in, n, memory_order_relaxed);
}
