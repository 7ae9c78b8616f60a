// The governor of CPU time. A timer on the CPU clock of the thread ticks only while it computes;
// when a slice has lasted PL_SLICE_US, the tick arms the count hook of the running coroutine, and
// the hook yields: it never raises, because the message handler of a script would then run without
// hooks. Where the coroutine cannot yield and its time is over, the hook makes an allocation fail:
// that runs no handler.

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lua/core.h"
#include "lua/watchdog.h"

enum {
  TICKS_PER_SLICE = PL_SLICE_US / PL_TICK_US,
  STALL_TICKS = PL_STALL_US / PL_TICK_US,
  HOLD_TICKS = PL_HOLD_US / PL_TICK_US,
  IDLE_TICKS = 20,  // without a slice, then the timer stops
  // In the simulator a tick is a number of instructions, about as many as one takes.
  TICK_INSTRUCTIONS = 500 * 1000,
};

typedef struct governor {
  unsigned vms;
  bool created, loads_created;
  volatile sig_atomic_t loading;  // `loads` is armed
  volatile sig_atomic_t armed;
  volatile sig_atomic_t idle;
  pl_vm *volatile vm;  // whose slice runs
  timer_t timer;
  timer_t loads;  // ends the slices of what loads: it may do so beside what serves
} governor;

typedef enum timer_kind { TICKS, LOADS } timer_kind;

static _Thread_local governor own;

static bool is_abandoned(const pl_vm *vm) {
  return vm->abandoned != NULL && atomic_load_explicit(vm->abandoned, memory_order_relaxed);
}

// What cannot yield holds up the whole node, so it may do that only for a while, whatever its
// limit. Code that belongs to no task, as the text of an error value, gets what a cancelled task
// gets.
static bool is_over(const pl_vm *vm) {
  if (vm->finalizer_ticks > 0 && (unsigned)vm->slice_ticks >= vm->finalizer_ticks) return true;
  if (vm->options.offloaded) {  // it holds up nobody
    if (is_abandoned(vm) && (unsigned)vm->slice_ticks >= PL_CANCEL_CPU_US / PL_TICK_US) return true;
  } else if ((unsigned)vm->slice_ticks >= HOLD_TICKS) {
    return true;
  }
  if (vm->current != NULL) return pl_task_over_cpu(vm->current);
  return (unsigned)vm->slice_ticks >= PL_CANCEL_CPU_US / PL_TICK_US;
}

// What loads may do so beside what serves, and has shorter slices. The system looks at CPU clocks a
// few hundred times a second only, so those end by the time of day; without a timer for that at the
// first tick.
PL_IN_HANDLER static bool is_due(const pl_vm *vm) {
  if (vm->slice_ticks >= TICKS_PER_SLICE) return true;
  return vm->hold && !vm->simulated && (vm->load_over || vm->slice_ticks > 0);
}

// Until the next tick.
static void disarm(const pl_vm *vm, lua_State *L) {
  if (!vm->simulated) lua_sethook(L, NULL, 0, 0);
}

// Raises what runs no handler of a script.
static void end_slice(pl_vm *vm, lua_State *L) {
  pl_task *t = vm->current;
  if (t != NULL) {
    t->overran = true;
    if (!t->trace_live) pl_task_keep_traceback(t, L);
  }
  lua_newuserdatauv(L, (size_t)1 << 60, 0);
}

static void slice_hook(lua_State *L, lua_Debug *ar) {
  pl_vm *vm = pl_vm_of(L);
  if (vm->simulated) vm->slice_ticks++;
  if (!is_due(vm)) {  // left over from an earlier slice
    disarm(vm, L);
    return;
  }
  if (vm->slice_ticks >= STALL_TICKS && !vm->stalled && !vm->options.offloaded) {
    vm->stalled = true;
    pl_watchdog_told();
    pl_report_stall(vm, L, ar);
  }
  if (pl_can_suspend(vm, L)) {
    disarm(vm, L);
    vm->pass = PL_PASS_PREEMPT;
    lua_yield(L, 0);
    return;
  }
  if (!is_over(vm)) {
    disarm(vm, L);
    return;
  }
  end_slice(vm, L);  // the hook stays armed for what catches it
}

void pl_slice_spend(lua_State *L) {
  pl_vm *vm = pl_vm_of(L);
  if (is_due(vm) && is_over(vm)) end_slice(vm, L);
}

bool pl_slice_is_over(lua_State *L) {
  const pl_vm *vm = pl_vm_of(L);
  if (!is_due(vm)) return false;
  if (pl_can_suspend(vm, L)) return true;
  pl_slice_spend(L);
  return false;
}

int pl_give_way(lua_State *L, lua_KContext ctx, lua_KFunction k) {
  pl_vm_of(L)->pass = PL_PASS_PREEMPT;
  return lua_yieldk(L, 0, ctx, k);
}

PL_IN_HANDLER static void set_timer(governor *g, long us) {
  struct itimerspec every = {
      .it_interval = {.tv_nsec = us * 1000},
      .it_value = {.tv_nsec = us * 1000},
  };
  timer_settime(g->timer, 0, &every, NULL);
}

// Arming walks all frames: of a deep recursion for longer than a tick. Once is enough, and false
// says that it was done already.
PL_IN_HANDLER static bool arm(lua_State *L) {
  if (lua_gethook(L) == slice_hook && lua_gethookmask(L) != 0) return false;
  lua_sethook(L, slice_hook, LUA_MASKCOUNT, 1);
  return true;
}

PL_IN_HANDLER static void count_tick(pl_vm *vm, int missed) {
  vm->slice_ticks += 1 + (missed > 0 ? missed : 0);
  lua_State *running = vm->running;
  if (running == NULL || !is_due(vm) || arm(running)) return;
  // No instruction since the hook was armed: it is in C.
  if (vm->slice_ticks >= STALL_TICKS / 2 && !vm->stalled) pl_watchdog_place(running);
}

PL_IN_HANDLER static void end_load_slice(pl_vm *vm) {
  if (vm == NULL || !vm->hold) return;
  vm->load_over = 1;
  if (vm->running != NULL) arm(vm->running);
}

PL_IN_HANDLER static void on_tick(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)context;
  int saved = errno;
  governor *g = &own;
  pl_vm *vm = g->vm;
  if (info->si_code == SI_TKILL) {  // the watchdog asks; nothing has been computed
    if (vm != NULL && vm->running != NULL) pl_watchdog_place(vm->running);
  } else if (info->si_code == SI_TIMER && info->si_value.sival_int == LOADS) {
    g->loading = 0;
    end_load_slice(vm);
  } else if (vm == NULL) {
    if (g->armed && ++g->idle >= IDLE_TICKS) {
      g->armed = 0;
      set_timer(g, 0);
    }
  } else {
    count_tick(vm, info->si_code == SI_TIMER ? info->si_overrun : 0);
  }
  errno = saved;
}

// ThreadSanitizer keeps a signal back until the thread calls the C library, which a script that
// computes may never do; so its wrapper is passed by. on_tick calls nothing that it watches.
#if defined(__SANITIZE_THREAD__)
static int set_action(const struct sigaction *action) {
  typedef int sigaction_fn(int, const struct sigaction *, struct sigaction *);
  void *libc = dlopen("libc.so.6", RTLD_LAZY);
  sigaction_fn *fn = libc == NULL ? NULL : (sigaction_fn *)(uintptr_t)dlsym(libc, "sigaction");
  return fn == NULL ? -1 : fn(PL_TICK_SIGNAL, action, NULL);
}
#else
static int set_action(const struct sigaction *action) {
  return sigaction(PL_TICK_SIGNAL, action, NULL);
}
#endif

static void install_handler(void) {
  struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigemptyset(&action.sa_mask);
  set_action(&action);
}

// Without a timer (its number is bounded) scripts run unsliced; the next slice tries again.
static bool create_timer(timer_t *timer, clockid_t clock, timer_kind kind) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install_handler);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = PL_TICK_SIGNAL};
  event.sigev_value.sival_int = (int)kind;
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  sigset_t tick;
  sigemptyset(&tick);
  sigaddset(&tick, PL_TICK_SIGNAL);
  pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
  return timer_create(clock, &event, timer) == 0;
}

static bool has_ticks(governor *g) {
  if (!g->created) g->created = create_timer(&g->timer, CLOCK_THREAD_CPUTIME_ID, TICKS);
  return g->created;
}

// Short slices share one arming, so that a script that does its work while it loads does not pay
// for each; now and then one ends early for that.
static void begin_load_slice(governor *g, pl_vm *vm) {
  vm->load_over = 0;
  if (g->loading) return;
  if (!g->loads_created) g->loads_created = create_timer(&g->loads, CLOCK_MONOTONIC, LOADS);
  if (!g->loads_created) return;
  static const struct itimerspec once = {.it_value = {.tv_nsec = PL_LOAD_SLICE_US * 1000L}};
  g->loading = 1;
  if (timer_settime(g->loads, 0, &once, NULL) != 0) g->loading = 0;
}

void pl_governor_hold(void) {
  own.vms++;
}

void pl_governor_drop(void) {
  governor *g = &own;
  assert(g->vms > 0);
  if (--g->vms > 0) return;
  if (g->loads_created) timer_delete(g->loads);
  if (g->created) timer_delete(g->timer);
  g->created = g->loads_created = false;
  g->armed = g->loading = 0;
}

// Every coroutine has the hook from the one that made it.
void pl_governor_simulate(pl_vm *vm) {
  vm->simulated = true;
  lua_sethook(vm->L, slice_hook, LUA_MASKCOUNT, TICK_INSTRUCTIONS);
}

void pl_governor_enter(pl_vm *vm) {
  governor *g = &own;
  vm->slice_ticks = 0;
  vm->stalled = false;
  if (vm->simulated) return;
  pl_watchdog_enter(vm, vm->current);
  g->idle = 0;
  g->vm = vm;
  if (vm->hold) begin_load_slice(g, vm);
  if (g->armed || !has_ticks(g)) return;
  g->armed = 1;
  set_timer(g, PL_TICK_US);
}

void pl_governor_leave(const pl_vm *vm) {
  if (vm->simulated) return;
  own.vm = NULL;
  if (pl_watchdog_leave() && !vm->stalled) vm->options.loop->metrics.stalls++;
}
