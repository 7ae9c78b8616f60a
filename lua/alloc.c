#include "lua/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pages.h"

typedef struct block {
  struct block *next;
} block;

// Blocks of one size. It begins at a multiple of its length, so that a block finds it. In the list
// of its class while it has room, or in that of the empty ones.
typedef struct pl_alloc_slab {
  struct pl_alloc_slab *next, *prev;
  block *free;    // given back
  uint32_t at;    // where the part begins that was never given out
  uint32_t used;  // blocks
  uint32_t size;  // of a block
  bool listed;
} slab;

// In front of what is not pooled.
typedef struct large {
  pl_slice *pin;  // keeps it, too; NULL: nobody does
  size_t size;    // of what follows; 0: Lua has let go of it
} large;
_Static_assert(sizeof(large) % PL_ALLOC_STEP == 0, "blocks are aligned for anything");

static const size_t LARGEST = (size_t)1 << 40;  // one block; what asks for more is refused at once

enum {
  SLAB_BYTES = 32 * 1024,
  SLAB_HEAD = 64,  // a multiple of 16, as the blocks
  POOLED_MAX = PL_ALLOC_STEP * PL_ALLOC_CLASSES,
  EMPTY_KEPT = 64,  // slabs, or as many as are in use: what is garbage again in a moment
};

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

static void link_slab(slab **list, slab *s) {
  s->prev = NULL;
  s->next = *list;
  if (s->next != NULL) s->next->prev = s;
  *list = s;
  s->listed = true;
}

static void unlink_slab(slab **list, slab *s) {
  if (s->prev != NULL) {
    s->prev->next = s->next;
  } else {
    *list = s->next;
  }
  if (s->next != NULL) s->next->prev = s->prev;
  s->listed = false;
}

// A slab with room for its first block; one that another size has left, if there is any.
static slab *add_slab(pl_alloc_state *a, size_t class) {
  slab *s = a->empty;
  if (s != NULL) {
    unlink_slab(&a->empty, s);
    a->empty_count--;
  } else {
    s = pl_pages_map(SLAB_BYTES);
    if (s == NULL) return NULL;
    a->slab_count++;
  }
  *s = (slab){.at = SLAB_HEAD, .size = (uint32_t)((class + 1) * PL_ALLOC_STEP)};
  link_slab(&a->slabs[class], s);
  return s;
}

static bool is_full(const slab *s) {
  return s->free == NULL && s->at + s->size > SLAB_BYTES;
}

// What is not most of all calls stands apart, so that those need not save registers for it.
#define RARE __attribute__((noinline))

static RARE void *get_fresh(pl_alloc_state *a, size_t class) {
  slab *s = a->slabs[class];
  if (s == NULL && (s = add_slab(a, class)) == NULL) return NULL;
  void *p = (char *)s + s->at;
  s->at += s->size;
  s->used++;
  if (is_full(s)) unlink_slab(&a->slabs[class], s);
  return p;
}

static RARE void *get_last(pl_alloc_state *a, slab *s) {
  void *p = s->free;
  s->free = NULL;
  s->used++;
  if (is_full(s)) unlink_slab(&a->slabs[class_of(s->size)], s);
  return p;
}

static large *large_of(const void *p) {
  return (large *)(uintptr_t)p - 1;
}

static void *take_offer(pl_alloc_state *a) {
  large *b = large_of(a->offered_block);
  *b = (large){.pin = pl_slice_hold(a->offered), .size = a->offered_size};
  a->offered = NULL;
  return b + 1;
}

static RARE void *get_large(pl_alloc_state *a, size_t size) {
  if (a->offered != NULL && a->offered_size == size) {
    a->large += size;
    return take_offer(a);
  }
  large *b = malloc(sizeof *b + size);
  if (b == NULL) return NULL;
  *b = (large){.size = size};
  a->large += size;
  return b + 1;
}

// The pin of a block, as the data of its slice.
static void unpin(pl_slice *s) {
  large *b;
  memcpy(&b, s->data, sizeof b);
  b->pin = NULL;
  if (b->size == 0) free(b);
}

static RARE void release_large(pl_alloc_state *a, void *p) {
  large *b = large_of(p);
  a->large -= b->size;
  b->size = 0;
  if (b->pin == NULL) {
    free(b);
  } else if (b->pin->on_free != unpin) {  // it lies in that slice
    pl_slice_drop(b->pin);
  }
}

// Nothing that can be pinned changes its size.
static void *resize_large(pl_alloc_state *a, void *p, size_t size) {
  assert(large_of(p)->pin == NULL);
  size_t old_size = large_of(p)->size;
  large *b = realloc(large_of(p), sizeof *b + size);
  if (b == NULL) return NULL;
  a->large = a->large - old_size + size;
  b->size = size;
  return b + 1;
}

static inline void *get(pl_alloc_state *a, size_t size) {
  if (!is_pooled(size)) return get_large(a, size);
  size_t class = class_of(size);
  slab *s = a->slabs[class];
  if (s == NULL || s->free == NULL) return get_fresh(a, class);
  block *b = s->free;
  if (b->next == NULL) return get_last(a, s);
  s->free = b->next;
  s->used++;
  return b;
}

static void unmap_empty(pl_alloc_state *a, size_t kept) {
  while (a->empty_count > kept) {
    slab *s = a->empty;
    unlink_slab(&a->empty, s);
    a->empty_count--;
    a->slab_count--;
    pl_pages_unmap(s, SLAB_BYTES);
  }
}

static RARE void retire(pl_alloc_state *a, slab *s) {
  slab **list = &a->slabs[class_of(s->size)];
  if (!s->listed) link_slab(list, s);
  if (s->used > 0) return;
  unlink_slab(list, s);
  link_slab(&a->empty, s);
  a->empty_count++;
  size_t in_use = a->slab_count - a->empty_count;
  unmap_empty(a, in_use > EMPTY_KEPT ? in_use : EMPTY_KEPT);
}

static inline void release(pl_alloc_state *a, void *p, size_t size) {
  if (!is_pooled(size)) {
    release_large(a, p);
    return;
  }
  slab *s = (slab *)((uintptr_t)p & ~(uintptr_t)(SLAB_BYTES - 1));
  block *b = p;
  b->next = s->free;
  s->free = b;
  if (--s->used == 0 || !s->listed) retire(a, s);
}

static void *resize(pl_alloc_state *a, void *p, size_t old_size, size_t size) {
  bool was_pooled = is_pooled(old_size), pooled = is_pooled(size);
  if (!was_pooled && !pooled) return resize_large(a, p, size);
  if (was_pooled && pooled && class_of(old_size) == class_of(size)) return p;
  void *q = get(a, size);
  // A block of a slab may stay where it is, too large for what it holds; Lua bears the failure to
  // shrink any other.
  if (q == NULL) return was_pooled && size < old_size ? p : NULL;
  memcpy(q, p, old_size < size ? old_size : size);
  release(a, p, old_size);
  return q;
}

static bool is_past(const pl_alloc_state *a, size_t limit, size_t growth) {
  return a->used >= limit || growth > limit - a->used;
}

static bool is_refused(const pl_alloc_state *a, size_t growth) {
  return a->enforce && a->limit != 0 && is_past(a, a->limit, growth);
}

// Lua collects when a block is refused, except when a stack or the buffer of a text would grow:
// that fails although all of the rest may be garbage. So what is no object may go a little past the
// limit, and the next object then makes Lua collect.
static bool is_growth_refused(const pl_alloc_state *a, size_t growth) {
  enum { OVERDRAFT = 64 * 1024, PART = 8 };
  size_t overdraft = a->limit / PART > OVERDRAFT ? a->limit / PART : OVERDRAFT;
  return is_refused(a, growth) && (growth > overdraft || is_past(a, a->limit + overdraft, growth));
}

static RARE void *refuse(pl_alloc_state *a) {
  if (a->on_refused != NULL) a->on_refused(a);
  return NULL;
}

static RARE void *change(pl_alloc_state *a, void *p, size_t old_size, size_t size) {
  if (size > LARGEST) return NULL;
  // Shrinking must not fail, so it is never refused.
  if (size > old_size && is_growth_refused(a, size - old_size)) return refuse(a);
  void *q = resize(a, p, old_size, size);
  if (q != NULL) a->used = a->used - old_size + size;
  return q;
}

void *pl_alloc_lua(void *ud, void *p, size_t old_size, size_t size) {
  pl_alloc_state *a = ud;
  if (size == 0) {
    if (p == NULL) return NULL;  // then `old_size` is none: Lua passes the type of a new block
    a->used -= old_size;
    release(a, p, old_size);
    return NULL;
  }
  if (p != NULL) return change(a, p, old_size, size);
  if (size > LARGEST) return NULL;
  bool is_object = old_size != 0;  // of a new block, its type
  if (is_object ? is_refused(a, size) : is_growth_refused(a, size)) return refuse(a);
  void *q = get(a, size);
  if (q != NULL) a->used += size;
  return q;
}

pl_slice *pl_alloc_pin(const void *object, const char *text, size_t len) {
  size_t size = (size_t)(text - (const char *)object) + len + 1;  // as Lua lays a string out
  if (is_pooled(size)) return NULL;
  large *b = large_of(object);
  if (b->size != size) return NULL;
  if (b->pin != NULL) return pl_slice_hold(b->pin);
  pl_slice *s = pl_slice_new(sizeof b);
  if (s == NULL) return NULL;
  memcpy(s->data, &b, sizeof b);
  s->len = sizeof b;
  s->on_free = unpin;
  return b->pin = s;
}

bool pl_alloc_offer(pl_alloc_state *a, pl_slice *owner, const uint8_t *text, size_t len) {
  enum { WASTE = 8 };  // at most such a part of the memory
  size_t front = sizeof(large) + a->string_front, size = a->string_front + len + 1;
  if (a->string_front == 0 || owner->refs > 1 || owner->on_free != NULL) return false;
  if ((size_t)(text - owner->data) < front || (owner->cap - front) / WASTE * (WASTE - 1) > size)
    return false;
  if (owner->cap - (size_t)(text - owner->data) < len + 1) return false;
  const uint8_t *start = text - a->string_front;
  if ((uintptr_t)start % PL_ALLOC_STEP != 0 || is_pooled(size) || is_refused(a, size)) return false;
  a->offered = owner;
  a->offered_block = (void *)(uintptr_t)start;
  a->offered_size = size;
  return true;
}

void pl_alloc_trim(pl_alloc_state *a) {
  unmap_empty(a, 0);
  pl_mem_trim();
}

void pl_alloc_fini(pl_alloc_state *a) {
  unmap_empty(a, 0);
  *a = (pl_alloc_state){0};
}
