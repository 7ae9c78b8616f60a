// A thread that watches the threads of loops, and says so in the log while code of a script, or a
// function in C that it called, keeps one from everything else: also when it blocks and so never
// comes back to where a hook could tell. The watched thread only writes atomics at the two ends of
// a slice, and, asked by a signal, the line that it is at; no lua_State is looked at from outside.
#pragma once

#include <lua.h>

#include "base/log.h"
#include "lua/task.h"

// Starts the watching thread, one in a process, and watches the calling one, that of the node, from
// now on. Without a thread nothing is watched.
void pl_watchdog_start(pl_log *log);
void pl_watchdog_stop(void);
// Watches the calling thread, that of a worker, until it says that it parts; `log` and the name are
// needed for as long.
void pl_watchdog_join(pl_log *log, const char *worker);
void pl_watchdog_part(void);

// One that it never gave before: for what a slice is said to be of. Any thread.
uint64_t pl_watchdog_number(void);

// For the governor, on any thread; those that are not watched are passed over.

// A slice of the task begins, or of no task (NULL).
void pl_watchdog_enter(const pl_vm *vm, pl_task *t);
// It ends. True when it was told to hold up the node.
bool pl_watchdog_leave(void);
// The hook has told the same with more.
void pl_watchdog_told(void);
// In a handler of a signal: where `L` is, in which a function in C runs.
void pl_watchdog_place(lua_State *L);
