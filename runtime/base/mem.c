#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t live;
static atomic_size_t fail_in;  // pl_try_* calls until the one that fails; 0: none will

static void *count(void *block) {
  if (block != NULL) atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
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
  if (block == NULL) {
    fputs("perilune: out of memory\n", stderr);
    abort();
  }
  return block;
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
  atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
  free(block);
}

size_t pl_mem_live(void) {
  return atomic_load_explicit(&live, memory_order_relaxed);
}

void pl_mem_fail_at(size_t n) {
  atomic_store_explicit(&fail_in, n, memory_order_relaxed);
}
