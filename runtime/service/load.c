// How many requests this node has, told to the mesh coarsely: who chooses among providers knows of
// those that come from elsewhere only so. Everybody hears it from everybody, so the more nodes
// there are, the less often each one tells.

#include "base/limits.h"
#include "base/mem.h"
#include "service/channel.h"

enum {
  PACE_US = 250000,  // between two looks, and at least between two reports
  UNIT = 16,         // of the smoothed number
  LEAST = 4,         // a change that is worth telling, in requests,
  PART = 4,          // or as a part of what was told, or of the slots
};

// Of a node with few slots every one counts.
static uint32_t least_change(const pl_service *sv) {
  int64_t slots = sv->config.max_concurrency;
  if (slots <= 0 || slots >= LEAST * PART) return LEAST;
  return slots < PART ? 1 : (uint32_t)slots / PART;
}

static bool is_worth_telling(const pl_service *sv, uint32_t now) {
  uint32_t told = sv->load_told;
  uint32_t change = now > told ? now - told : told - now;
  return change >= least_change(sv) && change >= told / PART;
}

// A node that has calmed down says so, even if it was never busy enough for more.
static bool has_calmed_down(const pl_service *sv, uint32_t now) {
  return sv->load_told > 0 && now == 0;
}

static bool may_tell(const pl_service *sv) {
  uint64_t pause = (uint64_t)pl_router_count(sv->router) * PL_NEWS_SHARE_US;
  return pl_now_us(sv->loop) >= sv->load_told_us + pause;
}

static void on_pace(pl_timer *t) {
  pl_service *sv = pl_container(t, pl_service, load_timer);
  uint32_t count = sv->requests < PL_LOAD_MAX ? (uint32_t)sv->requests : PL_LOAD_MAX;
  // Where slots are bounded it is they that callers look for, and what is over must not look taken.
  sv->load = sv->config.max_concurrency > 0 ? count * UNIT : (sv->load + count * UNIT) / 2;
  uint32_t now = sv->load / UNIT;
  bool news = is_worth_telling(sv, now) || has_calmed_down(sv, now);
  if (news && may_tell(sv)) {
    sv->load_told = now;
    sv->load_told_us = pl_now_us(sv->loop);
    pl_service_announce(sv);
  }
  if (sv->load > 0 || sv->load_told > 0) pl_timer_start(&sv->loop->clock, t, PACE_US, on_pace);
}

void pl_load_note(pl_service *sv) {
  if (!pl_timer_active(&sv->load_timer))
    pl_timer_start(&sv->loop->clock, &sv->load_timer, PACE_US, on_pace);
}
