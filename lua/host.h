// What the scripts of one process share: the node they run in, made when the first of them needs
// it, and how the process ends. Loop thread only.
#pragma once

#include "base/store.h"
#include "lua/task.h"
#include "lua/vm.h"
#include "perilune.h"

typedef struct pl_host pl_host;
struct pl_reload_report;  // lua/reload.h

// One script: a VM with the main chunk of a file.
typedef struct pl_script pl_script;

typedef struct pl_host_ops {
  // Every script is loaded, and at least one goes on: the node is ready to serve.
  void (*on_ready)(pl_host *h, void *user);
  // A VM was made for a script, and has done nothing yet. Optional.
  void (*on_vm)(pl_host *h, pl_vm *vm, void *user);
  // It ends from now on: no new requests are taken, those that run may finish. Once. Optional.
  void (*on_stopping)(pl_host *h, void *user);
  // A reload has ended, well or not. Optional.
  void (*on_reload)(pl_host *h, const struct pl_reload_report *r, void *user);
  // A script wants the process to end (mesh.stop, os.exit): only where the host is not to end by
  // itself. `drain_us`: PL_NEVER, as the options say. Optional.
  void (*on_exit)(pl_host *h, int code, uint64_t drain_us, void *user);
  // A script of the host is loaded anew because it said so itself (mesh.reload): others that are
  // the same script are to follow. Optional.
  void (*on_reload_wanted)(pl_host *h, void *user);
  // Everything is over: the scripts ended, failed, or were stopped, and the node is down. `code` is
  // for exit(2).
  void (*on_over)(pl_host *h, int code, void *user);
} pl_host_ops;

// `options` as far as they are known (command line, environment, file) is copied; scripts may add
// to it.
pl_host *pl_host_new(pl_loop *loop, const pl_options *options, const pl_host_ops *ops, void *user);
// Only after on_over.
void pl_host_free(pl_host *h);

// Where a host on a worker thread belongs.
typedef struct pl_host_home {
  pl_id id;          // of the node that it is a worker of
  pl_store *own;     // mesh.state of its script, as all replicas have it
  pl_store *shared;  // mesh.shared of the node
} pl_host_home;
// Makes it one, with one script. Before anything else. The stores are held.
void pl_host_house(pl_host *h, const pl_host_home *home);
// The stores of the script at `path`, borrowed.
void pl_host_home_stores(pl_host *h, const char *path, pl_host_home *out);

// Adds a script before pl_host_run, on the thread of the loop, or on worker threads if the options
// say so: `path` is read; with `source` it is the text instead and `path`
// its name. `args` becomes `arg`. `command`: the script is one of the program's own commands and
// never keeps the process alive.
pl_err pl_host_add(pl_host *h, const char *path, pl_bytes source, const char *const *args,
                   size_t count, bool command, char *detail);
// Makes and starts the node before any script does, and keeps it until it is stopped, whatever
// becomes of the scripts. Before pl_host_run. An error with `detail` (PL_URL_MAX bytes).
pl_err pl_host_open(pl_host *h, char *detail);
// Starts all scripts.
void pl_host_run(pl_host *h);
// As on SIGTERM: drains and ends. A second time: at once.
void pl_host_stop(pl_host *h, int code);
// The same with a drain of one's own, microseconds.
void pl_host_stop_within(pl_host *h, int code, uint64_t drain_us);

// os.exit, mesh.stop: as pl_host_stop_within, and the process ends with `code`, also if it ends
// already; -1: with 0, unless it ends already. PL_NEVER: as long as the options say.
void pl_host_exit_within(pl_host *h, int code, uint64_t drain_us);

// Loads the scripts anew, or the one of that name. NOT_FOUND: there is no such script. What comes
// of it is told to on_reload.
pl_err pl_host_reload(pl_host *h, const char *path);
// From now on they are loaded anew when their files change; on_reload tells, and what is well is
// not logged as news. Only on a loop of libuv, before pl_host_run.
void pl_host_watch(pl_host *h);
// The text of a script from its next load on, in place of what pl_host_add was given. NOT_FOUND,
// NO_MEMORY.
pl_err pl_host_set_text(pl_host *h, const char *path, pl_bytes source);

// That all scripts which the options put on worker threads were added. INVALID with `detail`.
pl_err pl_host_check(const pl_host *h, char *detail);
// Those, or NULL.
struct pl_workers *pl_host_workers(const pl_host *h);

pl_node *pl_host_node(pl_host *h);    // NULL while no script needed it
pl_vm *pl_host_vm(const pl_host *h);  // of the first script, the one that serves; NULL: it is over

// For the bindings.

pl_host *pl_host_of(lua_State *L);
pl_script *pl_script_of(lua_State *L);

// The options, while the node is not made; raises afterwards ("must come before anything else").
pl_options *pl_host_options(lua_State *L);
// The node, made and started if need be; raises when that fails (port in use, …). It may not have
// joined yet.
pl_node *pl_host_start(lua_State *L);
bool pl_host_joined(const pl_host *h);

// mesh.state of the script that runs in `L`, or mesh.shared of the node. Starts the node if need
// be, because its options say how large they may be; raises when that fails. It is the host's and
// outlives the VM. Loop thread only; the store itself may be used from any.
pl_store *pl_host_store(lua_State *L, bool shared);
// Sets what is not counted as it happens. `user` is the host.
void pl_host_count(pl_metrics *m, void *user);

// Something that wants to know of changes: once, from the loop.
typedef struct pl_watch {
  pl_list node;
  void (*fire)(struct pl_watch *w);
} pl_watch;
// Fires when the node has joined.
void pl_host_on_join(pl_host *h, pl_watch *w, void (*fire)(pl_watch *w));
// Fires at the next change of the directory or of the neighbours; how many there were.
void pl_host_on_change(pl_host *h, pl_watch *w, void (*fire)(pl_watch *w));
uint64_t pl_host_changes(const pl_host *h);
void pl_watch_cancel(pl_watch *w);

// os.exit([code]): drains and ends the process; the task that calls it is cancelled (bind_node.c).
int pl_os_exit(lua_State *L);
