#include "base/kernel.h"

#include <string.h>

static _Thread_local pl_kernel *current;

pl_kernel *pl_kernel_enter(pl_kernel *k) {
  pl_kernel *before = current;
  current = k;
  return before;
}

pl_kernel *pl_kernel_current(void) {
  return current;
}

void pl_kernel_secret(pl_kernel *k, void *out, size_t len) {
  uint8_t *at = out;
  while (len > 0) {
    uint64_t value = pl_random_u64(&k->secrets);
    size_t n = len < sizeof value ? len : sizeof value;
    memcpy(at, &value, n);
    at += n;
    len -= n;
  }
}
