#include "base/loop.h"

#include <assert.h>
#include <time.h>

#include "base/kernel.h"
#include "base/limits.h"
#include "base/loop_uv.h"
#include "base/map.h"
#include "base/mem.h"

enum {
  START_VIRTUAL_US = 1000000,
  LATE_US = 100 * 1000,  // more than a turn, and what a busy machine makes of one
  RUNS_PER_LOOK = 4,     // work between two looks at the time, which costs as much as a short one
};

static pl_loop *new_loop(pl_log *log, uint64_t now_us, uint64_t seed) {
  pl_loop *l = pl_new(pl_loop);
  l->log = log;
  pl_clock_init(&l->clock, now_us);
  pl_random_seed(&l->random, seed);
  pl_list_init(&l->work);
  pl_list_init(&l->flushes);
  pl_list_init(&l->behind);
  return l;
}

pl_loop *pl_loop_new(pl_log *log) {
  pl_loop *l = new_loop(log, uv_hrtime() / 1000, pl_random_secret_u64());
  pl_loop_uv_open(l);
  return l;
}

pl_loop *pl_loop_new_virtual(pl_log *log, uint64_t seed) {
  if (pl_kernel_current() == NULL) pl_map_reseed(seed);
  return new_loop(log, START_VIRTUAL_US, seed);
}

pl_loop *pl_loop_new_driven(pl_log *log) {
  pl_loop *l = new_loop(log, uv_hrtime() / 1000, pl_random_secret_u64());
  l->driven = true;
  return l;
}

void pl_loop_free(pl_loop *l) {
  if (l->driver != NULL) pl_loop_uv_close(l);
  assert(l->clock.active == 0);
  assert(pl_list_empty(&l->work));
  assert(pl_list_empty(&l->flushes));
  assert(pl_list_empty(&l->behind));
  if (!l->driven) pl_log_free(l->log);
  pl_free(l);
}

static void enqueue(pl_list *queue, pl_work *w, void (*run)(pl_work *)) {
  if (pl_work_queued(w)) return;
  w->run = run;
  pl_list_push(queue, &w->node);
}

void pl_loop_defer(pl_loop *l, pl_work *w, void (*run)(pl_work *)) {
  enqueue(&l->work, w, run);
}

void pl_loop_flush_later(pl_loop *l, pl_work *w, void (*run)(pl_work *)) {
  enqueue(&l->flushes, w, run);
}

void pl_loop_defer_behind(pl_loop *l, pl_work *w, void (*run)(pl_work *)) {
  if (pl_list_empty(&l->behind)) l->behind_since_us = l->clock.now_us;
  enqueue(&l->behind, w, run);
}

void pl_work_cancel(pl_work *w) {
  if (pl_work_queued(w)) pl_list_remove(&w->node);
}

// False when the queue is empty.
static bool run_next(pl_list *queue) {
  pl_list *node = pl_list_pop(queue);
  if (node == NULL) return false;
  pl_work *w = pl_container(node, pl_work, node);
  w->run(w);
  return true;
}

static void flush(pl_loop *l) {
  while (run_next(&l->flushes)) {
  }
}

void pl_loop_serve(pl_loop *l) {
  uint64_t end_us = l->clock.now_us + PL_TURN_US;
  l->turn_over = false;
  for (unsigned runs = 1; !l->turn_over && run_next(&l->work); runs++) {
    if (runs % RUNS_PER_LOOK == 0 && pl_now_precise_us(l) >= end_us) break;
  }
  flush(l);
}

// Nor does what stands behind wait for ever where all turns are used up.
void pl_loop_serve_behind(pl_loop *l) {
  if (pl_list_empty(&l->behind)) return;
  if (l->turn_over && pl_now_precise_us(l) < l->behind_since_us + PL_BEHIND_US) return;
  run_next(&l->behind);
  l->behind_since_us = pl_now_precise_us(l);
  flush(l);
}

bool pl_loop_turn(pl_loop *l) {
  pl_loop_serve(l);
  pl_loop_serve_behind(l);
  return !pl_list_empty(&l->work) || !pl_list_empty(&l->behind);
}

void pl_loop_advance(pl_loop *l, uint64_t us) {
  assert(l->uv == NULL);
  uint64_t end_us = l->clock.now_us + us;
  for (;;) {
    while (pl_loop_turn(l)) {
    }
    uint64_t next_us = pl_clock_next_us(&l->clock);
    if (next_us > end_us) break;
    pl_clock_advance(&l->clock, next_us);
  }
  pl_clock_advance(&l->clock, end_us);
}

uint64_t pl_now_precise_us(const pl_loop *l) {
  return l->uv == NULL && !l->driven ? l->clock.now_us : uv_hrtime() / 1000;
}

uint64_t pl_loop_late_us(const pl_loop *l) {
  uint64_t due_us = pl_clock_next_us(&l->clock), now_us = pl_now_precise_us(l);
  return now_us > due_us && now_us - due_us > LATE_US ? now_us - due_us : 0;
}

uint64_t pl_wall_us(void) {
  const pl_kernel *simulated = pl_kernel_current();
  if (simulated != NULL) return simulated->wall_us;
  struct timespec now;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  assert(!failed);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
