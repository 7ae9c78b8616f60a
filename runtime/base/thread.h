// Threads that work for loops.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Starts a detached thread that gets none of the signals of the process: those are for the threads
// of loops. False: the system gives none. Any thread.
bool pl_thread_start(size_t stack_bytes, void *(*run)(void *), void *user);
