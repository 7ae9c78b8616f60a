// How often what took how long: durations in microseconds, in ranges that grow with them.
//
//   0 1 2 ... 31 | 32-33 34-35 ... 62-63 | 64-67 ... 124-127 | ...
//    one each       16 ranges              16 ranges
//
// So a duration is known to 1/16 of itself, whatever it is, and adding one is two increments.
// Zeroed it is empty. Belongs to one thread.
#pragma once

#include <stdint.h>

enum {
  PL_HISTOGRAM_STEPS = 16,   // ranges of an octave
  PL_HISTOGRAM_EXACT = 32,   // durations below it have a range each
  PL_HISTOGRAM_OCTAVES = 31  // above that, up to 2^36 us, 19 hours
};
#define PL_HISTOGRAM_RANGES (PL_HISTOGRAM_EXACT + PL_HISTOGRAM_OCTAVES * PL_HISTOGRAM_STEPS)
#define PL_HISTOGRAM_MAX_US ((UINT64_C(1) << 36) - 1)  // what is longer counts as that

typedef struct pl_histogram {
  uint64_t sum_us;
  uint64_t ranges[PL_HISTOGRAM_RANGES];
} pl_histogram;

static inline unsigned pl_histogram_range(uint64_t us) {
  if (us < PL_HISTOGRAM_EXACT) return (unsigned)us;
  if (us > PL_HISTOGRAM_MAX_US) us = PL_HISTOGRAM_MAX_US;
  unsigned octave = 58 - (unsigned)__builtin_clzll(us);  // 0: 32 to 63
  return (octave + 1) * PL_HISTOGRAM_STEPS + (unsigned)(us >> (octave + 1));
}

static inline void pl_histogram_add(pl_histogram *h, uint64_t us) {
  h->sum_us += us;
  h->ranges[pl_histogram_range(us)]++;
}

// The longest duration of a range.
uint64_t pl_histogram_top_us(unsigned range);
uint64_t pl_histogram_count(const pl_histogram *h);
// How many are no longer than `us`, which is taken up to the end of its range.
uint64_t pl_histogram_within(const pl_histogram *h, uint64_t us);
// The duration that the part `share` (0 to 1) of all did not exceed: the longest of its range. 0
// when there are none.
uint64_t pl_histogram_at(const pl_histogram *h, double share);
