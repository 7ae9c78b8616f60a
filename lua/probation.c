#include "lua/probation.h"

#include <stdio.h>

#include "base/limits.h"

// Per cent of all calls by which failures must exceed twice those of before.
static const double FAILED_MORE = 10;
// How many times the mean of before calls must take, and how much above it.
static const double SLOWER = 4, SLOWER_US = 20000;

void pl_conduct_count(pl_conduct *c, bool failed, uint64_t took_us) {
  c->calls++;
  c->failed += failed;
  c->took_us += took_us;
}

static double failed_percent(const pl_conduct *c) {
  return c->calls == 0 ? 0 : 100.0 * (double)c->failed / (double)c->calls;
}

static double mean_us(const pl_conduct *c) {
  return (double)c->took_us / (double)c->calls;
}

const char *pl_conduct_is_worse(const pl_conduct *now, const pl_conduct *before, char *text,
                                unsigned size) {
  if (now->calls < PL_PROBATION_CALLS) return NULL;
  double fail = failed_percent(now), failed = failed_percent(before);
  if (fail > 2 * failed + FAILED_MORE) {
    snprintf(text, size, "%.0f %% of its calls fail, %.0f %% did before", fail, failed);
    return text;
  }
  if (before->calls < PL_PROBATION_CALLS) return NULL;
  double takes = mean_us(now), took = mean_us(before);
  if (takes > SLOWER * took && takes > took + SLOWER_US) {
    snprintf(text, size, "its calls take %.0f ms, %.1f ms did before", takes / 1e3, took / 1e3);
    return text;
  }
  return NULL;
}
