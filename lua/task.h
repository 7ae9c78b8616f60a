// Tasks: Lua code that may wait. Each runs in a coroutine that is recycled after a clean end.
//
//   READY --> RUNNING --> WAITING --> READY …     WAITING: in one operation (pl_op)
//                |
//                +--> DONE | FAILED | CANCELLED
//
// Whose yield is it? A runtime wait sets a field of the VM before it yields; a yield with that
// field clear is the script's own. `coroutine.resume` and `wrap` pass runtime waits outward through
// any depth of the script's own coroutines, so a wait suspends the whole task.
//
// Cancelling is soft first: the wait ends with an error (CANCELLED or the given one) that unwinds
// normally, so that `<close>` variables run and may themselves wait for `cleanup_grace`. A script
// that catches it (pcall, coroutine.resume) gets it again at each further wait or yield. After the
// grace, or after 100 ms of CPU without a wait, the task is ended hard: innermost coroutine first,
// nothing can catch that.
#pragma once

#include <lua.h>

#include "base/failure.h"
#include "base/list.h"
#include "base/trace.h"
#include "lua/vm.h"

typedef struct pl_task pl_task;
typedef struct pl_op pl_op;

typedef enum pl_task_state {
  PL_TASK_READY,
  PL_TASK_RUNNING,
  PL_TASK_WAITING,
  PL_TASK_DONE,
  PL_TASK_FAILED,
  PL_TASK_CANCELLED,
} pl_task_state;

// Operations: what a task waits for.

// Contract of an operation. An op is embedded at any place of a C object that its binding
// allocates.
typedef struct pl_op_type {
  const char *name;  // as the script knows it: "mesh.sleep"
  // The task goes on: pushes the results of the wait and returns their number; may raise. Frees or
  // keeps the object before it can raise (use pl_op_guard-like care: copy what is needed to locals
  // or the Lua stack first).
  int (*finish)(lua_State *L, pl_op *op);
  // The wait was broken off (cancel, hard end, VM closing): stop the work. From now on the object
  // belongs to the implementer, who frees it now or when its I/O ends; it must not wake the op any
  // more. Also called for an op that was woken, when its task ends before it could go on: the work
  // is over then. May not raise, has no lua_State.
  void (*cancel)(pl_op *op);
} pl_op_type;

struct pl_op {
  const pl_op_type *type;
  pl_task *task;  // set while waiting
};

// First thing in a function that may wait: raises when the task cannot suspend here ("mesh.sleep
// cannot wait across a C boundary (table.sort) at file:line"), outside a task, or when a cancelled
// task must not wait. After it the operation may be started; pl_op_wait cannot fail then.
void pl_op_check(lua_State *L, const pl_op_type *type);
// Suspends the running task until pl_op_wake: `return pl_op_wait(L, &my->op);`
int pl_op_wait(lua_State *L, pl_op *op);
// Memory for the op of the running task's wait, PL_TASK_SPACE bytes, not zeroed; until the wait is
// finished or cancelled. Only inside a task.
enum { PL_TASK_SPACE = 128 };
void *pl_op_space(lua_State *L);
// The operation is over: its task becomes ready. From loop callbacks; does not run Lua. Once.
void pl_op_wake(pl_op *op);
// A chunk has passed and nothing had to wait for it: what is computed for the next counts by
// itself.
void pl_task_passed(lua_State *L);
// Before a chunk: whether the running task has had its turn, for what it computed or for chunks
// that passed. Then `return pl_task_let_others(L, then);` lets the other ready tasks run before
// `then` goes on with the stack as it is now; a wait like any other. False where none is possible.
bool pl_task_had_turn(lua_State *L);
int pl_task_let_others(lua_State *L, lua_CFunction then);

// Tasks.

// For logs and listings: what a task is busy with. Views, until the task goes on.
typedef struct pl_task_about {
  pl_bytes action;
  pl_id caller;
  const char *caller_name;
} pl_task_about;

typedef enum pl_step {
  PL_STEP_GO,    // the yield returns at once
  PL_STEP_WAIT,  // the yield waits: on_yield has prepared `*wait`, which will be woken
} pl_step;

// What a task is for. All run inside the scheduler's protected call unless said otherwise.
typedef struct pl_task_type {
  const char *name;  // "handler", "spawn", "main", "timer"
  // Pushes the function and its arguments on the new coroutine, returns the number of arguments.
  // May raise.
  int (*begin)(lua_State *L, void *user);
  // coroutine.yield at the task's own level with `n` values on top of L. May raise. NULL: such a
  // yield raises "attempt to yield a chunk outside an action".
  pl_step (*on_yield)(lua_State *L, int n, pl_op **wait, void *user);
  // The last callback, not protected, must not raise: `state` is DONE with n results on top of L,
  // or FAILED/CANCELLED with the error value on top (and n = 1) and its traceback text in
  // `traceback` (NULL when none). Runs from the scheduler.
  void (*on_end)(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                 void *user);
  // Optional. The function returned `n` values, on top of L: encode them here. May raise, which
  // fails the task with that error. [-0, +0]
  void (*on_return)(lua_State *L, int n, void *user);
  // Optional. Pushes the context of the task (below), the first time that somebody asks. May raise.
  void (*context)(lua_State *L, void *user);
  // Optional. Whether it is too late to begin: then the task ends CANCELLED with TIMEOUT instead.
  // Not protected, must not raise.
  bool (*is_late)(void *user);
  // Optional. It, or a task below it, has computed for so long, within a tick of the governor: said
  // only of slices that a tick has hit. Not protected, must not raise.
  void (*on_cpu)(uint64_t us, void *user);
  // Optional. The trace of the task (below), asked for until it ends.
  const pl_trace *(*trace)(void *user);
  // Optional. Fills in what is known. Not protected, must not raise.
  void (*about)(void *user, pl_task_about *about);
} pl_task_type;

// Starts a task: it is ready, and runs from the loop's work queue. One reference is the caller's.
// NULL when PL_TASKS_MAX are alive or memory is exhausted; nothing of `user` is called then.
// `parent`: NULL, or a task with which it is cancelled. The deadline is not inherited. Without a
// `user` that is memory of the task itself: PL_TASK_OWN bytes, not zeroed, until its last reference
// is dropped.
enum { PL_TASK_OWN = 128 };
pl_task *pl_task_start(pl_vm *vm, const pl_task_type *type, void *user, pl_task *parent);
pl_task *pl_task_hold(pl_task *t);
void pl_task_drop(pl_task *t);

// What it is busy with, by a number of its own (pl_watchdog_number): tasks of one type that have
// the same are about the same action. 0, as every task begins: about none. Before its first slice.
void pl_task_set_topic(pl_task *t, uint64_t topic);

// The task that runs in `L`; NULL outside one.
pl_task *pl_task_current(lua_State *L);
pl_vm *pl_task_vm(const pl_task *t);
pl_task_state pl_task_status(const pl_task *t);
bool pl_task_has_begun(const pl_task *t);
void *pl_task_user(const pl_task *t);
const pl_task_type *pl_task_kind(const pl_task *t);

// Breaks off: see above. `why` becomes the error object (code CANCELLED, TIMEOUT, PEER_LOST, …).
// Idempotent: the first reason stays. A task that has not started yet ends CANCELLED without
// running. Children are cancelled too.
void pl_task_cancel(pl_task *t, const pl_failure *why);
bool pl_task_is_cancelled(const pl_task *t);
// Cancels the running task, which goes no further, whatever would catch it:
// `return pl_task_quit(L, "os.exit", &why);`. Raises where it cannot leave, as `name`.
int pl_task_quit(lua_State *L, const char *name, const pl_failure *why);

// Told when a task ends, from the scheduler. May not run Lua. Zeroed, or watching one task.
typedef struct pl_watcher {
  pl_list node;
  void (*on_end)(struct pl_watcher *w, pl_task *t);  // it watches no more by then
} pl_watcher;

void pl_task_watch(pl_task *t, pl_watcher *w, void (*on_end)(pl_watcher *w, pl_task *t));
void pl_watcher_stop(pl_watcher *w);  // fine when it does not watch

// Deadline that calls made by the task inherit, in clock microseconds; PL_NEVER without one.
// Setting it does not interrupt the task: whoever sets it cancels it.
void pl_task_set_deadline(pl_task *t, uint64_t at_us);
// The nearest of it and of all open mesh.timeout scopes; of what was broken off, the end of the
// time in which it may clean up.
uint64_t pl_task_deadline(const pl_task *t);
// Replaces the VM's limit of CPU time between two waits for this task; 0 = none.
void pl_task_set_cpu_limit(pl_task *t, uint64_t us);

// How urgent what the task works for is: calls it makes, and tasks it spawns, are as urgent. 0 at
// first, which nobody chose.
void pl_task_set_priority(pl_task *t, unsigned priority);
unsigned pl_task_priority(const pl_task *t);

// Context that spawned tasks inherit (the request a handler serves, metadata): a registry-like slot
// of the task's own, kept alive with it. [-1, +0] / [-0, +1]
void pl_task_set_context(lua_State *L, pl_task *t);
void pl_task_push_context(lua_State *L, pl_task *t);  // nil without one

// The trace of the request that it works for, which the calls it makes carry on. Copied.
void pl_task_set_trace(pl_task *t, const pl_trace *trace);
// From now on the CPU time of its slices is measured; so far, in microseconds.
void pl_task_meter(pl_task *t);
uint64_t pl_task_cpu_us(const pl_task *t);
const pl_trace *pl_task_trace(pl_task *t);  // NULL without one

// Number of tasks not ended.
size_t pl_task_count(const pl_vm *vm);
