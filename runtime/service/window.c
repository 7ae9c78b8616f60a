#include "service/window.h"

#include <stddef.h>

#include "base/limits.h"

enum {
  SPLIT_MAX = PL_PREFIX_MAX + 5,  // credit that a producer may leave: a length is never split, nor
                                  // what stands before a tail
  PAUSE_PARTS = 8,                // of a round trip: what is shorter is no pause,
  PAUSE_TIMES = 4,                // nor is what is not longer than usual
  MORE_PARTS = 2,                 // of a round trip: a window that is too small takes one and this
  AGAIN_PARTS = 4,                // what is left of a window when its round trip is forgotten
  BUDGET_PARTS = 4,               // of what is left: the most that one window takes
  FIRST_PARTS = 256,
  RTT_KEPT_US = 10000000,
};

static uint64_t at_least(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static uint64_t at_most(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t left(const pl_windows *all) {
  return all->budget > all->promised ? all->budget - all->promised : 0;
}

uint64_t pl_windows_first(const pl_windows *all) {
  uint64_t bytes = all->tight ? 0 : left(all) / FIRST_PARTS;
  return at_most(at_least(bytes, PL_WINDOW_BYTES_MIN), PL_WINDOW_BYTES);
}

void pl_window_init(pl_window *w, pl_windows *all, uint64_t items, uint64_t bytes,
                    uint64_t now_us) {
  *w = (pl_window){
      .all = all,
      .items = items,
      .bytes = bytes,
      .first_items = items,
      .first_bytes = bytes,
      .heard_us = now_us,
      .granted_us = now_us,
      .rtt_since_us = now_us,
      .was_short = true,
  };
  pl_window_settle(w, 0);
}

void pl_window_fini(pl_window *w) {
  if (w->all != NULL) w->all->promised -= w->promised;
  w->promised = 0;
  w->all = NULL;
}

void pl_window_settle(pl_window *w, uint64_t used_bytes) {
  if (w->all == NULL) return;
  uint64_t now = at_least(w->bytes, used_bytes);
  w->all->promised += now;
  w->all->promised -= w->promised;
  w->promised = now;
}

static void lower(uint64_t *least_us, uint64_t sample_us) {
  if (*least_us == 0 || sample_us < *least_us) *least_us = at_least(sample_us, 1);
}

static void shrink_to(pl_window *w, uint64_t parts) {
  w->items = at_most(w->items, at_least(w->items / parts, w->first_items));
  w->bytes = at_most(w->bytes, at_least(w->bytes / parts, w->first_bytes));
}

// The least one counts, because every other time some of it is waiting for its turn, be it for a
// processor. It is forgotten after a while, because paths change. What a large window has filled
// would then be taken for the length of the path; with a smaller one that shows, and where it is
// the path the window is back in two round trips.
static void measure(pl_window *w, uint64_t sample_us, uint64_t now_us) {
  if (now_us - w->rtt_since_us >= RTT_KEPT_US) {
    w->rtt_us = w->rtt_next_us;
    w->rtt_next_us = 0;
    w->rtt_since_us = now_us;
    if (w->all != NULL) shrink_to(w, AGAIN_PARTS);
  }
  lower(&w->rtt_us, sample_us);
  lower(&w->rtt_next_us, sample_us);
}

static void grow(pl_window *w, bool items, bool bytes) {
  if (w->all == NULL || w->all->tight) return;
  if (items) w->items = at_most(2 * w->items, at_least(w->items, PL_WINDOW_ITEMS_MAX));
  if (!bytes) return;
  uint64_t most = at_most(PL_WINDOW_BYTES_MAX, w->bytes + left(w->all) / BUDGET_PARTS);
  w->bytes = at_least(w->bytes, at_most(2 * w->bytes, most));
}

static void shrink(pl_window *w, uint64_t idle_us) {
  for (uint64_t n = idle_us / PL_WINDOW_IDLE_US; n > 0; n--) {
    if (w->items <= w->first_items && w->bytes <= w->first_bytes) return;
    shrink_to(w, 2);
  }
}

// Whether the window that is used up was so after little more than a round trip. If it takes far
// longer, what is under way waits for a link or a processor: more of it would wait as well, and be
// held there. Twice in a row, because where nodes take turns on a processor a burst follows a gap.
static bool is_short(pl_window *w, uint64_t now_us) {
  bool before = w->was_short;
  w->was_short = now_us - w->stopped_us <= w->rtt_us + w->rtt_us / MORE_PARTS;
  w->stopped_us = now_us;
  return before && w->was_short;
}

void pl_window_arrived(pl_window *w, uint64_t items, uint64_t bytes, bool starved,
                       uint64_t now_us) {
  uint64_t pause_us = now_us - w->heard_us, usual_us = w->pause_us;
  w->heard_us = now_us;
  if (w->stopped_us == 0) w->stopped_us = now_us;
  w->pause_us = usual_us - usual_us / 8 + pause_us / 8;
  if (w->all != NULL) shrink(w, pause_us);
  if (!w->asked) return;
  bool out_of_items = w->items > 0 && w->older_items == 0;
  bool out_of_bytes = w->older_bytes <= SPLIT_MAX;
  bool newer = items > w->older_items || bytes > w->older_bytes;
  w->older_items -= at_most(items, w->older_items);
  w->older_bytes -= at_most(bytes, w->older_bytes);
  if (!newer) return;

  w->asked = false;
  measure(w, now_us - w->asked_us, now_us);
  bool paused = pause_us * PAUSE_PARTS >= w->rtt_us && pause_us >= PAUSE_TIMES * usual_us;
  bool stopped = starved && paused && (out_of_items || out_of_bytes);
  if (!stopped || !is_short(w, now_us)) return;
  if (w->rtt_us >= PL_WINDOW_RTT_US) grow(w, out_of_items, out_of_bytes);
}

void pl_window_granted(pl_window *w, uint64_t open_items, uint64_t open_bytes, uint64_t now_us) {
  w->granted_us = now_us;
  if (w->asked) return;
  w->asked = true;
  w->asked_us = now_us;
  w->older_items = open_items;
  w->older_bytes = open_bytes;
}

void pl_window_press(pl_window *w) {
  if (w->all == NULL || !w->all->tight) return;
  w->bytes = at_least(w->bytes / 2, at_most(w->bytes, PL_WINDOW_BYTES_MIN));
}
