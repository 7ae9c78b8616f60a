// Bytes: reference-counted slices, views into them, and a growable buffer.
// A slice belongs to one thread at a time; a mailbox hands it over whole.
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pl_slice {
  unsigned refs;
  size_t len;  // bytes in use, at most `cap`
  size_t cap;
  void (*on_free)(struct pl_slice *s);  // before its memory goes; NULL: nobody is told
  uint8_t data[];
} pl_slice;

// One reference, len 0. NULL when memory is exhausted.
pl_slice *pl_slice_new(size_t cap);
pl_slice *pl_slice_copy(const void *data, size_t len);
static inline pl_slice *pl_slice_hold(pl_slice *s) {
  assert(s->refs > 0);
  s->refs++;
  return s;
}
void pl_slice_free(pl_slice *s);                 // of the last reference
static inline void pl_slice_drop(pl_slice *s) {  // NULL is fine
  if (s == NULL) return;
  assert(s->refs > 0);
  if (--s->refs == 0) pl_slice_free(s);
}

// A view. With an `owner` it may be kept by holding that; without one the bytes are
// borrowed and gone when the call that received the view returns.
typedef struct pl_bytes {
  const uint8_t *data;
  size_t len;
  pl_slice *owner;
} pl_bytes;

// A view of a copy that holds one reference. False: no memory, *out untouched.
bool pl_bytes_copy(pl_bytes *out, pl_bytes in);
// A view of the same bytes that holds one reference, copying them when they are
// only borrowed. False: no memory, *out untouched. Undo with pl_bytes_drop.
static inline bool pl_bytes_keep(pl_bytes *out, pl_bytes in) {
  if (in.owner == NULL) return pl_bytes_copy(out, in);
  pl_slice_hold(in.owner);
  *out = in;
  return true;
}
static inline void pl_bytes_drop(pl_bytes *b) {  // leaves *b empty
  pl_slice_drop(b->owner);
  *b = (pl_bytes){0};
}

static inline pl_bytes pl_bytes_of(const void *data, size_t len) {
  return (pl_bytes){.data = data, .len = len, .owner = NULL};
}

// One run of bytes in two places: the tail, which has an owner unless it is empty, follows the
// head. So a long string need not be copied to what stands before it.
typedef struct pl_parts {
  pl_bytes head;
  pl_bytes tail;
} pl_parts;

static inline pl_parts pl_parts_of(pl_bytes head) {
  return (pl_parts){.head = head};
}
static inline size_t pl_parts_len(const pl_parts *p) {
  return p->head.len + p->tail.len;
}
// As pl_bytes_keep. False: no memory, *out untouched. Undo with pl_parts_drop.
static inline bool pl_parts_keep(pl_parts *out, const pl_parts *in) {
  pl_bytes head;
  if (!pl_bytes_keep(&head, in->head)) return false;
  if (in->tail.owner != NULL) pl_slice_hold(in->tail.owner);
  *out = (pl_parts){head, in->tail};
  return true;
}
static inline void pl_parts_drop(pl_parts *p) {  // leaves *p empty
  pl_bytes_drop(&p->head);
  pl_bytes_drop(&p->tail);
}
// Copies at most `max` bytes from the start; returns how many.
size_t pl_parts_copy(const pl_parts *p, uint8_t *to, size_t max);

// Bytes are appended at the end and consumed at the start. Zeroed is a valid empty buffer.
typedef struct pl_buf {
  uint8_t *data;
  size_t start;  // first byte not consumed
  size_t end;    // one past the last byte
  size_t cap;
} pl_buf;

static inline const uint8_t *pl_buf_data(const pl_buf *b) {
  return b->start > 0 ? b->data + b->start : b->data;  // NULL + 0 is undefined
}

static inline size_t pl_buf_len(const pl_buf *b) {
  return b->end - b->start;
}

// At least `n` writable bytes at the end, NULL when memory is exhausted; what was
// written there is added by pl_buf_commit.
uint8_t *pl_buf_grow(pl_buf *b, size_t n);

static inline uint8_t *pl_buf_reserve(pl_buf *b, size_t n) {
  return b->cap - b->end >= n && b->data != NULL ? b->data + b->end : pl_buf_grow(b, n);
}

static inline void pl_buf_commit(pl_buf *b, size_t n) {
  b->end += n;
}

bool pl_buf_append(pl_buf *b, const void *data, size_t len);
void pl_buf_consume(pl_buf *b, size_t n);

static inline void pl_buf_clear(pl_buf *b) {
  b->start = b->end = 0;
}

// Hands the contents over without a copy, as a view with one reference (empty when nothing was ever
// appended). The buffer is empty and usable afterwards.
pl_bytes pl_buf_take(pl_buf *b);

// Frees the memory; the buffer is empty and usable afterwards.
void pl_buf_fini(pl_buf *b);
