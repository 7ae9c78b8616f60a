// What a simulated machine has in place of the kernel's: a wall clock and secrets. While a thread
// is inside such a machine, whoever asks for these (pl_wall_us, pl_random_secret, the seeds of
// maps) gets them from it, so that a run in virtual time replays to the byte.
//
// Only the simulator and specs enter one: secrets are guessable there.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

typedef struct pl_kernel {
  uint64_t wall_us;   // since 1970; kept by whoever drives the machine
  pl_random secrets;  // also of the seeds of maps
} pl_kernel;

// This thread is inside `k` from now on, or outside of any with NULL. Returns where it was.
pl_kernel *pl_kernel_enter(pl_kernel *k);
// NULL outside of any.
pl_kernel *pl_kernel_current(void);

// Bytes of its generator.
void pl_kernel_secret(pl_kernel *k, void *out, size_t len);
