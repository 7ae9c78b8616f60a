// When to ping, when to give up, and how far away the other end is. Pure: it is told the time.
//
// Every byte that arrives is a sign of life. What counts as silence is time during which this end
// was awake: a tick that comes late (the process was stopped, a turn was long) moves the deadline
// by as much, because nothing could be heard meanwhile.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct pl_heartbeat {
  uint64_t interval_us;
  uint64_t patience_us;  // silence after which the other end is lost
  uint64_t heard_us;     // the last sign of life
  uint64_t ping_us;      // when the next ping is due
  uint64_t due_us;       // when the next tick is
  uint64_t rtt_us;       // smoothed; 0: none yet
  bool silent;           // nothing was heard since the last ping
} pl_heartbeat;

typedef enum pl_heartbeat_decision {
  PL_HEARTBEAT_WAIT,
  PL_HEARTBEAT_PING,
  PL_HEARTBEAT_MISSED,  // ping as well: the last one was not answered, nor anything else heard
  PL_HEARTBEAT_LOST,
} pl_heartbeat_decision;

// The owner sends the first ping by itself.
void pl_heartbeat_start(pl_heartbeat *h, uint64_t interval_us, unsigned misses, uint64_t now_us);

static inline void pl_heartbeat_heard(pl_heartbeat *h, uint64_t now_us) {
  h->heard_us = now_us;
  h->silent = false;
}

// To be called at h->due_us, or as soon after it as possible; sets the next.
pl_heartbeat_decision pl_heartbeat_tick(pl_heartbeat *h, uint64_t now_us);

// One measured round trip.
void pl_heartbeat_measured(pl_heartbeat *h, uint64_t rtt_us);
