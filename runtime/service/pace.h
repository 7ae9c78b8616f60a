// How fast slots become free: for telling when it is worth while to ask again. Pure.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct pl_pace {
  uint64_t run_us;    // smoothed: how long a handler takes
  uint64_t gap_ns;    // smoothed: between two ends while others wait; 0: not known
  uint64_t ended_us;  // the last end, if others waited; else 0
} pl_pace;

// A handler that took `took_us` ended, `waiting` others wait.
void pl_pace_ended(pl_pace *p, uint64_t now_us, uint64_t took_us, size_t waiting);
// Until all that wait have had their slot, and one more.
uint64_t pl_pace_wait_us(const pl_pace *p, size_t running, size_t waiting);
