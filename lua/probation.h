// Whether a new generation does worse than the one before it: more of its calls fail, or they take
// much longer. Pure counting.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// What has come of the calls that a generation has begun and ended. Zeroed: nothing yet.
typedef struct pl_conduct {
  uint64_t calls, failed;
  uint64_t took_us;  // all of them together
} pl_conduct;

void pl_conduct_count(pl_conduct *c, bool failed, uint64_t took_us);
// Clearly worse, as far as can be said: NULL, or why (in `text`, of `size` bytes). After fewer than
// PL_PROBATION_CALLS calls nothing can; against a generation that has served fewer, only failures
// count.
const char *pl_conduct_is_worse(const pl_conduct *now, const pl_conduct *before, char *text,
                                unsigned size);
