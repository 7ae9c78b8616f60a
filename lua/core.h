// What the files that make up the core of the embedding share, and nobody else includes: the VM and
// task structs, and the ways between vm, sched, task, op, cancel, scope, coroutine and governor.
#pragma once

#include <lua.h>
#include <signal.h>

#include "base/failure.h"
#include "base/limits.h"
#include "base/loop.h"
#include "lua/alloc.h"
#include "lua/box.h"
#include "lua/task.h"
#include "lua/vm.h"

// Of what runs in a signal handler: it may have interrupted ThreadSanitizer, which then waits for
// itself if it is to watch the handler.
#define PL_IN_HANDLER __attribute__((no_sanitize("thread")))

// The coroutines that are resumed now, the innermost first. Lives on the C stack of the resumer.
typedef struct pl_level {
  lua_State *co;
  const struct pl_level *outer;
} pl_level;

// Whose yield it is: the runtime's, while it travels outward to the scheduler.
typedef enum pl_pass {
  PL_PASS_NONE,     // the script's own
  PL_PASS_WAIT,     // in the task's op
  PL_PASS_REQUEUE,  // others first
  PL_PASS_PREEMPT,  // by the governor's hook
} pl_pass;

// What breaks off the waits of a task: its cancellation, or a scope that ended early. Its error
// object is in the registry under its address while it is raised.
typedef struct pl_interrupt {
  pl_failure *why;  // owned; NULL: nothing happened
  bool raised;      // the script has seen it: what waits now is cleanup
  bool caught;      // and held it up: no more waits
  pl_timer grace;   // until when cleanup may wait
} pl_interrupt;

// A part of a task that can be broken off by itself: mesh.timeout, mesh.scope. Belongs to a
// userdata on the stack of the function that opened it.
typedef struct pl_scope {
  pl_interrupt interrupt;
  pl_task *task;  // NULL once closed
  lua_State *co;  // in which it was opened: only what runs in it, or below, is inside
  struct pl_scope *outer;
  pl_timer timer;
  uint64_t deadline_us;  // PL_NEVER without one
} pl_scope;

// What a wait and a slice touch lies together: of many tasks each has to be fetched anew.
struct pl_task {
  // Set for each task; `node` is left at its end as it began.
  pl_list node;  // of vm->ready, vm->held or vm->stillborn
  pl_vm *vm;
  const pl_task_type *type;
  void *user;
  pl_task *parent;
  uint64_t deadline_us;
  pl_task_state state;
  unsigned refs;  // one is the scheduler's until the end

  // Zeroed for each task, from `op` on.
  pl_op *op;           // waited for, or over and not finished yet
  lua_State *co;       // NULL before the first slice and after the end
  pl_scope *scopes;    // innermost first
  uint64_t waits_us;   // when its wait began
  uint64_t topic;      // pl_task_set_topic
  uint64_t id;         // of the node, never again
  unsigned cpu_ticks;  // since the last wait
  unsigned cpu_total;  // ticks of all slices
  bool started, held, escaped, kill, failed;
  bool keep_results;  // on `co` until the last reference is dropped: several
  bool interrupted;   // the cancellation or a scope is set
  bool swept;         // pl_vm_sweep waits for its end
  bool has_context;
  bool traced;
  bool trace_live;  // the error that `trace` tells of is still travelling
  bool overran;     // its slice, so that it was ended with an error
  bool metered;     // its CPU time is wanted exactly
  uint8_t priority;
  int prepared;  // values on `co` before the first slice: owner, function, arguments; 0:
                 // type->begin
  char *trace;
  uint64_t cpu_ns;  // if `metered`
  uint64_t made_us;
  pl_interrupt cancel;

  // Set for each task, or left at its end as they began: lists empty, `cancel.grace` stopped.
  _Alignas(max_align_t) char space[PL_TASK_SPACE];  // for the op of a wait
  _Alignas(max_align_t) char own[PL_TASK_OWN];      // for who started it
  pl_list living;                                   // of vm->tasks
  pl_list children;                                 // of pl_task.sibling
  pl_list sibling;
  pl_list watchers;
  int co_ref;                 // of `co` in the table of threads
  const lua_State *trace_co;  // when `trace_live`: the coroutine whose levels it tells last,
  const void *trace_error;    // and the identity of the error then
  uint64_t cpu_limit_us;
  pl_trace call_trace;  // when `traced`: of the request it works for
};

enum { PL_PLACE_MAX = LUA_IDSIZE + 16 };  // file:line

typedef struct pl_thread {
  lua_State *co;
  int ref;
} pl_thread;

struct pl_vm {
  lua_State *L;
  pl_list node;                 // of the VMs of the thread
  const void *boxes[PL_BOXES];  // their metatables
  pl_vm_options options;
  pl_alloc_state alloc;
  uint64_t number;  // pl_watchdog_number
  void *host;
  pl_buf scratch;
  unsigned passing;
  pl_buf warning;  // pieces of one

  // the running slice
  pl_task *current;
  lua_State *volatile running;  // the innermost coroutine: the governor's tick arms its hook
  const pl_level *level;
  unsigned noyield;  // coroutines resumed in a frame that cannot yield
  unsigned closing;  // nested lua_resetthread
  pl_pass pass;
  unsigned chunks_left;               // that may pass before others get their turn
  volatile sig_atomic_t slice_ticks;  // counted by the governor
  unsigned close_looks;               // tasks after each of which the scheduler looks at the time
  volatile sig_atomic_t load_over;    // a slice of what loads is: set by the governor
  bool stalled;                       // the slice lasts too long, which has been told
  uint64_t busy_told_us;              // when a task was, that computes without a wait; 0: never
  unsigned busy_untold;               // tasks that were not, since
  unsigned finalizer_ticks;           // of the slice, at which the running finalizer ends; or 0
  unsigned finalizers_stopped;        // that took too long
  int gc_pause;                       // tune_collector; 0: that of Lua
  bool simulated;                     // by the governor: instructions, not time
  const atomic_bool *abandoned;       // pl_vm_set_abandoned
  bool in_work;
  bool collect;                   // a task failed for lack of memory
  char refused_at[PL_PLACE_MAX];  // where a block was refused last; "": it is not known

  // tasks
  pl_list ready, held, tasks;
  pl_list stillborn;  // cancelled before they began: they end before others go on
  pl_work work;
  size_t count;
  bool hold;
  pl_task *spare;  // a list through `parent`
  size_t spare_count;
  pl_thread *idle;  // finished coroutines
  size_t idle_count, idle_cap;

  void (*on_idle)(void *user);
  void *idle_user;
  pl_work idle_work;

  // sweep.c
  size_t sweeping;  // tasks whose end is waited for
  void (*on_swept)(void *user);
  void *swept_user;
  pl_work swept_work;

  // retire.c
  unsigned cycles;  // of the collector
  void (*on_retired)(void *user);
  void *retired_user;
  pl_work retire_work;
};

// sweep.c: a task with `swept` has ended.
void pl_sweep_ended(pl_vm *vm);

// sched.c
void pl_sched_init(pl_vm *vm);
// Whether the task has used up its CPU time between two waits.
bool pl_task_over_cpu(const pl_task *t);
// The task that has computed for PL_BUSY_US without a wait and would go on, before all others;
// NULL: there is none.
pl_task *pl_vm_busy(pl_vm *vm);
// Pushes what runs the `t->prepared` values that are put on its coroutine next: a value that stays
// at index 2 for type->on_return, the function and its arguments.
void pl_task_prepare(pl_task *t);
void pl_task_make_ready(pl_task *t);  // it is in no list
// It was cancelled before it began.
void pl_task_end_soon(pl_task *t);
// Runs Lua in `co` outside a slice of its own: sets what the governor and the checks of waits need.
typedef struct pl_entry {
  pl_level level;
  const pl_level *old_level;
  lua_State *old_running;
  pl_task *old_current;
  bool old_enforce;
} pl_entry;
void pl_vm_enter(pl_vm *vm, pl_entry *e, lua_State *co, pl_task *t);
void pl_vm_leave(pl_vm *vm, const pl_entry *e);
// lua_resetthread under the governor; false when the nesting is too deep. Leaves `co` without
// values.
bool pl_vm_reset(pl_vm *vm, lua_State *co);
// The text of any error value, also when its __tostring fails or does not end. Needs 8 stack slots.
// Does not raise while memory lasts. [-0, +1]
void pl_push_message(lua_State *L, int index);
// The end of a task, with `n` values on top of L.
void pl_task_end(pl_task *t, pl_task_state state, lua_State *L, int n);

// task.c
pl_task *pl_task_new(pl_vm *vm, const pl_task_type *type, void *user, pl_task *parent);
void pl_task_adopt(pl_task *t, pl_task *parent);  // parent NULL: takes it back
// Starts a held task now; fine for any other.
void pl_task_release(pl_task *t);
bool pl_task_has_ended(const pl_task *t);
void pl_task_give_thread(pl_task *t);  // takes its coroutine back to the pool
bool pl_task_get_thread(pl_task *t);   // false: no memory
void pl_task_forget_context(pl_task *t);
void pl_task_free_spare(pl_vm *vm);
void pl_task_forget_threads(pl_vm *vm);  // finished coroutines that are kept
// The traceback of `co`, pushed on L; of a deep recursion its innermost levels only. Lua's own
// walks all levels again and again, which there takes longer than others may be held up. [-0, +1]
void pl_push_traceback(lua_State *L, lua_State *co, int level);
// Keeps the traceback of `L` for when the task fails.
void pl_task_keep_traceback(pl_task *t, lua_State *L);
// The message handler of every task: keeps the traceback of the error, below a hint (lua/hint.h)
// when it is a slip. [-1, +1]
int pl_task_on_error(lua_State *L);
// The error at the top, which is raised next, says where it arose: only a hint is kept of it.
void pl_task_untraced(lua_State *L);
// The error that `failed` ended with goes on in the running task.
void pl_task_follow_trace(pl_vm *vm, const pl_task *failed);
// Logs the error value at the top of L, which nobody awaits. Does not raise.
void pl_task_log_failure(pl_vm *vm, lua_State *L, const char *traceback);

// op.c
extern const char pl_mark;  // its address is on top of every coroutine that waits
static inline bool pl_is_waiting(lua_State *co) {
  return lua_status(co) == LUA_YIELD && lua_gettop(co) > 0 && lua_touserdata(co, -1) == &pl_mark;
}
// Whether the running coroutine can suspend its task. A coroutine that a C module resumed is not
// `running`: what it yields would never come back.
static inline bool pl_can_suspend(const pl_vm *vm, lua_State *L) {
  return L == vm->running && vm->noyield == 0 && vm->current != NULL && lua_isyieldable(L);
}
// Raises when it cannot.
void pl_check_suspend(lua_State *L, const char *name);
// Raises what breaks the task off, if anything does.
void pl_check_interrupt(lua_State *L, pl_task *t);
// coroutine.yield at the level of the task.
int pl_task_yield(lua_State *L, pl_task *t);
// A wait that is over when the other ready tasks have run: `return pl_task_requeue(L);`
int pl_task_requeue(lua_State *L);

// The C functions below which a script may wait: what they call, they call with a continuation.
#define PL_PASSAGES(X) \
  X(pl_base_pcall)     \
  X(pl_base_xpcall)    \
  X(pl_base_dofile)    \
  X(pl_base_require)   \
  X(pl_main_chunk)     \
  X(pl_co_resume)      \
  X(pl_co_wrapped)     \
  X(pl_co_run_wrapped) \
  X(pl_task_body)      \
  X(pl_task_timeout)   \
  X(pl_group_run)
#define X(function) int function(lua_State *L);
PL_PASSAGES(X)
#undef X

// cancel.c
// A running pcall caught the error at the top of L, of that status.
void pl_note_caught(lua_State *L, int status);
// True when it is what breaks off the task.
bool pl_is_interrupt(lua_State *L, int index, const pl_interrupt *i);
int pl_interrupt_raise(lua_State *L, pl_task *t, pl_interrupt *i);
void pl_interrupt_clear(pl_vm *vm, pl_interrupt *i);
// Breaks off the task's wait, if it is in one.
void pl_task_break_wait(pl_task *t);
// Ends the task hard, and what it started with it, as soon as the scheduler runs; `why` is what its
// caller is told.
void pl_task_kill(pl_task *t, const pl_failure *why);
// Ends a task that must not go on. `code`: what it failed with, unless it is cancelled.
void pl_task_end_hard(pl_task *t, pl_err code, const char *message);

// scope.c: mesh.timeout and the like. A scope belongs to the running task.
// PL_NEVER: only pl_scope_break ends it.
void pl_scope_open(pl_scope *s, lua_State *co, pl_task *t, uint64_t timeout_us);
// Whether the code that runs now is inside.
bool pl_scope_is_active(const pl_scope *s);
void pl_scope_close(pl_scope *s);
void pl_scope_break(pl_scope *s, const pl_failure *why);

// coroutine.c
int pl_open_coroutine(lua_State *L);
// The coroutine that `co`, which waits, has resumed; NULL at the innermost.
lua_State *pl_coroutine_inner(lua_State *co);

// vm.c
// All VMs of this thread, of pl_vm.node.
pl_list *pl_vm_all(void);

// report.c
// The traceback of a task that does not run now, over all its coroutines. NULL: it has not begun,
// or no memory. The caller's.
char *pl_report_trace(pl_task *t);
// Whether Lua just moves the stack of that frame: from 5.4.5 on it keeps offsets instead of
// pointers into it meanwhile, and whoever asks more of the frame follows them into the void. For
// those who look at a script from an allocator or a signal handler.
bool pl_frame_moves(const lua_Debug *ar);
// The line of the script that runs in `L`, as file:line; "" when there is none or its stack moves.
// It allocates nothing.
void pl_report_place(lua_State *L, char *text, size_t size);
// As on_refused of the allocator of a VM: remembers where the script is.
void pl_report_refused(pl_alloc_state *a);
// Where that was and what the limit is, as the message of the error; once.
void pl_report_memory(pl_vm *vm, char *text, size_t size);
// To the log: the code that runs in `L` keeps the node from everything else.
void pl_report_stall(pl_vm *vm, lua_State *L, lua_Debug *ar);
// To the log, but for every script rarely: the task has computed for long without a wait.
void pl_report_busy(pl_task *t);

// base_lib.c
void pl_open_base(lua_State *L);
// finalizer.c
void pl_open_finalizers(lua_State *L);  // the global table is at the top

// pattern_lib.c
void pl_open_patterns(lua_State *L);  // the table `string` is at the top

// table_lib.c
void pl_open_tables(lua_State *L);  // the table `table` is at the top

// require.c
void pl_open_require(lua_State *L);

// governor.c
void pl_governor_hold(void);  // a VM of this thread was born
void pl_governor_drop(void);
void pl_governor_enter(pl_vm *vm);
void pl_governor_leave(const pl_vm *vm);
// For functions in C that may take long, every few thousand steps. True: others should have their
// turn, and `return pl_give_way(L, ctx, k);` lets them. Raises, below a boundary, when the code may
// not go on at all.
bool pl_slice_is_over(lua_State *L);
// The same for those that cannot let others have their turn: raises when they may not go on.
void pl_slice_spend(lua_State *L);
// Yields; `k` goes on with the stack as it is now.
int pl_give_way(lua_State *L, lua_KContext ctx, lua_KFunction k);
// From now on instructions count in place of time. Once, before the first slice.
void pl_governor_simulate(pl_vm *vm);
enum { PL_TICK_SIGNAL = SIGVTALRM };
enum { PL_TICK_US = PL_SLICE_US / 2, PL_CANCEL_CPU_US = 100000 };
