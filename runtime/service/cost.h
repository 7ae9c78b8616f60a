// What a call of an action computes, from what the tick of the governor hits: the more a handler
// computes, the oftener it is hit. Pure.
#pragma once

#include <stdint.h>

typedef struct pl_cost {
  uint64_t ns;            // of CPU for each call, smoothed; 0: it was never hit
  uint32_t begun, ended;  // calls since it was hit last
} pl_cost;

// A call begins, or has ended. Of handlers that wait many begin before the first one ends.
static inline void pl_cost_begun(pl_cost *c) {
  c->begun++;
}
static inline void pl_cost_ended(pl_cost *c) {
  c->ended++;
}
// One that runs was hit, and has computed for so long since it was looked at last.
void pl_cost_hit(pl_cost *c, uint64_t cpu_us);
