// One operation on files that a task waits for. What it does runs on a thread of the pool, or, for
// a descriptor that may keep one waiting (FIFO, terminal), on the loop once the descriptor is
// ready. A cancelled task goes on at once; what its operation still opens is closed again.
#pragma once

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "lua/file.h"
#include "lua/filework.h"
#include "lua/guard.h"
#include "lua/task.h"

struct pl_fdwait;
typedef struct pl_fileop pl_fileop;

typedef struct pl_fileop_type {
  pl_op_type op;                            // PL_FILEOP("fs.read")
  const char *verb;                         // "read", for messages
  void (*run)(pl_fileop *o);                // any thread; sets the results, or `error`, or `again`
  int (*push)(lua_State *L, pl_fileop *o);  // pushes the results; may raise
  int events;  // UV_READABLE or UV_WRITABLE of a polled file; 0: a thread
  // When its turn comes after a wait, it ends without doing anything: the operation before it may
  // have brought what the script wants.
  bool looks_again;
  bool slow;  // see pl_filejob_type
  // Optional. It has run, and its task went before it had the results: undoes what it did to the
  // file, which nobody else uses now. The loop thread, or the one that ran it.
  void (*give_back)(pl_fileop *o);
} pl_fileop_type;

typedef enum pl_fileop_stage {
  PL_FILEOP_PENDING,  // not run to its end
  PL_FILEOP_RAN,
  PL_FILEOP_LEFT,  // nobody waits
} pl_fileop_stage;

struct pl_fileop {
  pl_op op;
  const pl_fileop_type *type;
  pl_filejob job;
  pl_loop *loop;
  pl_fileport *port;
  pl_guard *guard;         // of the waiting function
  struct pl_fdwait *wait;  // while the loop watches the descriptor
  pl_timer retry;
  pl_list turn;  // in the queue of `file`, while another operation uses it
  bool woken;
  bool holds;        // its file: nobody else uses that
  atomic_int stage;  // pl_fileop_stage

  // what to do
  char *path, *to;  // owned
  pl_file *file;    // the one that is used; one reference
  int flags;        // of open(2), or of the operation
  unsigned mode;
  size_t limit;    // bytes to read at most
  int64_t offset;  // of a seek

  // what came of it
  bool again;       // nothing yet: wait for the descriptor, or try again a little later
  bool too_large;   // more than `limit`
  bool refused;     // too much work is waiting
  int error;        // 0 or a negative libuv error
  pl_file *opened;  // one reference
  pl_buf data;      // to write, or read
  size_t count;
  struct stat st;
};

int pl_fileop_finish(lua_State *L, pl_op *op);
void pl_fileop_cancel(pl_op *op);
#define PL_FILEOP(text) \
  { .name = (text), .finish = pl_fileop_finish, .cancel = pl_fileop_cancel }

// An operation on `path`, or on `file` when that is not NULL (it is held then). Raises outside a
// task, and where there is no loop of libuv. Until pl_fileop_run it belongs to the collector.
// [-0, +1]
pl_fileop *pl_fileop_new(lua_State *L, const pl_fileop_type *type, const char *path, pl_file *file);
// `return pl_fileop_run(L, o);` starts it and waits.
int pl_fileop_run(lua_State *L, pl_fileop *o);
// Copies bytes to be written to `data`; raises when there is no memory.
void pl_fileop_copy(lua_State *L, pl_fileop *o, const void *bytes, size_t len);
