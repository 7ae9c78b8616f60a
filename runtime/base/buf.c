#include "base/buf.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { BUF_MIN = 64 };

pl_slice *pl_slice_new(size_t cap) {
  if (cap > SIZE_MAX - sizeof(pl_slice)) return NULL;
  pl_slice *s = pl_try_alloc(sizeof *s + cap);
  if (s == NULL) return NULL;
  *s = (pl_slice){.refs = 1, .cap = cap};
  return s;
}

pl_slice *pl_slice_copy(const void *data, size_t len) {
  pl_slice *s = pl_slice_new(len);
  if (s == NULL) return NULL;
  if (len > 0) memcpy(s->data, data, len);
  s->len = len;
  return s;
}

void pl_slice_free(pl_slice *s) {
  if (s->on_free != NULL) s->on_free(s);
  pl_free(s);
}

bool pl_bytes_copy(pl_bytes *out, pl_bytes in) {
  if (in.len == 0) {  // nothing that could go away, so nothing to own
    *out = pl_bytes_of(in.data == NULL ? NULL : "", 0);
    return true;
  }
  pl_slice *copy = pl_slice_copy(in.data, in.len);
  if (copy == NULL) return false;
  *out = (pl_bytes){.data = copy->data, .len = copy->len, .owner = copy};
  return true;
}

size_t pl_parts_copy(const pl_parts *p, uint8_t *to, size_t max) {
  size_t head = p->head.len < max ? p->head.len : max;
  size_t tail = p->tail.len < max - head ? p->tail.len : max - head;
  if (head > 0) memcpy(to, p->head.data, head);
  if (tail > 0) memcpy(to + head, p->tail.data, tail);
  return head + tail;
}

// The memory of a buffer is a slice from the start, so that pl_buf_take copies nothing.
static pl_slice *slice_of(const pl_buf *b) {
  return b->data == NULL ? NULL : pl_container(b->data, pl_slice, data);
}

static void move_to_front(pl_buf *b) {
  size_t len = pl_buf_len(b);
  memmove(b->data, b->data + b->start, len);
  b->start = 0;
  b->end = len;
}

uint8_t *pl_buf_grow(pl_buf *b, size_t n) {
  size_t len = pl_buf_len(b);
  if (n > SIZE_MAX / 2 - len) return NULL;
  if (b->data != NULL && b->cap - b->end >= n) return b->data + b->end;

  // Moving pays only when it wins at least as much as it copies; else a slow
  // consumer would make every append a copy of everything.
  bool worth_moving = b->start > b->cap / 2 && b->cap - len >= n;
  if (!worth_moving) {
    size_t cap = b->cap * 2 > BUF_MIN ? b->cap * 2 : BUF_MIN;
    if (cap < len + n) cap = len + n;
    if (cap > SIZE_MAX - sizeof(pl_slice)) return NULL;
    pl_slice *s = pl_try_realloc(slice_of(b), sizeof *s + cap);
    if (s == NULL) return NULL;
    *s = (pl_slice){.refs = 1, .cap = cap};
    b->data = s->data;
    b->cap = cap;
  }
  if (b->start > 0) move_to_front(b);
  return b->data + b->end;
}

bool pl_buf_append(pl_buf *b, const void *data, size_t len) {
  if (len == 0) return true;
  uint8_t *to = pl_buf_reserve(b, len);
  if (to == NULL) return false;
  memcpy(to, data, len);
  pl_buf_commit(b, len);
  return true;
}

void pl_buf_consume(pl_buf *b, size_t n) {
  assert(n <= pl_buf_len(b));
  b->start += n;
  if (b->start == b->end) pl_buf_clear(b);
}

pl_bytes pl_buf_take(pl_buf *b) {
  pl_slice *s = slice_of(b);
  if (s == NULL) return (pl_bytes){0};
  s->len = b->end;
  pl_bytes out = {.data = pl_buf_data(b), .len = pl_buf_len(b), .owner = s};
  *b = (pl_buf){0};
  return out;
}

void pl_buf_fini(pl_buf *b) {
  pl_free(slice_of(b));
  *b = (pl_buf){0};
}
