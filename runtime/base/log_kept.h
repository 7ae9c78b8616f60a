// The newest lines of a log, for who asks later. Part of log.h, which guards it: of any thread, one
// at a time.
#pragma once

#include "base/log.h"

typedef struct pl_log_kept {
  pl_buf lines;    // records, oldest first: at most PL_LOG_KEPT_LINES, of PL_LOG_KEPT_BYTES
  uint64_t first;  // number of the oldest
  size_t count;
} pl_log_kept;

void pl_log_kept_init(pl_log_kept *k);
void pl_log_kept_fini(pl_log_kept *k);
// Takes a copy, and lets the oldest go for it. Without memory, or if it is longer than all may be,
// it is gone at once.
void pl_log_kept_push(pl_log_kept *k, pl_log_level level, const char *line, size_t len);
// As pl_log_tail and pl_log_read.
uint64_t pl_log_kept_tail(const pl_log_kept *k, pl_log_level least, size_t count);
uint64_t pl_log_kept_read(const pl_log_kept *k, uint64_t *next, pl_log_level least, pl_buf *out,
                          size_t max);
