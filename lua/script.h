// One script: a VM, its main chunk, and whether anything of it goes on. Loop thread only.
#pragma once

#include "base/list.h"
#include "lua/host.h"

typedef enum pl_script_state {
  PL_SCRIPT_LOADING,
  PL_SCRIPT_LOADED,
  PL_SCRIPT_FAILED
} pl_script_state;

// Reads and compiles nothing yet. INVALID: the file cannot be read.
pl_err pl_script_new(pl_script **out, pl_host *h, pl_loop *loop, const pl_options *o,
                     const char *path, pl_bytes source, const char *const *args, size_t count,
                     bool command, char *detail);
void pl_script_free(pl_script *s);
// Compiles and runs the main chunk as a task. A failure is printed to standard error with file and
// line.
void pl_script_start(pl_script *s);

// The options may have changed: the limits of scripts among them now hold.
void pl_script_set_limits(pl_script *s, const pl_options *o);

pl_script_state pl_script_status(const pl_script *s);
// It has an action, or a task that has not ended.
bool pl_script_is_alive(const pl_script *s);
const char *pl_script_path(const pl_script *s);  // as it was given
pl_host *pl_script_host(const pl_script *s);
pl_vm *pl_script_vm(const pl_script *s);

// A place in the host's list.
pl_list *pl_script_node(pl_script *s);
pl_script *pl_script_from(pl_list *node);

// Addresses to listen on were given (host.c).
bool pl_host_listens(const pl_host *h);
// The script's state changed (host.c).
void pl_host_script_changed(pl_host *h);
