#include "base/histogram.h"

uint64_t pl_histogram_top_us(unsigned range) {
  if (range < PL_HISTOGRAM_EXACT) return range;
  unsigned octave = (range - PL_HISTOGRAM_EXACT) / PL_HISTOGRAM_STEPS;
  uint64_t step = (range - PL_HISTOGRAM_EXACT) % PL_HISTOGRAM_STEPS;
  return ((PL_HISTOGRAM_STEPS + step + 1) << (octave + 1)) - 1;
}

uint64_t pl_histogram_count(const pl_histogram *h) {
  return pl_histogram_within(h, PL_HISTOGRAM_MAX_US);
}

uint64_t pl_histogram_within(const pl_histogram *h, uint64_t us) {
  unsigned last = pl_histogram_range(us);
  uint64_t count = 0;
  for (unsigned i = 0; i <= last; i++)
    count += h->ranges[i];
  return count;
}

uint64_t pl_histogram_at(const pl_histogram *h, double share) {
  uint64_t left = pl_histogram_count(h);
  if (left == 0) return 0;
  double wanted = (double)left * share;
  uint64_t reached = 0;
  unsigned longest = 0;
  for (unsigned i = 0; i < PL_HISTOGRAM_RANGES; i++) {
    if (h->ranges[i] == 0) continue;
    longest = i;
    reached += h->ranges[i];
    if ((double)reached >= wanted) break;
  }
  return pl_histogram_top_us(longest);
}
