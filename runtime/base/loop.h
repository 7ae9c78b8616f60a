// The environment of the protocol core: time, deferred work, flushes, randomness, log
// and counters. libuv drives one kind of loop, a spec or the simulator the other.
// Loop thread only.
//
// A turn runs all queued work, then the flushes, so that what one turn wrote leaves in
// one write. Nothing that is queued runs inside the call that queued it.
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/random.h"

typedef struct pl_work {
  pl_list node;  // in one queue of the loop while queued
  void (*run)(struct pl_work *work);
} pl_work;

typedef struct pl_loop {
  pl_clock clock;
  pl_random random;
  pl_log *log;  // owned
  pl_metrics metrics;
  pl_list work;     // of pl_work, oldest first
  pl_list flushes;  // of pl_work
  pl_list behind;   // of pl_work: one a turn, after the flushes
  uv_loop_t *uv;    // NULL when time is virtual, or its thread drives it
  struct pl_loop_uv *driver;
  bool driven;               // pl_loop_new_driven
  bool turn_over;            // the running work has used up the turn
  uint64_t behind_since_us;  // when what stands behind had its turn, or came
  uint64_t absent_us;        // by how much timers came late because the process did not run, in sum
  // Virtual: the kind of all links to other loops, whatever their scheme; NULL: mem://.
  const struct pl_scheme *network;
} pl_loop;

// A loop on its own uv_loop_t, with `log` handed over.
pl_loop *pl_loop_new(pl_log *log);
// A loop in virtual time that starts at 1 s, its randomness a function of `seed`.
pl_loop *pl_loop_new_virtual(pl_log *log, uint64_t seed);
// A loop in real time without I/O, for a thread that has nothing to wait for: between its turns the
// thread advances the clock. `log` is borrowed.
pl_loop *pl_loop_new_driven(pl_log *log);
// Asserts that no timer, work or libuv handle of others is left.
void pl_loop_free(pl_loop *l);

// Queues `w`; queueing twice is one run.
void pl_loop_defer(pl_loop *l, pl_work *w, void (*run)(pl_work *));
// As defer, but after all work of the turn.
void pl_loop_flush_later(pl_loop *l, pl_work *w, void (*run)(pl_work *));
// As defer, but one of these a turn, when all else of it is done and what that wrote has left;
// where turns are used up, once in PL_BEHIND_US. For work that takes long, and of which more will
// follow: what comes in meanwhile has its turn first.
void pl_loop_defer_behind(pl_loop *l, pl_work *w, void (*run)(pl_work *));
// Takes it out of its queue; fine when it is in none, or zeroed.
void pl_work_cancel(pl_work *w);
static inline bool pl_work_queued(const pl_work *w) {
  return w->node.next != NULL && !pl_list_empty(&w->node);
}

// Some work is queued for this turn.
static inline bool pl_loop_has_work(const pl_loop *l) {
  return !pl_list_empty(&l->work);
}

// libuv: runs until `pl_loop_stop`, or until nothing keeps the loop alive.
void pl_loop_run(pl_loop *l);
void pl_loop_stop(pl_loop *l);

// The running work has lasted as long as a turn may: the network comes next.
static inline void pl_loop_end_turn(pl_loop *l) {
  l->turn_over = true;
}

// One turn: queued work, for at most PL_TURN_US of real time, then flushes. True when work is left.
bool pl_loop_turn(pl_loop *l);
// Virtual: turns until nothing is queued, then advances to the next timer and on, until `us` have
// passed.
void pl_loop_advance(pl_loop *l, uint64_t us);

// Microseconds, monotonic. `now` is of the start of the turn; `precise` asks the system.
static inline uint64_t pl_now_us(const pl_loop *l) {
  return l->clock.now_us;
}
uint64_t pl_now_precise_us(const pl_loop *l);
// Something came in while libuv waited: `now` is the time of that, and no longer of the turn
// before.
void pl_loop_came(pl_loop *l);
// By how much the next timer is late, when that is so much that this process must have stood still;
// else 0.
uint64_t pl_loop_late_us(const pl_loop *l);
// Grows whenever this process stood still. What was measured meanwhile says more of this end than
// of the other.
static inline uint64_t pl_loop_absent_us(const pl_loop *l) {
  return l->absent_us + pl_loop_late_us(l);
}
// Microseconds since 1970, for logs, ids and people; never for timers.
uint64_t pl_wall_us(void);
