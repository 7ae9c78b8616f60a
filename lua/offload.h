// What another VM has asked for (mesh.offload), and the VMs in which it is done: without a mesh and
// without anything to wait for, else with what a script has, its sandbox and its limits. Such a VM
// is of one generation of one script, keeps the modules that it has loaded, and does one job after
// the other.
//
// A VM belongs to the thread that made it. One with a loop of its own is driven by that thread, in
// pl_offload_vm_run; one on the loop of others runs as any VM does.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/failure.h"
#include "lua/origins.h"
#include "lua/vm.h"

typedef struct pl_offload_job {
  // What to do.
  pl_buf code;          // a function, dumped by this process; empty: of a module
  char *module, *name;  // owned; with an empty `code`
  pl_buf args;          // one encoded list
  size_t max_message;   // bytes of what it may return
  size_t memory_limit;
  uint64_t cpu_limit_us, cleanup_grace_us;
  atomic_bool abandoned;  // nobody wants it any more: any thread

  // What came of it.
  bool ended;
  pl_failure failure;  // owned; its code PL_OK: it went well,
  pl_buf results;      // and this is one encoded list
} pl_offload_job;

// Frees what it holds.
void pl_offload_job_fini(pl_offload_job *job);

// It ends with NO_MEMORY, before it began.
void pl_offload_job_refuse(pl_offload_job *job);

typedef struct pl_offload_vm pl_offload_vm;

// `options`: those of the VM that asks. `texts`, which is taken over, has what modules were loaded
// from before: from there they come again, whatever the files say now. `loop` NULL: one of its own.
// NULL: no memory.
pl_offload_vm *pl_offload_vm_new(const pl_vm_options *options, pl_loop *loop, pl_origins *texts);
// Ends what runs, at once. Not from inside `on_end`.
void pl_offload_vm_free(pl_offload_vm *v);

// Starts the job, the only one. `on_end` follows once, from the loop. False: no memory, nothing
// follows.
bool pl_offload_vm_begin(pl_offload_vm *v, pl_offload_job *job, void (*on_end)(void *user),
                         void *user);
// It was abandoned: first softly, then hard.
void pl_offload_vm_cancel(pl_offload_vm *v);
// Does the job, from start to end.
void pl_offload_vm_run(pl_offload_vm *v, pl_offload_job *job);

// After a job: whether it may do another one. It may not when the last one was ended in the middle,
// or has left too much behind.
bool pl_offload_vm_is_fit(pl_offload_vm *v);
size_t pl_offload_vm_memory(const pl_offload_vm *v);
// The texts of modules that it has loaded, those it began with among them.
const pl_origins *pl_offload_vm_texts(const pl_offload_vm *v);
