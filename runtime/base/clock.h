// Monotonic time and one-shot timers, without I/O: whoever owns the clock advances
// it, from libuv or from a spec. Loop thread only.
//
// Timers sit in a hierarchical wheel of 1024 us ticks: starting and stopping one
// costs a few nanoseconds, because every call has a deadline and hardly any fires. The
// tick is the unit of sorting, not of precision: timers fire at the microsecond asked for.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define PL_NEVER UINT64_MAX

typedef struct pl_timer {
  pl_list node;    // in a slot of the wheel, while active
  uint64_t at_us;  // not before this instant
  void (*fire)(struct pl_timer *timer);
  struct pl_clock *clock;  // NULL while inactive
} pl_timer;

enum { PL_CLOCK_LEVELS = 7, PL_CLOCK_SLOTS = 64 };

typedef struct pl_clock {
  uint64_t now_us;
  uint64_t tick;    // of the last advance
  uint64_t due_us;  // no timer of that tick is due earlier
  uint64_t occupied[PL_CLOCK_LEVELS];
  pl_list slots[PL_CLOCK_LEVELS][PL_CLOCK_SLOTS];
  unsigned active;  // timers started and not yet fired or stopped
} pl_clock;

void pl_clock_init(pl_clock *c, uint64_t now_us);

// Fires what is due, in order of time up to a tick; a callback may start and stop any
// timer. What it starts fires in a later advance, also without a delay.
void pl_clock_advance(pl_clock *c, uint64_t now_us);

// When to advance next: no timer is due earlier, but perhaps none is due then, as the time
// of timers far ahead is only known roughly. PL_NEVER without timers.
uint64_t pl_clock_next_us(const pl_clock *c);

// Starts, or restarts, `t`. A zeroed timer is valid. The caller owns it and stops it
// before freeing it. Never fires inside this call.
void pl_timer_start(pl_clock *c, pl_timer *t, uint64_t delay_us, void (*fire)(pl_timer *));
void pl_timer_stop(pl_timer *t);  // fine when inactive

static inline bool pl_timer_active(const pl_timer *t) {
  return t->clock != NULL;
}
