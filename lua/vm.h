// A VM is one lua_State: one generation of one script, with its memory budget and its tasks. It
// lives on one loop and is used from that loop's thread only.
//
// Lua runs in slices from the loop's work queue, never inside a callback of libuv or of the host:
// such a callback wakes a task (lua/task.h) and returns. The scheduler's resume is the one
// protected boundary.
#pragma once

#include <lua.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/loop.h"

typedef struct pl_vm pl_vm;

typedef struct pl_vm_options {
  pl_loop *loop;              // outlives the VM; of a simulated machine: CPU time is counted in
                              // instructions
  const char *name;           // of the script, for logs
  unsigned generation;        // of the script that this is; 0 counts as 1
  size_t memory_limit;        // bytes, 0 = none; enforced while script code runs
  uint64_t cpu_limit_us;      // CPU time of a task between two waits, 0 = none
  uint64_t cleanup_grace_us;  // how long a cancelled task may still wait
  bool sandboxed;             // it has only the capabilities that it is `allowed` (PL_CAN_FS, …)
  unsigned allowed;
  bool offloaded;  // what it runs another VM has asked for (lua/offload.h): nothing there may wait
  const char *directory;       // of the script: its modules and its lua_modules/ are found; or NULL
  struct pl_origins *sources;  // gets the texts of its modules; or NULL. Outlives the VM
  const struct pl_origins *replay;  // modules are taken from here, if they are there; or NULL
} pl_vm_options;

// Standard libraries with the parts that must wait without blocking replaced (coroutine, pcall,
// xpcall, require, …), the embedded standard library on package.searchers. NULL: no memory.
pl_vm *pl_vm_new(const pl_vm_options *options);
// Ends all tasks hard, cancels their waits, closes the state. Not from inside a task.
void pl_vm_free(pl_vm *vm);
// The first part of it.
void pl_vm_end_tasks(pl_vm *vm);

// The VM of any coroutine of it, in constant time.
static inline pl_vm *pl_vm_of(lua_State *L) {
  return *(pl_vm **)lua_getextraspace(L);
}
lua_State *pl_vm_state(pl_vm *vm);  // the main thread: for setting up, not for running scripts
pl_loop *pl_vm_loop(const pl_vm *vm);
const pl_vm_options *pl_vm_settings(const pl_vm *vm);

// Replaces the limits the VM was made with, also for the tasks that run under them now.
void pl_vm_set_limits(pl_vm *vm, size_t memory_limit, uint64_t cpu_limit_us,
                      uint64_t cleanup_grace_us);

// What the bindings of the mesh hang on their VM; NULL at first.
void pl_vm_set_host(pl_vm *vm, void *host);
void *pl_vm_host(const pl_vm *vm);

// A buffer for encoding, empty at each call. Valid until the next call of this function; its memory
// is the VM's, so raising while it is used leaks nothing.
pl_buf *pl_vm_scratch(pl_vm *vm);
// Streams that were written and not sent, see pass.h.
unsigned *pl_vm_passing(pl_vm *vm);

// Calls back once, from the loop, when no task is left (also when it never had one); NULL takes it
// back.
void pl_vm_on_idle(pl_vm *vm, void (*fn)(void *user), void *user);

// While on, what mesh.spawn, after and every start does not run before it is awaited, or released:
// a script that loads.
void pl_vm_hold_spawns(pl_vm *vm, bool hold);
void pl_vm_release_spawns(pl_vm *vm);

// Cancels the tasks that work for nobody: no request has led to them, and none that a request has
// led to waits for them. `swept` follows once, from the loop, when they have ended.
void pl_vm_sweep(pl_vm *vm, const pl_failure *why, void (*swept)(void *user), void *user);
// Cancels them all.
void pl_vm_cancel_all(pl_vm *vm, const pl_failure *why);
// Ends all tasks hard and gives the memory back in pieces, so that pl_vm_free, which must follow
// when `retired` is called, or may come sooner, takes no longer than a moment. Nothing else may be
// done with it. Not from inside a task.
void pl_vm_retire(pl_vm *vm, void (*retired)(void *user), void *user);

// Of one whose code is offloaded: while *abandoned, nobody wants what its task computes, and it is
// ended also where it cannot be interrupted. NULL takes it back.
void pl_vm_set_abandoned(pl_vm *vm, const atomic_bool *abandoned);

// Collects all garbage, and gives what is free back to the system. Not from inside a task.
void pl_vm_collect(pl_vm *vm);
// Bytes in use by the state.
size_t pl_vm_memory(const pl_vm *vm);
// Hardly anything is left of its limit.
bool pl_vm_is_full(const pl_vm *vm);
