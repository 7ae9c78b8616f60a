// A file replaced as a whole: whoever opens it, at any time and after any crash, sees the old bytes
// or the new. Blocks; any thread.
#pragma once

#include <stdbool.h>

#include "base/buf.h"

// Writes `data` to `temporary`, which must not exist, and gives that the name `target`, whose mode
// it takes over; else it has `mode`. `sync`: what the name leads to is on the disk then. 0, or a
// negative errno; then the target is as before, but if the last step of `sync` failed, and nothing
// else is left.
int pl_file_replace(const char *target, const char *temporary, unsigned mode, pl_bytes data,
                    bool sync);

// Opens without waiting for anybody and without passing it on to children, through interruptions:
// as open(2).
int pl_file_open_now(const char *path, int flags, unsigned mode);
// Writes it all; 0, or a negative errno.
int pl_file_write_all(int fd, pl_bytes data, bool sync);
