#include "service/budget.h"

void pl_budget_init(pl_budget *b, uint64_t now_us) {
  *b = (pl_budget){.given = PL_BUDGET_GIVEN, .filled_us = now_us};
}

static void refill(pl_budget *b, uint64_t now_us) {
  const uint64_t each_us = 1000000 / PL_BUDGET_RATE;
  uint64_t due = (now_us - b->filled_us) / each_us;
  b->filled_us += due * each_us;
  b->given = due < PL_BUDGET_GIVEN - b->given ? b->given + (uint32_t)due : PL_BUDGET_GIVEN;
}

bool pl_budget_take(pl_budget *b, uint64_t now_us) {
  refill(b, now_us);
  if (b->earned >= PL_BUDGET_CALLS) {
    b->earned -= PL_BUDGET_CALLS;
  } else if (b->given > 0) {
    b->given--;
  } else {
    return false;
  }
  return true;
}
