#include "base/loop_uv.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"

// One iteration of libuv:
//
//   timers -> idle -> PREPARE -> poll for I/O -> CHECK -> close callbacks
//
// A turn runs in `prepare`, so that libuv never sleeps on queued work, and in `check`,
// so that what the I/O caused leaves before the next sleep decides anything.
//
// When a turn finds that timers are long due, the process stood still: it was stopped, or starved,
// or one callback took long. Those timers would say that others did not answer, while the answers
// wait to be read. So the time stands still, too, until one poll has read them.
typedef struct pl_loop_uv {
  uv_loop_t loop;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;     // active while work is left: libuv polls without sleeping
  uv_timer_t timer;   // wakes for the clock; referenced while that has timers
  uint64_t armed_us;  // what `timer` waits for, PL_NEVER when for nothing
  bool behind;        // the next `check` comes after a poll that read what had been waiting
  bool stopping;
} pl_loop_uv;

static bool has_work(const pl_loop *l) {
  return !pl_list_empty(&l->work) || !pl_list_empty(&l->flushes) || !pl_list_empty(&l->behind);
}

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

static void on_timer(uv_timer_t *timer) {
  pl_loop *l = timer->data;
  l->driver->armed_us = PL_NEVER;  // the turn in `prepare` does the rest
}

// A timer that was stopped stays armed: hardly any fires, and waking once in vain costs
// less than arming for each.
static void arm(pl_loop *l) {
  pl_loop_uv *d = l->driver;
  if (l->clock.active == 0) {
    uv_unref((uv_handle_t *)&d->timer);
    return;
  }
  uv_ref((uv_handle_t *)&d->timer);

  uint64_t next_us = pl_clock_next_us(&l->clock);
  if (next_us >= d->armed_us) return;
  uint64_t next_ms = next_us / 1000 + (next_us % 1000 > 0);
  uint64_t now_ms = uv_now(&d->loop);
  uv_timer_start(&d->timer, on_timer, next_ms > now_ms ? next_ms - now_ms : 0, 0);
  d->armed_us = next_us;
}

// Who stood still looks first, see above. No timer fires here: that is for the next turn.
void pl_loop_came(pl_loop *l) {
  if (l->driver->behind || pl_loop_late_us(l) > 0) return;
  uint64_t now_us = uv_hrtime() / 1000;
  if (now_us > l->clock.now_us) l->clock.now_us = now_us;
}

// Tells libuv how long it may sleep.
static void settle(pl_loop *l) {
  if (has_work(l)) {
    uv_idle_start(&l->driver->idle, on_idle);
  } else {
    uv_idle_stop(&l->driver->idle);
  }
  arm(l);
}

// What takes long runs before each poll, but not once more behind it. Nor does anything else run
// before a poll when the turn behind the last one was used up.
static void turn(pl_loop *l, bool polls_next) {
  pl_loop_uv *d = l->driver;
  if (!d->behind) pl_clock_advance(&l->clock, uv_hrtime() / 1000);
  if (!polls_next || !l->turn_over) pl_loop_serve(l);
  if (polls_next) pl_loop_serve_behind(l);
  settle(l);
  if (d->behind) uv_idle_start(&d->idle, on_idle);  // the poll does not sleep
}

// What is found late is late once: the clock goes on with the next `check`.
static void look_behind(pl_loop *l) {
  uint64_t late_us = pl_loop_late_us(l);
  if (late_us == 0) return;
  l->absent_us += late_us;
  l->driver->behind = true;
}

static void on_prepare(uv_prepare_t *prepare) {
  pl_loop *l = prepare->data;
  if (!l->driver->behind) look_behind(l);
  turn(l, true);
  uv_update_time(l->uv);  // the time to sleep counts from now, not from before the turn
}

static void on_check(uv_check_t *check) {
  pl_loop *l = check->data;
  if (l->driver->behind) {
    l->driver->behind = false;
  } else {
    look_behind(l);
  }
  turn(l, false);
}

void pl_loop_uv_open(pl_loop *l) {
  pl_loop_uv *d = pl_new(pl_loop_uv);
  int failed = uv_loop_init(&d->loop);
  assert(failed == 0);
  l->uv = &d->loop;
  l->driver = d;
  d->armed_us = PL_NEVER;

  // These cannot fail. Started first, the two run last among those of their kind.
  uv_prepare_init(l->uv, &d->prepare);
  uv_check_init(l->uv, &d->check);
  uv_idle_init(l->uv, &d->idle);
  uv_timer_init(l->uv, &d->timer);
  d->prepare.data = d->check.data = d->idle.data = d->timer.data = l;
  uv_prepare_start(&d->prepare, on_prepare);
  uv_check_start(&d->check, on_check);
  uv_unref((uv_handle_t *)&d->prepare);
  uv_unref((uv_handle_t *)&d->check);
}

static void on_closed(uv_handle_t *handle) {
  handle->data = NULL;
}

void pl_loop_uv_close(pl_loop *l) {
  pl_loop_uv *d = l->driver;
  uv_handle_t *handles[] = {
      (uv_handle_t *)&d->prepare,
      (uv_handle_t *)&d->check,
      (uv_handle_t *)&d->idle,
      (uv_handle_t *)&d->timer,
  };
  for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
    uv_ref(handles[i]);
    uv_close(handles[i], on_closed);
  }
  while (d->prepare.data != NULL || d->check.data != NULL || d->idle.data != NULL ||
         d->timer.data != NULL) {
    uv_run(l->uv, UV_RUN_NOWAIT);  // never waits for handles of others, which are an error here
  }

  int busy = uv_loop_close(l->uv);
  if (busy) uv_print_all_handles(l->uv, stderr);
  assert(busy == 0);
  l->uv = NULL;
  l->driver = NULL;
  pl_free(d);
}

void pl_loop_run(pl_loop *l) {
  pl_loop_uv *d = l->driver;
  assert(d != NULL);
  do {
    settle(l);  // libuv alone would not stay for what was queued since the last turn
    uv_run(l->uv, UV_RUN_DEFAULT);
  } while (!d->stopping && (has_work(l) || l->clock.active > 0));
  d->stopping = false;
}

void pl_loop_stop(pl_loop *l) {
  l->driver->stopping = true;
  uv_stop(l->uv);
}
