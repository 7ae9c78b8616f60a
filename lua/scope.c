// Scopes: parts of a task that can be broken off by themselves.
//
// When a scope breaks, the wait inside it ends with its error; every further wait inside it does
// too once the script has caught that, while cleanup on the way out may wait for `cleanup_grace`.
// The scope's end is the end of it.

#include "base/mem.h"
#include "lua/core.h"

bool pl_scope_is_active(const pl_scope *s) {
  for (const pl_level *l = s->task->vm->level; l != NULL; l = l->outer) {
    if (l->co == s->co) return true;
  }
  return false;
}

// Breaks off the wait of the task when it is inside.
static void break_wait(pl_scope *s) {
  pl_task *t = s->task;
  if (t->state != PL_TASK_WAITING) return;
  for (lua_State *co = t->co; co != NULL; co = pl_coroutine_inner(co)) {
    if (co == s->co) {
      pl_task_break_wait(t);
      return;
    }
  }
}

static void on_timeout(pl_timer *timer) {
  pl_scope *s = pl_container(timer, pl_scope, timer);
  pl_failure f = pl_failure_of(PL_TIMEOUT, PL_UNKNOWN, "the time of mesh.timeout is up");
  pl_scope_break(s, &f);
}

static void on_grace_over(pl_timer *timer) {
  pl_scope *s = pl_container(timer, pl_scope, interrupt.grace);
  s->interrupt.caught = true;
  break_wait(s);
}

void pl_scope_open(pl_scope *s, lua_State *co, pl_task *t, uint64_t timeout_us) {
  pl_clock *clock = &t->vm->options.loop->clock;
  *s = (pl_scope){.task = t, .co = co, .outer = t->scopes, .deadline_us = PL_NEVER};
  t->scopes = s;
  if (timeout_us == PL_NEVER) return;
  s->deadline_us = clock->now_us + timeout_us;
  pl_timer_start(clock, &s->timer, timeout_us, on_timeout);
}

void pl_scope_close(pl_scope *s) {
  pl_task *t = s->task;
  if (t == NULL) return;
  s->task = NULL;
  pl_scope **at = &t->scopes;
  while (*at != s)
    at = &(*at)->outer;  // not the first when it was opened in a generator
  *at = s->outer;
  pl_timer_stop(&s->timer);
  pl_interrupt_clear(t->vm, &s->interrupt);
  if (s->interrupt.why != NULL) {
    pl_failure_drop(s->interrupt.why);
    pl_free(s->interrupt.why);
  }
  s->interrupt.why = NULL;
}

void pl_scope_break(pl_scope *s, const pl_failure *why) {
  if (s->task == NULL || s->interrupt.why != NULL) return;
  pl_task *t = s->task;
  s->interrupt.why = pl_new(pl_failure);
  *s->interrupt.why = pl_failure_keep(why);
  t->interrupted = true;
  pl_timer_stop(&s->timer);
  pl_timer_start(&t->vm->options.loop->clock, &s->interrupt.grace, t->vm->options.cleanup_grace_us,
                 on_grace_over);
  break_wait(s);
}
