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

// Room for `n` more parts; false when memory is exhausted.
static bool make_room(pl_outq *q, size_t n) {
  if (q->cap - q->end >= n) return true;
  if (q->head > q->cap / 2) {
    memmove(q->parts, q->parts + q->head, (q->end - q->head) * sizeof *q->parts);
    q->end -= q->head;
    q->first -= q->head;
    q->head = 0;
    if (q->cap - q->end >= n) return true;
  }
  size_t cap = q->cap > 0 ? q->cap * 2 : PARTS_MIN;
  while (cap - q->end < n)
    cap *= 2;
  pl_part *parts = pl_try_realloc(q->parts, cap * sizeof *parts);
  if (parts == NULL) return false;
  q->parts = parts;
  q->cap = cap;
  return true;
}

static pl_part *last_part(pl_outq *q) {
  return q->end > q->head ? &q->parts[q->end - 1] : NULL;
}

bool pl_outq_commit_apart(pl_outq *q, size_t n, bool once) {
  if (n == 0) return true;
  pl_slice *b = q->batch;
  assert(b != NULL && n <= b->cap - b->len);

  pl_part *last = last_part(q);
  if (last != NULL && pl_part_goes_on(last, b, once)) {  // and all of it was written so far
    q->first--;
    q->at = last->len;
    last->len += n;
  } else {
    if (!make_room(q, 1)) return false;
    q->parts[q->end++] = (pl_part){pl_slice_hold(b), b->data + b->len, n, true, once};
  }
  b->len += n;
  q->bytes += n;
  return true;
}

bool pl_outq_push(pl_outq *q, pl_bytes b) {
  assert(b.owner != NULL);
  if (b.len == 0) return true;
  if (!make_room(q, 1)) return false;
  q->parts[q->end++] = (pl_part){pl_slice_hold(b.owner), b.data, b.len, false, !q->keep};
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
  q->head = q->first = q->end = 0;
  if (q->batch != NULL) pool_give(pool, q->batch);
  q->batch = NULL;
  if (q->cap > PARTS_KEPT) {
    pl_free(q->parts);
    q->parts = NULL;
    q->cap = 0;
  }
}

// Lets go of what need not be kept any more.
static void settle(pl_outq *q, pl_batch_pool *pool) {
  if (q->kept > 0 && q->told == q->acknowledged) return;  // as after every write but the first
  size_t n = 0;
  if (q->told > q->acknowledged) {
    uint64_t ahead = q->told - q->acknowledged;
    n = ahead < q->kept ? (size_t)ahead : q->kept;
    q->acknowledged += n;
    q->kept -= n;
  }
  for (; q->head < q->first; q->head++) {
    pl_part *p = &q->parts[q->head];
    if (!p->once) {
      if (n < p->len - q->head_at) break;
      n -= p->len - q->head_at;
    }
    q->head_at = 0;
    release(p, pool);
  }
  q->head_at += n;
  if (q->head == q->end) become_empty(q, pool);
}

void pl_outq_consume(pl_outq *q, pl_batch_pool *pool, size_t n) {
  assert(n <= q->bytes);
  q->bytes -= n;
  while (n > 0) {
    const pl_part *p = &q->parts[q->first];
    size_t left = p->len - q->at;
    size_t took = n < left ? n : left;
    n -= took;
    if (!p->once) q->kept += took;
    q->at += took;
    if (took < left) break;
    q->first++;
    q->at = 0;
  }
  settle(q, pool);
}

size_t pl_outq_copy(const pl_outq *q, uint8_t *to, size_t n) {
  size_t done = 0;
  size_t at = q->at;
  for (size_t i = q->first; i < q->end && done < n; i++) {
    const pl_part *p = &q->parts[i];
    size_t left = p->len - at;
    size_t len = left < n - done ? left : n - done;
    memcpy(to + done, p->data + at, len);
    done += len;
    at = 0;
  }
  return done;
}

// What is kept for another link.

static uint64_t reached(const pl_outq *q) {
  uint64_t now = q->acknowledged + q->kept + q->in_flight;  // what is in flight may have been sent
  return now > q->reached ? now : q->reached;
}

bool pl_outq_covers(const pl_outq *q, uint64_t position) {
  return position >= q->acknowledged && position <= reached(q);
}

void pl_outq_acknowledge(pl_outq *q, pl_batch_pool *pool, uint64_t position) {
  if (position <= q->told) return;
  q->told = position;
  settle(q, pool);
}

// The part at the head loses what is acknowledged of it.
static void trim(pl_outq *q) {
  if (q->head_at == 0) return;
  q->parts[q->head].data += q->head_at;
  q->parts[q->head].len -= q->head_at;
  q->head_at = q->at = 0;
}

// Back to where it begins, without what is of no use on another link.
static void rewind_all(pl_outq *q, pl_batch_pool *pool) {
  trim(q);
  size_t end = q->head;
  q->bytes = 0;
  for (size_t i = q->head; i < q->end; i++) {
    pl_part *p = &q->parts[i];
    if (p->once) {
      release(p, pool);
      continue;
    }
    q->bytes += p->len;
    q->parts[end++] = *p;
  }
  q->end = end;
  q->first = q->head;
  q->at = q->kept = q->in_flight = 0;
}

bool pl_outq_rewind(pl_outq *q, pl_batch_pool *pool, uint64_t position) {
  if (!pl_outq_covers(q, position)) return false;
  q->reached = reached(q);
  rewind_all(q, pool);
  if (position - q->acknowledged > q->bytes) return false;
  q->told = position;
  pl_outq_consume(q, pool, (size_t)(position - q->acknowledged));
  trim(q);
  return true;
}

bool pl_outq_follow(pl_outq *q, pl_outq *from, pl_batch_pool *pool) {
  assert(!q->keep && from->keep && from->first == from->head && from->at == 0);
  size_t count = from->end - from->head;
  if (!make_room(q, count)) return false;
  if (count > 0) memcpy(q->parts + q->end, from->parts + from->head, count * sizeof *q->parts);
  q->end += count;
  q->bytes += from->bytes;
  q->keep = true;
  q->acknowledged = q->told = from->acknowledged;
  q->reached = from->reached;
  from->head = from->first = from->end;
  from->bytes = 0;
  pl_outq_fini(from, pool);
  return true;
}

void pl_outq_forget(pl_outq *q, pl_batch_pool *pool) {
  for (size_t i = q->head; i < q->end; i++)
    q->parts[i].once = true;
  q->keep = false;
  q->kept = q->head_at = 0;
  q->told = q->acknowledged;
  settle(q, pool);
}

void pl_outq_fini(pl_outq *q, pl_batch_pool *pool) {
  pl_outq_forget(q, pool);
  q->in_flight = 0;
  pl_outq_consume(q, pool, q->bytes);
  become_empty(q, pool);
  pl_free(q->parts);
  *q = (pl_outq){0};
}
