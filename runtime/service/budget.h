// How many calls may be repeated: a fifth of those made lately, and some more when there were few,
// so that repeats help while little fails and do not double the load when everything does.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct pl_budget {
  uint32_t earned;     // by calls, in fifths of a repeat
  uint32_t given;      // by time, in whole ones
  uint64_t filled_us;  // when `given` was looked at last
} pl_budget;

enum {
  PL_BUDGET_CALLS = 5,      // that earn a repeat
  PL_BUDGET_LATELY = 2500,  // calls that are remembered
  PL_BUDGET_GIVEN = 100,    // repeats that need no calls before them
  PL_BUDGET_RATE = 10,      // of these a second come back
};

void pl_budget_init(pl_budget *b, uint64_t now_us);

// A call was made.
static inline void pl_budget_earn(pl_budget *b) {
  b->earned += b->earned < PL_BUDGET_LATELY;
}

// Takes a repeat; false when there is none.
bool pl_budget_take(pl_budget *b, uint64_t now_us);
