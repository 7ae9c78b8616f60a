// The tasks that go when another generation takes over: those that work for nobody.

#include "base/mem.h"
#include "lua/bind_task.h"
#include "lua/core.h"

// A request has led to it: handlers, what they have spawned, and what they wait for.
static bool serves(const pl_task *t) {
  for (; t != NULL; t = pl_task_waiter(t)) {
    if (t->has_context || t->type->context != NULL) return true;
  }
  return false;
}

static void run_swept(pl_work *work) {
  pl_vm *vm = pl_container(work, pl_vm, swept_work);
  vm->on_swept(vm->swept_user);
}

void pl_sweep_ended(pl_vm *vm) {
  if (--vm->sweeping == 0) pl_loop_defer(vm->options.loop, &vm->swept_work, run_swept);
}

// Cancelling ends no task inside the call, so the list of tasks stays as it is.
void pl_vm_sweep(pl_vm *vm, const pl_failure *why, void (*swept)(void *user), void *user) {
  vm->on_swept = swept;
  vm->swept_user = user;
  for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next) {
    pl_task *t = pl_container(at, pl_task, living);
    if (serves(t)) continue;
    t->swept = true;
    vm->sweeping++;
    pl_task_cancel(t, why);
  }
  if (vm->sweeping == 0) pl_loop_defer(vm->options.loop, &vm->swept_work, run_swept);
}

void pl_vm_cancel_all(pl_vm *vm, const pl_failure *why) {
  for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next)
    pl_task_cancel(pl_container(at, pl_task, living), why);
}
