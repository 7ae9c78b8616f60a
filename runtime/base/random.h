// Randomness: secrets from the kernel, everything else from a seeded generator, so
// that a simulated run replays.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct pl_random {
  uint64_t state[4];  // xoshiro256**
} pl_random;

void pl_random_seed(pl_random *r, uint64_t seed);
uint64_t pl_random_u64(pl_random *r);
// Uniform in [0, bound); `bound` > 0.
uint64_t pl_random_below(pl_random *r, uint64_t bound);

// Unpredictable bytes from the kernel, for keys, nonces and node ids. Any thread. Inside a
// simulated machine (base/kernel.h) they are its.
void pl_random_secret(void *out, size_t len);

// 64 such bits at a tenth of the cost: the kernel is asked for a block at a time.
uint64_t pl_random_secret_u64(void);
