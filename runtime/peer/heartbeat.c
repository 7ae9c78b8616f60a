#include "peer/heartbeat.h"

enum { RTT_WEIGHT = 8 };  // as TCP: a new sample counts one eighth

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static void plan(pl_heartbeat *h) {
  h->due_us = earlier(h->ping_us, h->heard_us + h->patience_us);
}

void pl_heartbeat_start(pl_heartbeat *h, uint64_t interval_us, unsigned misses, uint64_t now_us) {
  *h = (pl_heartbeat){
      .interval_us = interval_us,
      .patience_us = interval_us * misses,
      .heard_us = now_us,
      .ping_us = now_us + interval_us,
      .silent = true,
  };
  plan(h);
}

pl_heartbeat_decision pl_heartbeat_tick(pl_heartbeat *h, uint64_t now_us) {
  uint64_t late_us = now_us > h->due_us ? now_us - h->due_us : 0;
  h->heard_us = earlier(h->heard_us + late_us, now_us);

  if (now_us >= h->heard_us + h->patience_us) return PL_HEARTBEAT_LOST;
  if (now_us < h->ping_us) {
    plan(h);
    return PL_HEARTBEAT_WAIT;
  }
  h->ping_us = now_us + h->interval_us;
  plan(h);
  bool missed = h->silent;
  h->silent = true;
  return missed ? PL_HEARTBEAT_MISSED : PL_HEARTBEAT_PING;
}

void pl_heartbeat_measured(pl_heartbeat *h, uint64_t rtt_us) {
  if (rtt_us == 0) rtt_us = 1;  // 0 means not measured
  if (h->rtt_us == 0) {
    h->rtt_us = rtt_us;
  } else {
    h->rtt_us = (h->rtt_us * (RTT_WEIGHT - 1) + rtt_us + RTT_WEIGHT / 2) / RTT_WEIGHT;
  }
}
