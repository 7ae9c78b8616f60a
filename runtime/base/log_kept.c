#include "base/log_kept.h"

#include <string.h>

#include "base/limits.h"

// In front of the text of each line.
typedef struct record {
  uint32_t len;
  pl_log_level level;
} record;

static record record_at(const pl_log_kept *k, size_t at) {
  record r;
  memcpy(&r, pl_buf_data(&k->lines) + at, sizeof r);
  return r;
}

void pl_log_kept_init(pl_log_kept *k) {
  *k = (pl_log_kept){.first = 1};
}

void pl_log_kept_fini(pl_log_kept *k) {
  pl_buf_fini(&k->lines);
}

static void forget_oldest(pl_log_kept *k) {
  pl_buf_consume(&k->lines, sizeof(record) + record_at(k, 0).len);
  k->first++;
  k->count--;
}

void pl_log_kept_push(pl_log_kept *k, pl_log_level level, const char *line, size_t len) {
  bool fits = len <= PL_LOG_KEPT_BYTES - sizeof(record);
  size_t room = fits ? sizeof(record) + len : PL_LOG_KEPT_BYTES;
  while (k->count >= PL_LOG_KEPT_LINES || pl_buf_len(&k->lines) + room > PL_LOG_KEPT_BYTES)
    forget_oldest(k);
  uint8_t *to = fits ? pl_buf_reserve(&k->lines, room) : NULL;
  if (to == NULL) {  // those before it go, too, so that the numbers have no gap
    while (k->count > 0)
      forget_oldest(k);
    k->first++;
    return;
  }
  const record r = {(uint32_t)len, level};
  memcpy(to, &r, sizeof r);
  memcpy(to + sizeof r, line, len);
  pl_buf_commit(&k->lines, room);
  k->count++;
}

uint64_t pl_log_kept_tail(const pl_log_kept *k, pl_log_level least, size_t count) {
  size_t have = 0;
  record r;
  for (size_t at = 0; at < pl_buf_len(&k->lines); at += sizeof r + r.len) {
    r = record_at(k, at);
    if (r.level >= least) have++;
  }
  uint64_t number = k->first;
  for (size_t at = 0; have > count; at += sizeof r + r.len, number++) {
    r = record_at(k, at);
    if (r.level >= least) have--;
  }
  return count > 0 ? number : k->first + k->count;
}

uint64_t pl_log_kept_read(const pl_log_kept *k, uint64_t *next, pl_log_level least, pl_buf *out,
                          size_t max) {
  uint64_t from = *next > k->first ? *next : k->first, lost = from - *next;
  uint64_t number = k->first;
  record r;
  for (size_t at = 0; at < pl_buf_len(&k->lines); at += sizeof r + r.len, number++) {
    r = record_at(k, at);
    if (number < from || r.level < least) continue;
    if (pl_buf_len(out) > 0 && pl_buf_len(out) + r.len > max) break;
    if (!pl_buf_append(out, pl_buf_data(&k->lines) + at + sizeof r, r.len)) break;
  }
  *next = number > from ? number : from;
  return lost;
}
