#include "link/outq.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum {
  PARTS_MIN = 8,
  PARTS_KEPT = 16,         // an empty queue with more places than this frees them
  BATCH_SMALL = 4 * 1024,  // when PL_POOL_OUT are in use
};

static pl_slice *pool_take(pl_batch_pool *pool, size_t n) {
  pl_slice *s;
  if (pool->spare_count > 0) {
    s = pool->spares[--pool->spare_count];
  } else if (pool->out < PL_POOL_OUT) {
    s = pl_slice_new(PL_WRITE_BATCH);
  } else {
    return pl_slice_new(n > BATCH_SMALL ? n : BATCH_SMALL);
  }
  if (s != NULL) pool->out++;
  return s;
}

// Drops one reference of a batch.
static void pool_give(pl_batch_pool *pool, pl_slice *s) {
  if (s->refs > 1 || s->cap != PL_WRITE_BATCH) {
    pl_slice_drop(s);
    return;
  }
  if (pool->out > 0) pool->out--;
  if (pool->spare_count == PL_POOL_SPARES) {
    pl_slice_drop(s);
    return;
  }
  s->len = 0;
  pool->spares[pool->spare_count++] = s;
}

void pl_batch_pool_fini(pl_batch_pool *pool) {
  while (pool->spare_count > 0)
    pl_slice_drop(pool->spares[--pool->spare_count]);
}

uint8_t *pl_outq_grow(pl_outq *q, pl_batch_pool *pool, size_t n) {
  assert(n <= PL_WRITE_BATCH);
  pl_slice *fresh = pool_take(pool, n);
  if (fresh == NULL) return NULL;
  if (q->batch != NULL) pool_give(pool, q->batch);
  q->batch = fresh;
  return fresh->data;
}

// A place for one more part; NULL when memory is exhausted.
static pl_part *add_part(pl_outq *q) {
  if (q->end == q->cap && q->first > q->cap / 2) {
    memmove(q->parts, q->parts + q->first, (q->end - q->first) * sizeof *q->parts);
    q->end -= q->first;
    q->first = 0;
  }
  if (q->end == q->cap) {
    size_t cap = q->cap > 0 ? q->cap * 2 : PARTS_MIN;
    pl_part *parts = pl_try_realloc(q->parts, cap * sizeof *parts);
    if (parts == NULL) return NULL;
    q->parts = parts;
    q->cap = cap;
  }
  return &q->parts[q->end++];
}

static pl_part *last_part(pl_outq *q) {
  return q->end > q->first ? &q->parts[q->end - 1] : NULL;
}

bool pl_outq_commit(pl_outq *q, size_t n) {
  if (n == 0) return true;
  pl_slice *b = q->batch;
  assert(b != NULL && n <= b->cap - b->len);

  pl_part *last = last_part(q);
  if (last != NULL && last->owner == b && last->data + last->len == b->data + b->len) {
    last->len += n;
  } else {
    pl_part *p = add_part(q);
    if (p == NULL) return false;
    *p = (pl_part){pl_slice_hold(b), b->data + b->len, n, true};
  }
  b->len += n;
  q->bytes += n;
  return true;
}

bool pl_outq_push(pl_outq *q, pl_bytes b) {
  assert(b.owner != NULL);
  if (b.len == 0) return true;
  pl_part *p = add_part(q);
  if (p == NULL) return false;
  *p = (pl_part){pl_slice_hold(b.owner), b.data, b.len, false};
  q->bytes += b.len;
  return true;
}

uint8_t *pl_outq_recent(pl_outq *q, size_t n) {
  pl_part *last = last_part(q);
  if (last == NULL || last->owner != q->batch || last->len < n) return NULL;
  if (q->bytes - q->in_flight < n) return NULL;
  return q->batch->data + q->batch->len - n;
}

static void release(pl_part *p, pl_batch_pool *pool) {
  if (p->batch)
    pool_give(pool, p->owner);
  else
    pl_slice_drop(p->owner);
}

// The batch goes back to the pool, and what a burst allocated to the system.
static void become_empty(pl_outq *q, pl_batch_pool *pool) {
  q->first = q->end = 0;
  if (q->batch != NULL) pool_give(pool, q->batch);
  q->batch = NULL;
  if (q->cap > PARTS_KEPT) {
    pl_free(q->parts);
    q->parts = NULL;
    q->cap = 0;
  }
}

void pl_outq_consume(pl_outq *q, pl_batch_pool *pool, size_t n) {
  assert(n <= q->bytes);
  q->bytes -= n;
  while (n > 0) {
    pl_part *p = &q->parts[q->first];
    if (n < p->len) {
      p->data += n;
      p->len -= n;
      return;
    }
    n -= p->len;
    release(p, pool);
    q->first++;
  }
  if (q->bytes == 0) become_empty(q, pool);
}

size_t pl_outq_copy(const pl_outq *q, uint8_t *to, size_t n) {
  size_t done = 0;
  for (size_t i = q->first; i < q->end && done < n; i++) {
    const pl_part *p = &q->parts[i];
    size_t len = p->len < n - done ? p->len : n - done;
    memcpy(to + done, p->data, len);
    done += len;
  }
  return done;
}

void pl_outq_fini(pl_outq *q, pl_batch_pool *pool) {
  q->in_flight = 0;
  pl_outq_consume(q, pool, q->bytes);
  become_empty(q, pool);
  pl_free(q->parts);
  *q = (pl_outq){0};
}
