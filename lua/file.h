// An open file of a script: a descriptor that is read, written and closed by file work.
#pragma once

#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "lua/filework.h"

#define PL_FILE_TYPE "perilune.File"

typedef struct pl_file {
  pl_filejob closing;  // the work of closing, when the last reference goes
  atomic_uint refs;    // of the script's handle and of operations
  int fd;              // -1 once closed
  bool polled;         // FIFO, terminal, socket: waited for on the loop, never in a thread
  bool standard;       // 0, 1 or 2: never closed, and its flags are not ours
  bool busy;           // an operation is under way (loop thread)
  pl_list queue;       // of pl_fileop.turn: those that come after it (loop thread)
  // Held by a thread that works on the file: a cancelled operation may still be at it when the next
  // begins, and a descriptor must not be closed under it.
  pthread_mutex_t lock;
  // What a read of a polled file has brought whose task was gone by then, which cannot be read
  // again: the next read takes it first. Bytes, or an error, or neither at the end (loop thread).
  bool keeps;
  int kept_error;  // 0 or a negative libuv error
  pl_buf kept;
  char *path;  // for messages; owned
} pl_file;

// One reference. `fd` is the file's from now on. Any thread.
pl_file *pl_file_new(int fd, const char *path);
pl_file *pl_file_hold(pl_file *f);
// The last one closes the descriptor, in the pool. Any thread.
void pl_file_drop(pl_file *f);

// Takes over the reference. [-0, +1]
void pl_file_push(lua_State *L, pl_file *f);
// Raises when the handle at `arg` is closed.
pl_file *pl_file_check(lua_State *L, int arg, const char *verb);

// What stat(2) says, as a table. [-0, +1]
struct stat;
void pl_file_push_stat(lua_State *L, const struct stat *st);

// Creates the metatable; part of opening perilune.core.fs. [-0, +0]
void pl_file_register(lua_State *L);
// open(path, flags, mode) -> file, where flags are those of open(2).
int pl_file_open(lua_State *L);
// standard(0 | 1 | 2) -> file that is never closed
int pl_file_standard(lua_State *L);
