#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/kernel.h"

typedef unsigned __int128 u128;

static uint64_t rotate(uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

// splitmix64: spreads any seed, also 0, over a state that is not all zero.
static uint64_t spread(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void pl_random_seed(pl_random *r, uint64_t seed) {
  for (int i = 0; i < 4; i++)
    r->state[i] = spread(&seed);
}

uint64_t pl_random_u64(pl_random *r) {
  uint64_t *s = r->state;
  uint64_t result = rotate(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

uint64_t pl_random_below(pl_random *r, uint64_t bound) {
  // Lemire: the high half of a product, redrawn in the few cases that would be biased.
  u128 product = (u128)pl_random_u64(r) * bound;
  if ((uint64_t)product < bound) {
    uint64_t unfair = (0 - bound) % bound;
    while ((uint64_t)product < unfair)
      product = (u128)pl_random_u64(r) * bound;
  }
  return (uint64_t)(product >> 64);
}

void pl_random_secret(void *out, size_t len) {
  pl_kernel *simulated = pl_kernel_current();
  if (simulated != NULL) {
    pl_kernel_secret(simulated, out, len);
    return;
  }
  uint8_t *at = out;
  while (len > 0) {
    ssize_t got = getrandom(at, len, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      perror("perilune: getrandom");
      abort();  // going on with guessable secrets would be worse
    }
    at += got;
    len -= (size_t)got;
  }
}

uint64_t pl_random_secret_u64(void) {
  static _Thread_local struct {
    uint8_t bytes[4096];
    size_t left;
  } pool;

  pl_kernel *simulated = pl_kernel_current();
  if (simulated != NULL) return pl_random_u64(&simulated->secrets);
  if (pool.left == 0) {
    pl_random_secret(pool.bytes, sizeof pool.bytes);
    pool.left = sizeof pool.bytes;
  }
  uint64_t value;
  pool.left -= sizeof value;
  memcpy(&value, pool.bytes + pool.left, sizeof value);
  explicit_bzero(pool.bytes + pool.left, sizeof value);  // given out once, and not found in a dump
  return value;
}
