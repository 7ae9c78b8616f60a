#include "base/pages.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

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
  if (p == NULL || (uintptr_t)p % size == 0) return p;
  munmap(p, size);
  return map_in_larger(size);
}

void pl_pages_unmap(void *pages, size_t size) {
  munmap(pages, size);
}
