// What a link still has to write: parts in order, each a view into a slice that the queue holds.
// Short things are copied one behind the other into a batch, so that many frames are one part;
// batches are borrowed from a pool of the loop, so an idle link has none. Internal to link/.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"

enum {
  PL_POOL_SPARES = 16,  // batches kept for the next turn
  PL_POOL_OUT = 64,     // batches of full size in use; further ones are small, so that
                        // a broadcast to ten thousand links does not take 64 KiB for each
};

typedef struct pl_batch_pool {
  pl_slice *spares[PL_POOL_SPARES];
  unsigned spare_count;
  unsigned out;
} pl_batch_pool;

void pl_batch_pool_fini(pl_batch_pool *pool);

typedef struct pl_part {
  pl_slice *owner;  // one reference
  const uint8_t *data;
  size_t len;
  bool batch;  // `owner` goes back to the pool
} pl_part;

// Zeroed is empty.
typedef struct pl_outq {
  pl_part *parts;  // [first, end) are queued
  size_t first, end, cap;
  size_t bytes;      // sum over the parts
  size_t in_flight;  // of these, from the front: handed to the system and not to be amended
  pl_slice *batch;   // being filled, NULL when there is none; one reference
} pl_outq;

// Room for `n` bytes at the end of the batch; NULL when memory is exhausted.
uint8_t *pl_outq_grow(pl_outq *q, pl_batch_pool *pool, size_t n);

static inline uint8_t *pl_outq_reserve(pl_outq *q, pl_batch_pool *pool, size_t n) {
  pl_slice *b = q->batch;
  if (b != NULL && b->cap - b->len >= n) return b->data + b->len;
  return pl_outq_grow(q, pool, n);
}

// Queues the first `n` bytes of what was reserved last. False: no memory, nothing changed.
bool pl_outq_commit(pl_outq *q, size_t n);
// Queues `b`, which has an owner, by reference. False: no memory, nothing changed.
bool pl_outq_push(pl_outq *q, pl_bytes b);
// The last `n` bytes if they lie together in the batch and are not in flight, else NULL.
uint8_t *pl_outq_recent(pl_outq *q, size_t n);

// Removes `n` bytes from the front.
void pl_outq_consume(pl_outq *q, pl_batch_pool *pool, size_t n);
// Copies at most `n` bytes of the front without removing them; returns how many.
size_t pl_outq_copy(const pl_outq *q, uint8_t *to, size_t n);
// Drops everything and frees the memory.
void pl_outq_fini(pl_outq *q, pl_batch_pool *pool);
