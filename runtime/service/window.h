// How much may come of a stream or body before its consumer has taken it: bandwidth times delay, as
// far as the node has that to give.
//
// A window is too small when its consumer has taken all that was granted, and must wait until the
// next grant has gone to the producer and what that sends has come back. Such a wait is seen from
// here: nothing of older credit is left, nothing waits, and after a pause the first bytes of the
// new credit come. Then the window doubles, if it was used up in little more than a round trip.
// Where it took far longer, what is under way waits for a link or processor on the path; more would
// wait as well, and be held there. Where a round trip is short it never matters; a producer, a link
// or a consumer that is slow in itself leaves older credit, or items that wait. A stream that was
// idle goes back to what it began with. Pure: no I/O, no clock.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// What all windows of a node share.
typedef struct pl_windows {
  uint64_t budget;    // bytes they may promise together
  uint64_t promised;  // that they do
  bool tight;         // the node is short of memory: they become small
} pl_windows;

typedef struct pl_window {
  pl_windows *all;  // NULL: it stays as it is
  uint64_t items, bytes;
  uint64_t first_items, first_bytes;
  uint64_t promised;  // in all->promised
  // Of the last grant that is waited for.
  uint64_t granted_us;
  bool asked;
  uint64_t asked_us;
  uint64_t older_items, older_bytes;  // of the credit before it, that has not come yet
  uint64_t heard_us;                  // when something came last
  uint64_t pause_us;                  // between two arrivals, smoothed
  uint64_t rtt_us;                    // least in the last 10 to 20 s; 0: none was seen
  uint64_t rtt_next_us;               // since `rtt_since_us`
  uint64_t rtt_since_us;
  uint64_t stopped_us;  // when the sender had to wait for credit last, or the first bytes came
  bool was_short;       // that was soon after the time before, or there was none
} pl_window;

// The first window of a stream, as the budget has it: both at most PL_WINDOW_ITEMS and _BYTES.
uint64_t pl_windows_first(const pl_windows *all);

// `all`, which outlives it, may be NULL.
void pl_window_init(pl_window *w, pl_windows *all, uint64_t items, uint64_t bytes, uint64_t now_us);
void pl_window_fini(pl_window *w);
// So much came. `starved`: the consumer had taken everything before it.
void pl_window_arrived(pl_window *w, uint64_t items, uint64_t bytes, bool starved, uint64_t now_us);
// More is granted, beside what of older credit is still open.
void pl_window_granted(pl_window *w, uint64_t open_items, uint64_t open_bytes, uint64_t now_us);
// Makes it smaller when the node is short of memory.
void pl_window_press(pl_window *w);
// What it must count with: `used_bytes` that were granted or wait, if that is more than its size.
void pl_window_settle(pl_window *w, uint64_t used_bytes);
