// A child process of a script with its pipes. It is always reaped: whoever lets go of a running
// one ends it, first with SIGTERM, after a grace with SIGKILL. Loop thread only.
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"

typedef struct pl_process pl_process;

typedef enum pl_stdio { PL_STDIO_NULL, PL_STDIO_INHERIT, PL_STDIO_PIPE } pl_stdio;

typedef struct pl_process_options {
  char **argv;        // ends with NULL; the first is looked up in PATH
  char **env;         // "KEY=value", ends with NULL; NULL: as ours
  const char *cwd;    // NULL: ours
  pl_stdio stdio[3];  // standard input, output, error
  bool group;         // a session of its own: signals reach its descendants too
  uint64_t grace_us;  // between SIGTERM and SIGKILL
} pl_process_options;

// Starts it. On 0 one reference is the caller's; else a negative libuv error and nothing is left.
int pl_process_spawn(pl_process **out, pl_loop *loop, const pl_process_options *options);
pl_process *pl_process_hold(pl_process *p);
void pl_process_drop(pl_process *p);

int pl_process_pid(const pl_process *p);
bool pl_process_exited(const pl_process *p);
int pl_process_code(const pl_process *p);
int pl_process_signal(const pl_process *p);  // that ended it, or 0

// 0 or a negative libuv error; a process that has exited takes no signal (UV_ESRCH).
int pl_process_kill(pl_process *p, int signal);
// SIGTERM, then SIGKILL. Idempotent.
void pl_process_terminate(pl_process *p);
// The script has no more use for it: terminates it and closes its pipes.
void pl_process_abandon(pl_process *p);

// Standard output (1) and error (2): reads on until `keep` bytes are buffered. What arrived is in
// the buffer, which the reader consumes; `ended` once no more comes, with the error or 0.
void pl_process_read(pl_process *p, int stream, size_t keep);
pl_buf *pl_process_buffer(pl_process *p, int stream);
bool pl_process_ended(const pl_process *p, int stream, int *error);

// Standard input: writes a copy of the bytes. *ticket is for pl_process_written. UV_EPIPE when it
// was closed.
int pl_process_write(pl_process *p, const void *data, size_t len, uint64_t *ticket);
bool pl_process_written(const pl_process *p, uint64_t ticket, int *error);
// Closes it when all is written. Idempotent.
void pl_process_finish_input(pl_process *p);
// Closes the outputs: the process meets a broken pipe when it writes on.
void pl_process_hang_up(pl_process *p);

// Called after each change of the above, from the loop, until it says true or is removed.
typedef struct pl_process_watch {
  pl_list node;
  bool (*changed)(struct pl_process_watch *w);
} pl_process_watch;
void pl_process_watch_add(pl_process *p, pl_process_watch *w);
