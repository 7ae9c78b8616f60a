// What a link still has to write: parts in order, each a view into a slice that the queue holds.
// Short things are copied one behind the other into a batch, so that many frames are one part;
// batches are borrowed from a pool of the loop, so an idle link has none. Internal to link/.
//
// What is written may have to be written again on another link: then the parts stay where they are
// until the other end has acknowledged them. Positions count such bytes from the first one on.
//
//            head           first               end
//     parts:  | written, kept | still to be written |
#pragma once

#include <assert.h>
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
  bool once;   // neither counted nor kept: of no use on another link
} pl_part;

// Zeroed is empty.
typedef struct pl_outq {
  pl_part *parts;  // [head, first) are kept, [first, end) are queued
  size_t head, first, end, cap;
  size_t head_at;         // acknowledged bytes of the part at `head`
  size_t at;              // written bytes of the part at `first`
  size_t bytes;           // to be written
  size_t in_flight;       // of these, from the front: handed to the system and not to be amended
  size_t kept;            // written, counted and not acknowledged
  uint64_t acknowledged;  // position
  uint64_t told;          // the same as the other end says, which may be ahead of `kept`
  uint64_t reached;       // at the last rewind: the position up to which things had been written
  bool keep;              // what is queued from now on is counted
  pl_slice *batch;        // being filled, NULL when there is none; one reference
} pl_outq;

// Room for `n` bytes at the end of the batch; NULL when memory is exhausted.
uint8_t *pl_outq_grow(pl_outq *q, pl_batch_pool *pool, size_t n);

static inline uint8_t *pl_outq_reserve(pl_outq *q, pl_batch_pool *pool, size_t n) {
  pl_slice *b = q->batch;
  if (b != NULL && b->cap - b->len >= n) return b->data + b->len;
  return pl_outq_grow(q, pool, n);
}

// What is put into the batch next is a part of `last`, too.
static inline bool pl_part_goes_on(const pl_part *last, const pl_slice *batch, bool once) {
  return last->owner == batch && last->once == once &&
         last->data + last->len == batch->data + batch->len;
}

// As pl_outq_commit, which has found that they cannot just be added to the last part.
bool pl_outq_commit_apart(pl_outq *q, size_t n, bool once);

// Queues the first `n` bytes of what was reserved last; `once`: whatever `keep` says. False: no
// memory, nothing changed.
static inline bool pl_outq_commit(pl_outq *q, size_t n, bool once) {
  once = once || !q->keep;
  pl_slice *b = q->batch;
  pl_part *last = q->first < q->end ? &q->parts[q->end - 1] : NULL;
  if (last == NULL || !pl_part_goes_on(last, b, once)) return pl_outq_commit_apart(q, n, once);
  assert(n <= b->cap - b->len);
  last->len += n;
  b->len += n;
  q->bytes += n;
  return true;
}
// Queues `b`, which has an owner, by reference. False: no memory, nothing changed.
bool pl_outq_push(pl_outq *q, pl_bytes b);
// The last `n` bytes if they lie together in the batch and are not in flight, else NULL.
uint8_t *pl_outq_recent(pl_outq *q, size_t n);

// `n` bytes of the front are written.
void pl_outq_consume(pl_outq *q, pl_batch_pool *pool, size_t n);
// Copies at most `n` bytes of the front; returns how many.
size_t pl_outq_copy(const pl_outq *q, uint8_t *to, size_t n);

// Whether the other end can have received all up to `position`, and may still miss what follows.
bool pl_outq_covers(const pl_outq *q, uint64_t position);
// The other end has received all up to `position`, which the queue covers, or an older one.
void pl_outq_acknowledge(pl_outq *q, pl_batch_pool *pool, uint64_t position);
// Everything counted from `position` on is to be written, and nothing else. False: not covered
// after all, and the queue is of no more use.
bool pl_outq_rewind(pl_outq *q, pl_batch_pool *pool, uint64_t position);
// Puts all of `from`, which was rewound, behind what `q` has, which counted nothing yet, and goes
// on with its positions. `from` is empty afterwards. False: no memory, nothing changed.
bool pl_outq_follow(pl_outq *q, pl_outq *from, pl_batch_pool *pool);
// Counts and keeps no more.
void pl_outq_forget(pl_outq *q, pl_batch_pool *pool);
// Drops everything and frees the memory.
void pl_outq_fini(pl_outq *q, pl_batch_pool *pool);
