#include "lua/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct pl_alloc_block {
  struct pl_alloc_block *next;
} block;

typedef struct pl_alloc_slab {
  struct pl_alloc_slab *next;
  char align[8];  // what follows is a multiple of 16
} slab;

static const size_t LARGEST = (size_t)1 << 40;  // one block; what asks for more is refused at once

enum { SLAB_BYTES = 32 * 1024, POOLED_MAX = PL_ALLOC_STEP * PL_ALLOC_CLASSES };

// The address sanitizer sees single blocks only: there each one is the general allocator's.
#if defined(__SANITIZE_ADDRESS__)
enum { POOLED = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { POOLED = 0 };
#else
enum { POOLED = 1 };
#endif
#else
enum { POOLED = 1 };
#endif

static size_t class_of(size_t size) {
  return (size - 1) / PL_ALLOC_STEP;
}

static bool is_pooled(size_t size) {
  return POOLED && size <= POOLED_MAX;
}

static void put(pl_alloc_state *a, void *p, size_t class) {
  block *b = p;
  b->next = a->free[class];
  a->free[class] = b;
}

// What is left of the old slab goes to the free list of its size.
static bool add_slab(pl_alloc_state *a) {
  slab *s = malloc(SLAB_BYTES);
  if (s == NULL) return false;
  if (a->fresh_left >= PL_ALLOC_STEP) put(a, a->fresh, class_of(a->fresh_left));
  s->next = a->slabs;
  a->slabs = s;
  a->fresh = (char *)(s + 1);
  a->fresh_left = SLAB_BYTES - sizeof *s;
  return true;
}

static void *take_fresh(pl_alloc_state *a, size_t class) {
  size_t size = (class + 1) * PL_ALLOC_STEP;
  if (a->fresh_left < size && !add_slab(a)) return NULL;
  void *p = a->fresh;
  a->fresh += size;
  a->fresh_left -= size;
  return p;
}

static void *get(pl_alloc_state *a, size_t size) {
  if (!is_pooled(size)) return malloc(size);
  size_t class = class_of(size);
  block *b = a->free[class];
  if (b == NULL) return take_fresh(a, class);
  a->free[class] = b->next;
  return b;
}

static void release(pl_alloc_state *a, void *p, size_t size) {
  if (p == NULL) return;
  if (is_pooled(size)) {
    put(a, p, class_of(size));
  } else {
    free(p);
  }
}

static void *resize(pl_alloc_state *a, void *p, size_t old_size, size_t size) {
  bool was_pooled = is_pooled(old_size), pooled = is_pooled(size);
  if (!was_pooled && !pooled) return realloc(p, size);
  if (was_pooled && pooled && class_of(old_size) == class_of(size)) return p;
  void *q = get(a, size);
  // Shrinking must not fail: the block stays where it is, and is too large for its class.
  if (q == NULL) return size < old_size ? p : NULL;
  memcpy(q, p, old_size < size ? old_size : size);
  release(a, p, old_size);
  return q;
}

void *pl_alloc_lua(void *ud, void *p, size_t old_size, size_t size) {
  pl_alloc_state *a = ud;
  if (p == NULL) old_size = 0;  // for a new block Lua passes its type here
  if (size == 0) {
    release(a, p, old_size);
    a->used -= old_size;
    return NULL;
  }
  if (size > LARGEST) return NULL;
  // Shrinking must not fail, so it is never refused.
  if (a->enforce && size > old_size && a->limit != 0 &&
      (a->used >= a->limit || size - old_size > a->limit - a->used)) {
    return NULL;
  }
  void *q = old_size == 0 ? get(a, size) : resize(a, p, old_size, size);
  if (q == NULL) return NULL;
  a->used = a->used - old_size + size;
  return q;
}

void pl_alloc_fini(pl_alloc_state *a) {
  while (a->slabs != NULL) {
    slab *s = a->slabs;
    a->slabs = s->next;
    free(s);
  }
  *a = (pl_alloc_state){0};
}
