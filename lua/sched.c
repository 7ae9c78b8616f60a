// The scheduler of a VM: runs its ready tasks from the loop's work queue, one slice each.

#include <assert.h>
#include <lauxlib.h>
#include <time.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"

enum {
  CHUNKS_PER_SLICE = 256,  // that a task may emit or take before others get their turn
  TASKS_PER_LOOK = 16,     // tasks between two looks at the time
  CLOSE_LOOKS = 16,        // tasks whose time is looked at after a tick
  CLOSE_DEPTH = 100,       // coroutines that close one another
  BUSY_TICKS = PL_BUSY_US / PL_TICK_US,
};

// The body of every task.

// A lack of memory may be the governor's doing.
static void push_limit(lua_State *L, pl_task *t) {
  char text[PL_URL_MAX];
  pl_report_memory(t->vm, text, sizeof text);
  pl_failure f = pl_failure_of(PL_MEMORY_LIMIT, PL_EXECUTED, text);
  t->vm->collect = true;
  if (t->overran || pl_task_over_cpu(t)) {
    f = pl_failure_of(PL_CPU_LIMIT, PL_EXECUTED, NULL);
    t->vm->options.loop->metrics.tasks_killed++;
  }
  pl_error_push(L, &f);
}

static int end_body(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  pl_task *t = pl_vm_of(L)->current;
  if (status != LUA_OK && status != LUA_YIELD) {
    t->failed = true;
    if (status == LUA_ERRMEM) push_limit(L, t);
    return 1;
  }
  int n = lua_gettop(L) - (t->prepared > 0 ? 2 : 1);
  if (t->type->on_return != NULL) t->type->on_return(L, n, t->user);
  return n;
}

int pl_task_body(lua_State *L) {
  pl_task *t = pl_vm_of(L)->current;
  lua_pushcfunction(L, pl_task_on_error);
  int n;
  if (t->prepared > 0) {
    n = t->prepared - 2;
    lua_insert(L, 1);
  } else {
    n = t->type->begin(L, t->user);
  }
  int status = lua_pcallk(L, n, LUA_MULTRET, 1, 0, end_body);
  return end_body(L, status, 0);
}

// Slices.

void pl_vm_enter(pl_vm *vm, pl_entry *e, lua_State *co, pl_task *t) {
  e->old_level = vm->level;
  e->old_running = vm->running;
  e->old_current = vm->current;
  e->old_enforce = vm->alloc.enforce;
  e->level = (pl_level){co, vm->level};
  vm->level = &e->level;
  vm->current = t;
  vm->running = co;
  vm->alloc.enforce = true;
  if (e->old_level == NULL) pl_governor_enter(vm);
}

void pl_vm_leave(pl_vm *vm, const pl_entry *e) {
  if (e->old_level == NULL) pl_governor_leave(vm);
  vm->level = e->old_level;
  vm->running = e->old_running;
  vm->current = e->old_current;
  vm->alloc.enforce = e->old_enforce;
}

bool pl_vm_reset(pl_vm *vm, lua_State *co) {
  // lua_resetthread of 5.4.4 does not know how deep the C stack is.
  if (vm->closing >= CLOSE_DEPTH) return false;
  vm->closing++;
  lua_resetthread(co);
  vm->closing--;
  lua_settop(co, 0);
  return true;
}

static int push_text(lua_State *L) {
  pl_error_push_text(L, 1);
  return 1;
}

void pl_push_message(lua_State *L, int index) {
  pl_vm *vm = pl_vm_of(L);
  lua_pushvalue(L, index);
  if (lua_type(L, -1) == LUA_TSTRING) return;
  lua_pushcfunction(L, push_text);
  lua_insert(L, -2);
  pl_entry e;
  pl_vm_enter(vm, &e, L, vm->current);
  int status = lua_pcall(L, 1, 1, 0);
  pl_vm_leave(vm, &e);
  if (status == LUA_OK) return;
  lua_pop(L, 1);
  lua_pushliteral(L, "(an error value that has no text)");
}

void pl_task_make_ready(pl_task *t) {
  pl_vm *vm = t->vm;
  t->state = PL_TASK_READY;
  pl_list_push(&vm->ready, &t->node);
  if (!pl_work_queued(&vm->work)) pl_loop_defer(vm->options.loop, &vm->work, vm->work.run);
}

void pl_task_end_soon(pl_task *t) {
  pl_vm *vm = t->vm;
  pl_list_remove(&t->node);
  pl_list_push(&vm->stillborn, &t->node);
  if (!pl_work_queued(&vm->work)) pl_loop_defer(vm->options.loop, &vm->work, vm->work.run);
}

static void detach_children(pl_task *t) {
  static const char why_text[] = "its parent task ended";
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, why_text);
  while (!pl_list_empty(&t->children)) {
    pl_task *child = pl_container(t->children.next, pl_task, sibling);
    pl_task_adopt(child, NULL);
    pl_task_cancel(child, &why);
  }
}

static void tell_watchers(pl_task *t) {
  pl_list watchers;
  pl_list_take(&watchers, &t->watchers);
  for (pl_list *node; (node = pl_list_pop(&watchers)) != NULL;) {
    pl_watcher *w = pl_container(node, pl_watcher, node);
    w->on_end(w, t);
  }
}

static void run_idle(pl_work *work) {
  pl_vm *vm = pl_container(work, pl_vm, idle_work);
  void (*fn)(void *) = vm->on_idle;
  if (fn == NULL || vm->count > 0) return;
  vm->on_idle = NULL;
  fn(vm->idle_user);
}

static void tell_idle(pl_vm *vm) {
  if (vm->count > 0 || vm->on_idle == NULL) return;
  pl_loop_defer(vm->options.loop, &vm->idle_work, run_idle);
}

void pl_vm_on_idle(pl_vm *vm, void (*fn)(void *user), void *user) {
  vm->on_idle = fn;
  vm->idle_user = user;
  tell_idle(vm);
}

void pl_task_end(pl_task *t, pl_task_state state, lua_State *L, int n) {
  pl_vm *vm = t->vm;
  t->state = state;
  vm->count--;
  vm->options.loop->metrics.tasks_now--;
  pl_list_remove(&t->living);
  if (t->interrupted) pl_interrupt_clear(vm, &t->cancel);
  if (!pl_list_empty(&t->children)) detach_children(t);
  if (t->parent != NULL) pl_task_adopt(t, NULL);
  while (t->scopes != NULL)
    pl_scope_close(t->scopes);
  t->type->on_end(t, state, L, n, state == PL_TASK_DONE ? NULL : t->trace, t->user);
  if (!pl_list_empty(&t->watchers)) tell_watchers(t);
  if (t->swept) pl_sweep_ended(vm);
  if (t->has_context) pl_task_forget_context(t);
  if (t->co != NULL && (!t->keep_results || t->refs == 1)) pl_task_give_thread(t);
  pl_task_drop(t);
  tell_idle(vm);
}

// The task has returned from its coroutine, or failed in it.
static void finish(pl_task *t, int status, int n) {
  lua_State *co = t->co;
  if (status != LUA_OK) {  // begin or on_return raised: nothing of the script is open
    lua_resetthread(co);
    lua_settop(co, 1);
    if (status == LUA_ERRMEM) t->vm->collect = true;
    t->failed = true;
    n = 1;
  }
  if (!t->failed) {
    pl_task_end(t, PL_TASK_DONE, co, n);
    return;
  }
  bool cancelled = pl_is_interrupt(co, -1, &t->cancel);
  pl_task_end(t, cancelled ? PL_TASK_CANCELLED : PL_TASK_FAILED, co, 1);
}

static unsigned limit_ticks(const pl_task *t) {
  uint64_t us = t->cpu_limit_us;
  if (t->cancel.why != NULL && (us == 0 || us > PL_CANCEL_CPU_US)) us = PL_CANCEL_CPU_US;
  return us == 0 ? 0 : (unsigned)(us / PL_TICK_US + 1);
}

bool pl_task_over_cpu(const pl_task *t) {
  unsigned limit = limit_ticks(t);
  return limit > 0 && t->cpu_ticks + (unsigned)t->vm->slice_ticks >= limit;
}

pl_task *pl_vm_busy(pl_vm *vm) {
  if (pl_list_empty(&vm->ready)) return NULL;
  pl_task *first = pl_container(vm->ready.next, pl_task, node);
  return first->cpu_ticks >= BUSY_TICKS ? first : NULL;
}

// Its slice is over and it wants to go on. True when it goes on before all others.
static bool preempt(pl_task *t) {
  pl_vm *vm = t->vm;
  if (pl_task_over_cpu(t)) {
    pl_task_end_hard(t, PL_CPU_LIMIT, NULL);
    return false;
  }
  bool was_busy = t->cpu_ticks >= BUSY_TICKS;
  t->cpu_ticks += (unsigned)vm->slice_ticks;
  bool busy = !was_busy && t->cpu_ticks >= BUSY_TICKS;
  if (busy && !vm->stalled && !vm->options.offloaded) pl_report_busy(t);
  t->state = PL_TASK_READY;
  return true;
}

// What becomes of a task that left its coroutine by a yield. True as preempt.
static bool suspend(pl_task *t) {
  pl_vm *vm = t->vm;
  pl_pass pass = vm->pass;
  vm->pass = PL_PASS_NONE;
  switch (pass) {
    case PL_PASS_WAIT: return false;
    case PL_PASS_REQUEUE: pl_task_make_ready(t); return false;
    case PL_PASS_PREEMPT: return preempt(t);
    case PL_PASS_NONE: break;
  }
  // A C module yielded for a scheduler of its own, which is not here.
  pl_task_end_hard(t, PL_HANDLER_ERROR, "a C function yielded outside a coroutine of the script");
  return false;
}

// The ticks that hit a slice count for the task that wanted its work.
static void tell_cpu(pl_task *t) {
  uint64_t us = (uint64_t)t->vm->slice_ticks * PL_TICK_US;
  t->cpu_total += (unsigned)t->vm->slice_ticks;
  while (t->parent != NULL)
    t = t->parent;
  if (t->type->on_cpu != NULL) t->type->on_cpu(us, t->user);
}

// Of this thread. Where time is virtual nothing takes any.
static uint64_t cpu_ns(const pl_vm *vm) {
  struct timespec now;
  if (vm->options.loop->uv == NULL && !vm->options.loop->driven) return 0;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool run_slice(pl_task *t) {
  pl_vm *vm = t->vm;
  int nargs = 0;
  if (!t->started) {
    t->started = true;
    nargs = t->prepared;
    if (nargs == 0) lua_pushcfunction(t->co, pl_task_body);
  }
  t->state = PL_TASK_RUNNING;
  t->overran = false;
  vm->chunks_left = CHUNKS_PER_SLICE;
  pl_entry e;
  int n;
  pl_vm_enter(vm, &e, t->co, t);
  bool metered = t->metered;
  uint64_t before_ns = metered ? cpu_ns(vm) : 0;
  int status = lua_resume(t->co, vm->L, nargs, &n);
  if (metered) t->cpu_ns += cpu_ns(vm) - before_ns;
  pl_vm_leave(vm, &e);
  if (vm->slice_ticks > 0) tell_cpu(t);
  if (status == LUA_YIELD) return suspend(t);
  finish(t, status, n);
  return false;
}

// True when the task was preempted and goes on first.
static bool run_task(pl_task *t) {
  pl_vm *vm = t->vm;
  if (!t->started && t->type->is_late != NULL && t->type->is_late(t->user)) {
    pl_failure why = pl_failure_of(PL_TIMEOUT, PL_NOT_EXECUTED, NULL);
    pl_task_cancel(t, &why);
  }
  if (t->kill || (!t->started && t->cancel.why != NULL)) {
    pl_task_end_hard(t, PL_CANCELLED, NULL);
    return false;
  }
  if (t->co == NULL && !pl_task_get_thread(t)) {
    vm->collect = true;
    pl_task_end_hard(t, PL_MEMORY_LIMIT, NULL);
    return false;
  }
  return run_slice(t);
}

// Puts the list `from` before all of `to`.
static void put_before(pl_list *to, pl_list *from) {
  if (pl_list_empty(from)) return;
  pl_list *first = from->next, *last = from->prev;
  last->next = to->next;
  to->next->prev = last;
  to->next = first;
  first->prev = to;
  pl_list_init(from);
}

// Objects with finalizers survive the collection that a failing allocation starts, and the next
// one is due when the memory has doubled: never. So the tasks after this one would fail too.
void pl_vm_collect(pl_vm *vm) {
  vm->collect = false;
  pl_entry e;
  pl_vm_enter(vm, &e, vm->L, NULL);
  lua_gc(vm->L, LUA_GCCOLLECT);
  pl_vm_leave(vm, &e);
  pl_alloc_trim(&vm->alloc);
}

// A collection marks all that lives, which in a small heap is modules rather than what the script
// makes, and of long strings only their heads: there the next one may be further off, which costs
// little memory.
static int pause_of(const pl_alloc_state *a) {
  enum { TINY = 512 * 1024, SMALL = 2 * TINY, MODEST = 16 * SMALL, PART = 8 };
  enum { FARTHEST = 600, FAR = 300, NEAR = 200 };  // percent of what lives
  size_t most = a->limit != 0 && a->limit / PART < MODEST ? a->limit / PART : MODEST;
  if (a->used >= most || a->used - a->large >= SMALL) return NEAR;
  return a->used < TINY ? FARTHEST : FAR;
}

static void tune_collector(pl_vm *vm) {
  int pause = pause_of(&vm->alloc);
  if (pause == vm->gc_pause) return;
  vm->gc_pause = pause;
  lua_gc(vm->L, LUA_GCSETPAUSE, pause);
}

// What a run of tasks has taken.
typedef struct run_time {
  unsigned tasks;
  uint64_t until_us;  // of real time, once it was looked at; 0: it was not
  uint64_t since_ns;  // of CPU time, if that is looked at
} run_time;

// Whether others come next. A look at the time costs as much as a short task, so it is made after a
// few. When a tick has hit a task, the next ones may compute, too, and the network must not wait
// for many of those: for a while their CPU time is looked at after each.
static bool is_enough(pl_vm *vm, run_time *r) {
  pl_loop *loop = vm->options.loop;
  bool close = vm->close_looks > 0;
  if (close) vm->close_looks--;
  // Of short tasks, too, many make a long turn.
  if (vm->slice_ticks > 0 || (close && cpu_ns(vm) - r->since_ns >= PL_COMPUTED_US * 1000)) {
    vm->close_looks = CLOSE_LOOKS;
    pl_loop_end_turn(loop);
    return true;
  }
  if (++r->tasks % TASKS_PER_LOOK != 0) return false;
  uint64_t now = pl_now_precise_us(loop);
  if (r->until_us == 0) r->until_us = now + PL_TURN_US / 2;
  return now >= r->until_us;
}

static void run_ready(pl_work *work) {
  pl_vm *vm = pl_container(work, pl_vm, work);
  pl_loop *loop = vm->options.loop;
  pl_list batch;
  pl_list_take(&batch, &vm->ready);
  run_time taken = {.since_ns = vm->close_looks > 0 ? cpu_ns(vm) : 0};
  bool behind = false;  // others come first
  vm->in_work = true;
  tune_collector(vm);
  for (pl_list *n; (n = pl_list_pop(&vm->stillborn)) != NULL;)
    pl_task_end_hard(pl_container(n, pl_task, node), PL_CANCELLED, NULL);
  while (!pl_list_empty(&batch)) {
    pl_task *t = pl_container(pl_list_pop(&batch), pl_task, node);
    if (run_task(t)) {
      pl_list_push_front(&batch, &t->node);
      behind = true;
      break;
    }
    if (vm->collect) pl_vm_collect(vm);
    if (is_enough(vm, &taken)) break;
  }
  vm->in_work = false;
  put_before(&vm->ready, &batch);
  if (behind) pl_loop_end_turn(loop);
  if (pl_list_empty(&vm->ready)) return;
  (behind ? pl_loop_defer_behind : pl_loop_defer)(loop, &vm->work, run_ready);
}

// The first function of a prepared task lies below what its spawner moved there.
void pl_task_prepare(pl_task *t) {
  lua_pushcfunction(t->co, pl_task_body);
}

void pl_sched_init(pl_vm *vm) {
  pl_list_init(&vm->ready);
  pl_list_init(&vm->held);
  pl_list_init(&vm->stillborn);
  pl_list_init(&vm->tasks);
  vm->work.run = run_ready;
}
