// Waits until a descriptor that the runtime did not open (standard input, a FIFO of a script) can
// be read or written, without changing its flags: those of a terminal or pipe are shared with
// other processes, and a surprise O_NONBLOCK breaks them. Any number of waits may watch one
// descriptor. Loop thread only.
#pragma once

#include "base/loop.h"

typedef struct pl_fdwait pl_fdwait;

// Whether the descriptor can be waited for. Files, directories and /dev/null cannot: they are
// always ready, or block anyway. Any thread.
bool pl_fdwait_possible(int fd);

// `events` is UV_READABLE or UV_WRITABLE. Calls `ready` once, from the loop, also when the other
// end is gone; the wait is over then. Returns 0 or a negative libuv error.
int pl_fdwait_start(pl_fdwait **out, pl_loop *loop, int fd, int events, void (*ready)(void *user),
                    void *user);
// Breaks it off: `ready` will not be called.
void pl_fdwait_stop(pl_fdwait *w);
