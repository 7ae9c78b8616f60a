// A process on a machine of the simulator: a node with one script, in virtual time, and code that
// is run in it from outside. Values pass in and out as bytes: a script and who watches it share no
// state. Loop thread only.
//
// What differs from other processes: CPU time is counted in instructions, `pairs` goes in order,
// math.random, ids and clocks follow from the seed.
#pragma once

#include "base/buf.h"
#include "lua/host.h"
#include "sim/net.h"

// Code that runs, or ran, in a process.
typedef enum pl_sim_eval_state {
  PL_SIM_EVAL_RUNNING,
  PL_SIM_EVAL_DONE,
  PL_SIM_EVAL_FAILED,
  PL_SIM_EVAL_LOST,  // its process died
} pl_sim_eval_state;

typedef struct pl_sim_eval {
  pl_list node;  // of its process, while it runs
  pl_task *task;
  pl_bytes code, args;
  pl_sim_eval_state state;
  pl_bytes values;  // results, or one error: an encoded array
} pl_sim_eval;

typedef struct pl_sim_process {
  pl_site *site;
  pl_host *host;  // NULL: no process
  pl_options options;
  bool ready, over;
  int code;           // exit code of the last one
  pl_bytes *reports;  // what scripts handed out by `report`: encoded arrays
  size_t report_count, report_cap;
  pl_buf log;  // of all its processes, at most PL_SIM_LOG_MAX
  pl_list evals;
} pl_sim_process;

// Makes what a VM of a simulated machine does follow from its seed. Inside the machine, before
// anything of a script runs. May raise. [-0, +0]
void pl_sim_prelude(lua_State *L);

enum { PL_SIM_LOG_MAX = 1024 * 1024 };

pl_sim_process *pl_sim_process_new(pl_net *net, const char *name);
// Kills what runs.
void pl_sim_process_free(pl_sim_process *p);

// Starts a process with p->options and a script: a text, or a dumped function. INVALID with
// `detail` (PL_URL_MAX bytes).
pl_err pl_sim_process_boot(pl_sim_process *p, pl_bytes code, char *detail);
void pl_sim_process_kill(pl_sim_process *p, bool power);
// `drain_us` PL_NEVER: as the option says.
void pl_sim_process_stop(pl_sim_process *p, uint64_t drain_us);
// Gives back what is left of a process that is over.
void pl_sim_process_collect(pl_sim_process *p);

// Makes a dumped function a global of the scripts of a process that runs. INVALID with `detail`.
pl_err pl_sim_process_define(pl_sim_process *p, const char *name, pl_bytes code, char *detail);

// Runs code, as of boot, with encoded arguments. NULL: there is no process that could.
pl_sim_eval *pl_sim_eval_start(pl_sim_process *p, pl_bytes code, pl_bytes args);
void pl_sim_eval_cancel(pl_sim_process *p, pl_sim_eval *e);
void pl_sim_eval_free(pl_sim_eval *e);  // not while it runs
