#include "lua/reload.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/script.h"
#include "lua/task.h"

typedef enum state { IDLE, WAITING, LOADING, UNLOADING, TAKING } state;

struct pl_reload {
  pl_script *script;
  state state;
  pl_list asked;        // of pl_reload_wait: told at the end of this one
  pl_list asked_later;  // told at the end of the next
  bool again;
  bool broken_off;  // what loads is no more what there is to load
  unsigned breaks;  // of loads, one after the other
  pl_generation *next;
  pl_task *task;    // the main chunk or the hook that runs; one reference, or NULL
  char *stood;      // its traceback when its time was over; or NULL
  pl_slice *given;  // what on_unload returned, encoded
  pl_timer limit;
  pl_work step;
  uint64_t began_us;
  pl_origins tried;  // what the newest attempt was made from, when it failed
  bool failed;
  pl_failure failure;  // owned, when `failed`
  pl_difference difference;
  size_t sweeping;         // generations that were replaced, whose background tasks have not ended
  pl_reload_report *last;  // one reference; or NULL
  uint64_t last_us;        // when it ended

  pl_timer probation;
  uint64_t probation_until_us;
  pl_origins before;   // the texts of the version before, while the one that serves is on probation
  pl_conduct conduct;  // how that one did
  bool back;           // it is to come back
};

static pl_loop *loop_of(const pl_reload *r) {
  return pl_script_loop(r->script);
}

void pl_reload_wait_cancel(pl_reload_wait *w) {
  pl_list_remove(&w->node);
}

bool pl_reload_is_idle(const pl_reload *r) {
  return r->state == IDLE;
}

bool pl_reload_minds_changes(const pl_reload *r) {
  if (r->state == IDLE) return true;
  return r->task != NULL && !r->broken_off && !r->back && r->breaks < PL_RELOAD_BREAKS_MAX;
}

const pl_origins *pl_reload_origins(const pl_reload *r) {
  if (r->next != NULL && !r->back) return &r->next->sources;
  return r->tried.count > 0 ? &r->tried : &pl_script_current(r->script)->sources;
}

const pl_reload_report *pl_reload_last(const pl_reload *r, uint64_t *ended_us) {
  *ended_us = r->last_us;
  return r->last;
}

// The end of an attempt.

static pl_reload_report *report(pl_reload *r) {
  pl_reload_report *out = pl_new(pl_reload_report);
  out->refs = 1;
  out->script = pl_strdup(pl_script_path(r->script));
  out->generation = pl_script_current(r->script)->number;
  out->took_us = pl_now_precise_us(loop_of(r)) - r->began_us;
  out->failed = r->failed;
  out->failure = r->failure;
  out->difference = r->difference;
  r->failed = false;
  r->failure = (pl_failure){0};
  r->difference = (pl_difference){0};
  return out;
}

static void tell(pl_list *due, pl_reload_report *out) {
  for (pl_list *n; (n = pl_list_pop(due)) != NULL;) {
    pl_reload_wait *w = pl_container(n, pl_reload_wait, node);
    w->done(w, out);
  }
}

// Takes over the reference.
static void remember(pl_reload *r, pl_reload_report *last) {
  if (r->last != NULL) pl_reload_report_drop(r->last);
  r->last = last;
  r->last_us = pl_now_us(loop_of(r));
}

static void finish(pl_reload *r) {
  pl_timer_stop(&r->limit);
  pl_slice_drop(r->given);
  r->given = NULL;
  pl_free(r->stood);
  r->stood = NULL;
  r->back = false;
  r->state = IDLE;
  // Who has asked for what was broken off is told what comes of the newest.
  bool carry = r->broken_off && r->failed;
  r->broken_off = false;
  r->breaks = carry ? r->breaks + 1 : 0;
  pl_list due;
  pl_list_init(&due);
  if (!carry) pl_list_take(&due, &r->asked);
  for (pl_list *n; (n = pl_list_pop(&r->asked_later)) != NULL;)
    pl_list_push(&r->asked, n);
  if (r->again) r->state = WAITING;
  r->again = false;
  pl_reload_report *out = report(r);
  pl_host_reloaded(pl_script_host(r->script), out);
  tell(&due, out);
  remember(r, out);
  pl_reload_go_on(r);
}

// What was made goes; what serves goes on.
static void give_up(pl_reload *r) {
  pl_generation *g = r->next;
  r->next = NULL;
  if (g != NULL) {
    pl_origins_fini(&r->tried);
    pl_origins_share(&r->tried, &g->sources);
    pl_generation_discard(g);
  }
  finish(r);
}

static void fail(pl_reload *r, pl_err code, const char *message) {
  const pl_failure f = pl_failure_of(code, PL_EXECUTED, message);
  r->failed = true;
  r->failure = pl_failure_keep(&f);
  give_up(r);
}

// Steps. Tasks end in the scheduler, so what follows them comes from the loop.

// The background tasks of a generation that was replaced have ended. What serves by now may be
// another one than that which has replaced it.
static void run_swept(void *user) {
  pl_reload *r = user;
  if (--r->sweeping > 0) return;
  pl_generation_go(pl_script_current(r->script));
  pl_script_changed(r->script);
}

// Probation.

static void on_look(pl_timer *t);

static void look_later(pl_reload *r) {
  pl_timer_start(&loop_of(r)->clock, &r->probation, PL_PROBATION_LOOK_US, on_look);
}

// The version before comes back, from the texts that it was loaded from.
static void go_back(pl_reload *r, const char *why) {
  const pl_generation *g = pl_script_current(r->script);
  pl_log_warn(loop_of(r)->log, "a generation does worse than the one before, which comes back",
              pl_f_text("script", pl_script_path(r->script)), pl_f_int("generation", g->number),
              pl_f_text("why", why));
  r->back = true;
  r->state = WAITING;
  pl_reload_go_on(r);
}

static void on_look(pl_timer *t) {
  pl_reload *r = pl_container(t, pl_reload, probation);
  char text[128];
  const pl_generation *g = pl_script_current(r->script);
  const char *why = pl_conduct_is_worse(&g->conduct, &r->conduct, text, sizeof text);
  if (r->state != IDLE) {
    look_later(r);
  } else if (why != NULL) {
    go_back(r, why);
  } else if (pl_now_us(loop_of(r)) < r->probation_until_us) {
    look_later(r);
  } else {
    pl_origins_fini(&r->before);
  }
}

// What comes back has proved itself.
static void begin_probation(pl_reload *r, const pl_generation *old) {
  double seconds = pl_script_options(r->script)->probation;
  pl_timer_stop(&r->probation);
  pl_origins_fini(&r->before);
  if (seconds <= 0 || r->back) return;
  pl_origins_share(&r->before, &old->sources);
  r->conduct = old->conduct;
  r->probation_until_us = pl_now_us(loop_of(r)) + (uint64_t)(seconds * 1e6);
  look_later(r);
}

static void swap(pl_reload *r) {
  pl_generation *old = pl_script_current(r->script), *next = r->next;
  char detail[PL_URL_MAX] = "";
  pl_registrations_compare(&r->difference, old, next);
  pl_err err = pl_registrations_swap(old, next, detail);
  if (err != PL_OK) {
    pl_difference_free(&r->difference);
    r->difference = (pl_difference){0};
    fail(r, err, detail);
    return;
  }
  r->next = NULL;
  pl_origins_fini(&r->tried);
  if (r->back) pl_origins_share(&r->tried, &old->sources);  // not again until they change
  pl_script_put(r->script, next);
  pl_vm_hold_spawns(next->vm, false);
  begin_probation(r, old);
  double drain = pl_script_options(r->script)->reload_drain;
  r->sweeping++;
  pl_generation_drain(old, (uint64_t)(drain * 1e6), run_swept, r);
  finish(r);
}

static void on_task_end(pl_generation *g, pl_task_state ended, lua_State *L, const char *traceback);

// True when there is such a hook, and it runs or could not.
static bool run_hook(pl_reload *r, pl_generation *g, pl_hook hook, state then) {
  if (!pl_generation_has_hook(g, hook)) return false;
  r->state = then;
  r->task = pl_generation_run_hook(g, hook, hook == PL_HOOK_LOAD ? r->given : NULL,
                                   hook == PL_HOOK_UNLOAD ? &r->given : NULL, on_task_end);
  if (r->task == NULL) fail(r, PL_BUSY, "too many tasks run in the script");
  return true;
}

// A version that would end the process if it were the first is none to go on with.
static bool is_nothing(const pl_generation *old, const pl_generation *next) {
  return old->keeps && pl_list_empty(&next->actions) && pl_task_count(next->vm) == 0;
}

static void go_on_from(pl_reload *r, state over) {
  pl_generation *old = pl_script_current(r->script);
  if (over == LOADING && is_nothing(old, r->next)) {
    char text[PL_URL_MAX];
    snprintf(text, sizeof text, "%.300s: registers no action any more and runs nothing",
             pl_script_path(r->script));
    fail(r, PL_INVALID, text);
    return;
  }
  if (over == LOADING && run_hook(r, old, PL_HOOK_UNLOAD, UNLOADING)) return;
  if (over != TAKING && run_hook(r, r->next, PL_HOOK_LOAD, TAKING)) return;
  swap(r);
}

static void run_step(pl_work *w) {
  pl_reload *r = pl_container(w, pl_reload, step);
  pl_task_drop(r->task);
  r->task = NULL;
  // A version that is given up cannot prevent it by failing to hand over.
  if (r->failed && r->back && r->state == UNLOADING) {
    pl_failure_drop(&r->failure);
    r->failed = false;
  }
  if (r->failed) {
    give_up(r);
  } else {
    go_on_from(r, r->state);
  }
}

static void on_task_end(pl_generation *g, pl_task_state ended, lua_State *L,
                        const char *traceback) {
  pl_reload *r = pl_script_reload(g->script);
  if (r == NULL) return;  // everything ends
  if (ended != PL_TASK_DONE) {
    r->failed = true;
    r->failure = pl_error_take(L, NULL, r->stood != NULL ? r->stood : traceback);
  }
  pl_loop_defer(loop_of(r), &r->step, run_step);
}

// Ends what loads, or what hands over.
static void end_task(pl_reload *r, pl_err code, const char *text) {
  const pl_failure why = pl_failure_of(code, PL_UNKNOWN, text);
  if (r->stood == NULL) r->stood = pl_report_trace(r->task);
  pl_task_cancel(r->task, &why);
}

static void on_limit(pl_timer *t) {
  pl_reload *r = pl_container(t, pl_reload, limit);
  if (r->task == NULL) return;
  char text[PL_URL_MAX];
  snprintf(text, sizeof text, "%.300s: has not loaded within %g s", pl_script_path(r->script),
           pl_script_options(r->script)->load_limit);
  end_task(r, PL_TIMEOUT, text);
}

// Beginning.

static void begin(pl_reload *r) {
  pl_script *s = r->script;
  char detail[PL_URL_MAX] = "";
  r->state = LOADING;
  r->began_us = pl_now_precise_us(loop_of(r));
  if (pl_host_is_stopping(pl_script_host(s))) {
    fail(r, PL_DRAINING, NULL);
    return;
  }
  unsigned number = pl_script_current(s)->number + 1;
  pl_err err = pl_generation_new(&r->next, s, number, r->back ? &r->before : NULL, detail);
  if (err != PL_OK) {
    fail(r, err, detail);
    return;
  }
  pl_script_add(s, r->next);
  r->task = pl_generation_load(r->next, false, on_task_end);
  if (r->task == NULL) {
    fail(r, PL_NO_MEMORY, "no memory for the script");
    return;
  }
  double limit = pl_script_options(s)->load_limit;
  if (limit > 0) pl_timer_start(&loop_of(r)->clock, &r->limit, (uint64_t)(limit * 1e6), on_limit);
}

static void run_begin(pl_work *w) {
  begin(pl_container(w, pl_reload, step));
}

void pl_reload_go_on(pl_reload *r) {
  if (r->state != WAITING || pl_work_queued(&r->step)) return;
  if (pl_script_status(r->script) != PL_SCRIPT_LOADED) return;
  if (pl_script_generations(r->script) < PL_GENERATIONS_MAX) {
    pl_loop_defer(loop_of(r), &r->step, run_begin);
    return;
  }
  pl_log_info(loop_of(r)->log, "a reload waits: too many generations still serve calls",
              pl_f_text("script", pl_script_path(r->script)));
}

void pl_reload_ask(pl_reload *r, pl_reload_wait *w) {
  bool joins = r->state == IDLE || (r->state == WAITING && !pl_work_queued(&r->step));
  if (w != NULL) pl_list_push(joins ? &r->asked : &r->asked_later, &w->node);
  if (!joins) {
    r->again = true;
    return;
  }
  r->state = WAITING;
  r->back = false;
  pl_reload_go_on(r);
}

void pl_reload_changed(pl_reload *r) {
  assert(pl_reload_minds_changes(r));
  if (r->state != IDLE) {
    char text[PL_URL_MAX];
    snprintf(text, sizeof text, "%.300s: has changed while it loaded, and is loaded anew",
             pl_script_path(r->script));
    r->broken_off = true;
    end_task(r, PL_CANCELLED, text);
  }
  pl_reload_ask(r, NULL);
}

// Life.

pl_reload *pl_reload_new(pl_script *s) {
  pl_reload *r = pl_new(pl_reload);
  r->script = s;
  pl_list_init(&r->asked);
  pl_list_init(&r->asked_later);
  return r;
}

void pl_reload_free(pl_reload *r) {
  pl_timer_stop(&r->limit);
  pl_timer_stop(&r->probation);
  pl_work_cancel(&r->step);
  if (r->task != NULL) pl_task_drop(r->task);
  if (r->failed) pl_failure_drop(&r->failure);
  const pl_failure why = pl_failure_of(PL_DRAINING, PL_NOT_EXECUTED, NULL);
  r->failed = true;
  r->failure = pl_failure_keep(&why);
  pl_reload_report *out = report(r);
  tell(&r->asked, out);
  tell(&r->asked_later, out);
  pl_reload_report_drop(out);
  if (r->last != NULL) pl_reload_report_drop(r->last);
  pl_slice_drop(r->given);
  pl_free(r->stood);
  pl_origins_fini(&r->tried);
  pl_origins_fini(&r->before);
  pl_free(r);
}
