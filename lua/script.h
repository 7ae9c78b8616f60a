// One script: a place for a VM with a file, in which one generation follows another. Loop thread
// only.
#pragma once

#include "base/list.h"
#include "lua/generation.h"
#include "lua/host.h"
#include "lua/reload.h"

typedef enum pl_script_state {
  PL_SCRIPT_LOADING,  // the first generation; later ones load beside the one that serves
  PL_SCRIPT_LOADED,
  PL_SCRIPT_FAILED
} pl_script_state;

// Reads and compiles nothing but the first generation's file. INVALID: it cannot be read.
pl_err pl_script_new(pl_script **out, pl_host *h, pl_loop *loop, const char *path, pl_bytes source,
                     const char *const *args, size_t count, bool command, char *detail);
void pl_script_free(pl_script *s);
// Compiles and runs the main chunk as a task. A failure is printed to standard error with file and
// line.
void pl_script_start(pl_script *s);
// Its text from now on, in place of the file.
pl_err pl_script_set_text(pl_script *s, pl_bytes source);

// The options may have changed: the limits of scripts among them now hold.
void pl_script_set_limits(pl_script *s, const pl_options *o);

pl_script_state pl_script_status(const pl_script *s);
// It has an action, or a task that has not ended.
bool pl_script_is_alive(const pl_script *s);
bool pl_script_is_command(const pl_script *s);
// It is loaded anew when its files change.
void pl_script_watch_files(pl_script *s);
pl_host *pl_script_host(const pl_script *s);
pl_loop *pl_script_loop(const pl_script *s);
const char *pl_script_path(const pl_script *s);
const pl_texts *pl_script_arguments(const pl_script *s);
const pl_options *pl_script_options(const pl_script *s);
pl_reload *pl_script_reload(const pl_script *s);

// The generation that serves, or the first while it loads.
pl_generation *pl_script_current(const pl_script *s);
pl_vm *pl_script_vm(const pl_script *s);  // of that one
// How many are alive.
size_t pl_script_generations(const pl_script *s);

// For generations and reloads.

pl_vm_options pl_script_vm_options(const pl_script *s);
// The text of the script as it is now.
pl_err pl_script_read(const pl_script *s, pl_origin *out, char *detail);
// A new one, which loads.
void pl_script_add(pl_script *s, pl_generation *g);
// It serves from now on.
void pl_script_put(pl_script *s, pl_generation *g);
// It is over and its VM has given its memory back: frees it.
void pl_script_generation_gone(pl_generation *g);
// Whether something of it goes on has changed.
void pl_script_changed(pl_script *s);
// Logs the error at the top of L. [-0, +0]
void pl_script_log_error(const pl_script *s, const char *text, lua_State *L, const char *traceback);

// A place in the host's list.
pl_list *pl_script_node(pl_script *s);
pl_script *pl_script_from(pl_list *node);

// host.c

// Addresses to listen on were given.
bool pl_host_listens(const pl_host *h);
// The script's state changed.
void pl_host_script_changed(pl_host *h);
const pl_options *pl_host_settings(const pl_host *h);
bool pl_host_is_stopping(const pl_host *h);
// Calls `fn` with those that have a file, or that one of them whose path it is, and returns how
// many they are.
size_t pl_host_each_file(pl_host *h, const char *path, void (*fn)(pl_script *s, void *user),
                         void *user);
// It lives on a worker thread.
bool pl_host_is_housed(const pl_host *h);
// The script has asked for its reload: so do its replicas elsewhere.
void pl_host_want_reload(pl_host *h);
// All replicas on worker threads have ended, and their threads.
void pl_host_workers_over(pl_host *h);
// A VM was made, and has done nothing yet.
void pl_host_made_vm(pl_host *h, pl_vm *vm);
// A reload has ended, well or not.
void pl_host_reloaded(pl_host *h, const pl_reload_report *r);
