#include "service/health.h"

enum {
  FAILURES_TO_EJECT = 3,
  SUCCESSES_TO_HEAL = 2,
  EJECT_US = 1000000,      // the first time; twice as long each further time in a row
  EJECTIONS_DOUBLING = 5,  // 32 s at most
  REST_US = 100000,        // of a provider that did not say how long it is busy
  REST_MAX_US = 5000000,   // whatever it said
};

pl_verdict pl_verdict_of(pl_err code, pl_outcome outcome) {
  if (code == PL_OK || outcome == PL_EXECUTED) return PL_VERDICT_GOOD;
  if (code == PL_PEER_LOST || code == PL_NO_ROUTE || code == PL_TIMEOUT || code == PL_PROTOCOL)
    return PL_VERDICT_FAILURE;
  if (code == PL_BUSY) return PL_VERDICT_BUSY;
  return PL_VERDICT_NONE;
}

pl_health_state pl_health_now(const pl_health *h, uint64_t now_us) {
  bool over = h->state == PL_HEALTH_EJECTED && now_us >= h->until_us;
  return over ? PL_HEALTH_PROBING : (pl_health_state)h->state;
}

bool pl_health_begin(pl_health *h, uint64_t now_us) {
  pl_health_state now = pl_health_now(h, now_us);
  if (now != PL_HEALTH_PROBING || h->probe) return false;
  h->state = PL_HEALTH_PROBING;
  h->probe = true;
  return true;
}

static void eject(pl_health *h, uint64_t now_us) {
  h->state = PL_HEALTH_EJECTED;
  h->until_us = now_us + ((uint64_t)EJECT_US << h->ejections);
  if (h->ejections < EJECTIONS_DOUBLING) h->ejections++;
}

static void count_failure(pl_health *h, uint64_t now_us) {
  h->successes = 0;
  if (h->failures < FAILURES_TO_EJECT) h->failures++;
  if (h->state == PL_HEALTH_PROBING) {
    eject(h, now_us);
  } else if (h->state != PL_HEALTH_EJECTED) {  // calls from before the ejection change nothing
    h->state = PL_HEALTH_DEGRADED;
    if (h->failures == FAILURES_TO_EJECT) eject(h, now_us);
  }
}

static void count_success(pl_health *h) {
  h->failures = 0;
  h->rest_us = 0;
  if (h->state == PL_HEALTH_OK || h->state == PL_HEALTH_EJECTED) return;
  if (++h->successes < SUCCESSES_TO_HEAL) return;
  h->state = PL_HEALTH_OK;
  h->successes = 0;
  h->ejections = 0;
}

static void rest(pl_health *h, uint64_t now_us, uint32_t retry_after_ms) {
  uint64_t us = retry_after_ms == 0 ? REST_US : (uint64_t)retry_after_ms * 1000;
  h->rest_us = now_us + (us < REST_MAX_US ? us : REST_MAX_US);
}

void pl_health_end(pl_health *h, uint64_t now_us, bool probe, pl_verdict verdict,
                   uint32_t retry_after_ms) {
  h->state = (uint8_t)pl_health_now(h, now_us);
  if (probe) h->probe = false;
  switch (verdict) {
    case PL_VERDICT_NONE: break;
    case PL_VERDICT_GOOD: count_success(h); break;
    case PL_VERDICT_BUSY: rest(h, now_us, retry_after_ms); break;
    case PL_VERDICT_FAILURE: count_failure(h, now_us); break;
  }
}

const char *pl_health_name(pl_health_state state) {
  switch (state) {
    case PL_HEALTH_OK: return "ok";
    case PL_HEALTH_DEGRADED: return "degraded";
    case PL_HEALTH_EJECTED: return "ejected";
    case PL_HEALTH_PROBING: return "probing";
  }
  return "?";
}
