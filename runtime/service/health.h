// Whether a provider of an action can be relied on, learnt from how calls to it end.
//
//            a failure               3 failures in a row
//     OK ----------------> DEGRADED ---------------------> EJECTED <---+
//      ^  2 successes in a row |                              |        | a failure: twice as long
//      |<----------------------+                 its time over|        |
//      |                                                      v        |
//      +------------------------------------------------- PROBING -----+
//                     2 successes in a row
//
// A degraded provider still takes calls, one that probes takes one at a time. Pure: the owner tells
// the time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef enum pl_health_state {
  PL_HEALTH_OK,
  PL_HEALTH_DEGRADED,
  PL_HEALTH_EJECTED,
  PL_HEALTH_PROBING,
} pl_health_state;

// Zeroed is a provider of which nothing is known: OK.
typedef struct pl_health {
  uint64_t until_us;  // of an ejection
  uint64_t rest_us;   // until when it said that it is busy
  uint8_t state;      // pl_health_state, without the time: see pl_health_now
  uint8_t failures;   // in a row
  uint8_t successes;  // in a row
  uint8_t ejections;  // in a row
  bool probe;         // a probing call is on its way
} pl_health;

// How a call ended, as far as its provider is concerned.
typedef enum pl_verdict {
  PL_VERDICT_NONE,     // says nothing: it was cancelled, or refused for what it is
  PL_VERDICT_GOOD,     // the action ran, whatever came out
  PL_VERDICT_BUSY,     // refused by a bound
  PL_VERDICT_FAILURE,  // no answer: lost, or too late
} pl_verdict;

// PL_OK is a result.
pl_verdict pl_verdict_of(pl_err code, pl_outcome outcome);

// The state at `now_us`: an ejection whose time is over is PROBING.
pl_health_state pl_health_now(const pl_health *h, uint64_t now_us);
static inline bool pl_health_rests(const pl_health *h, uint64_t now_us) {
  return h->rest_us > now_us;
}

// A call goes there. True when it is the probe, which pl_health_end must be told.
bool pl_health_begin(pl_health *h, uint64_t now_us);
// A call ended. `retry_after_ms`: of a BUSY; 0 = not told.
void pl_health_end(pl_health *h, uint64_t now_us, bool probe, pl_verdict verdict,
                   uint32_t retry_after_ms);

// "ok", "degraded", "ejected", "probing".
const char *pl_health_name(pl_health_state state);
