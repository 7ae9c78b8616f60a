#include "base/pages.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

static atomic_size_t mapped;

static char *map(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

// As a part of one twice as large.
static void *map_in_larger(size_t size) {
  char *p = map(2 * size);
  if (p == NULL) return NULL;
  size_t lead = (size - (uintptr_t)p % size) % size;
  if (lead > 0) munmap(p, lead);
  munmap(p + lead + size, size - lead);
  return p + lead;
}

// The system puts one beside the other, so that after the first most fall into place.
void *pl_pages_map(size_t size) {
  assert((size & (size - 1)) == 0);
  char *p = map(size);
  if (p != NULL && (uintptr_t)p % size != 0) {
    munmap(p, size);
    p = map_in_larger(size);
  }
  if (p != NULL) atomic_fetch_add_explicit(&mapped, size, memory_order_relaxed);
  return p;
}

void pl_pages_unmap(void *pages, size_t size) {
  munmap(pages, size);
  atomic_fetch_sub_explicit(&mapped, size, memory_order_relaxed);
}

size_t pl_pages_bytes(void) {
  return atomic_load_explicit(&mapped, memory_order_relaxed);
}
