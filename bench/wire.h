// The frame of both baselines, and the batch in which frames leave.
//
//   0        4       8      9        12
//   +--------+-------+------+--------+-----------
//   | length |  id   | kind | unused | payload...
//   +--------+-------+------+--------+-----------
//
// `length` counts the payload. Integers are in host order: both ends are the same executable.
// A batch gathers every frame of one read and leaves in one write. Small payloads are copied into
// it; big ones are borrowed, and must stay where they are until the batch is flushed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
  FRAME_HEADER = 12,
  BORROW_MIN = 4096,  // from here on a copy costs more than one more entry for writev
  SEGMENTS_MAX = 256,
};

typedef struct frame {
  const uint8_t *payload;  // points into the read buffer
  uint32_t len;
  uint32_t id;
  uint8_t kind;
} frame;

// Takes the whole frame at `*at`, or returns false when there is only part of one.
static inline bool frame_next(frame *f, const uint8_t **at, const uint8_t *end) {
  const uint8_t *p = *at;
  if (end - p < FRAME_HEADER) return false;
  memcpy(&f->len, p, 4);
  if ((size_t)(end - p - FRAME_HEADER) < f->len) return false;
  memcpy(&f->id, p + 4, 4);
  f->kind = p[8];
  f->payload = p + FRAME_HEADER;
  *at = f->payload + f->len;
  return true;
}

static inline uint32_t load_u32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

// A run of the batch's own bytes when `borrowed` is NULL.
typedef struct segment {
  const uint8_t *borrowed;
  size_t at;
  size_t len;
} segment;

typedef struct batch {
  uint8_t *bytes;  // owned
  size_t len, cap;
  size_t run;             // start of the own bytes that no segment covers yet
  size_t borrowed_bytes;  // sum over the borrowed segments
  unsigned segment_count;
  segment segments[SEGMENTS_MAX];
} batch;

void batch_grow(batch *b, size_t room);

// Room for `n` bytes at the end; the caller writes them and adds to `len`.
static inline uint8_t *batch_room(batch *b, size_t n) {
  if (b->cap - b->len < n) batch_grow(b, n);
  return b->bytes + b->len;
}

static inline void batch_copy(batch *b, const void *bytes, size_t n) {
  memcpy(batch_room(b, n), bytes, n);
  b->len += n;
}

// Appends bytes without copying them. False when the list of segments is full.
bool batch_borrow(batch *b, const void *bytes, size_t n);

static inline void batch_append(batch *b, const void *bytes, size_t n) {
  if (n >= BORROW_MIN && batch_borrow(b, bytes, n)) return;
  batch_copy(b, bytes, n);
}

static inline size_t batch_bytes(const batch *b) {
  return b->len + b->borrowed_bytes;
}

static inline void batch_clear(batch *b) {
  b->len = b->run = b->borrowed_bytes = 0;
  b->segment_count = 0;
}

// A frame whose length is known when its payload is there.
typedef struct frame_mark {
  size_t at, run, borrowed_bytes;
  unsigned segment_count;
} frame_mark;

static inline frame_mark frame_begin(batch *b, uint8_t kind, uint32_t id) {
  frame_mark m = {b->len, b->run, b->borrowed_bytes, b->segment_count};
  uint8_t *p = batch_room(b, FRAME_HEADER);
  uint32_t kind_word = kind;
  memcpy(p + 4, &id, 4);
  memcpy(p + 8, &kind_word, 4);
  b->len += FRAME_HEADER;
  return m;
}

static inline void frame_end(batch *b, frame_mark m) {
  size_t len = batch_bytes(b) - m.at - m.borrowed_bytes - FRAME_HEADER;
  uint32_t word = (uint32_t)len;
  memcpy(b->bytes + m.at, &word, 4);
}

static inline void frame_undo(batch *b, frame_mark m) {
  b->len = m.at;
  b->run = m.run;
  b->borrowed_bytes = m.borrowed_bytes;
  b->segment_count = m.segment_count;
}

static inline void frame_put(batch *b, uint8_t kind, uint32_t id, const void *payload, size_t n) {
  frame_mark m = frame_begin(b, kind, id);
  batch_append(b, payload, n);
  frame_end(b, m);
}
