#include "base/trace.h"

// An odd number near 2^64 divided by the golden ratio: ids that count up differ in all their bytes.
static const uint64_t SPREAD = 0x9e3779b97f4a7c15U;

static void put_xor(uint8_t out[8], const uint8_t with[8], uint64_t v) {
  for (int i = 0; i < 8; i++)
    out[i] = with[i] ^ (uint8_t)(v >> (56 - 8 * i));
}

void pl_trace_of(pl_trace *out, const pl_id *source, uint64_t call_id, const pl_trace *outer) {
  uint64_t spread = call_id * SPREAD;
  if (outer != NULL) {
    *out = *outer;
  } else {
    put_xor(out->id.bytes, source->bytes, spread);
    put_xor(out->id.bytes + 8, source->bytes + 8, call_id);
    out->flags = 0;
  }
  put_xor(out->span, source->bytes + 8, spread);
}
