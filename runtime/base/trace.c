#include "base/trace.h"

#include <string.h>

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

// Text.

static bool read_hex(uint8_t *out, size_t bytes, const char *text) {
  for (size_t i = 0; i < 2 * bytes; i++) {
    char c = text[i];
    bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return false;
    uint8_t value = (uint8_t)(digit ? c - '0' : c - 'a' + 10);
    out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
  }
  return true;
}

// 00-<trace id>-<span id>-<flags>; of a later version more may follow behind a dash.
bool pl_trace_parse(pl_trace *out, const char *text, size_t len) {
  enum { ID = 3, SPAN = 36, FLAGS = 53, WHOLE = 55, NO_VERSION = 0xff };
  static const uint8_t none[8];
  uint8_t version;
  pl_trace t;
  if (len < WHOLE || text[ID - 1] != '-' || text[SPAN - 1] != '-' || text[FLAGS - 1] != '-')
    return false;
  if (!read_hex(&version, 1, text) || version == NO_VERSION) return false;
  if (len > WHOLE && (version == 0 || text[WHOLE] != '-')) return false;
  if (!read_hex(t.id.bytes, sizeof t.id.bytes, text + ID)) return false;
  if (!read_hex(t.span, sizeof t.span, text + SPAN) || !read_hex(&t.flags, 1, text + FLAGS))
    return false;
  if (pl_id_is_zero(&t.id) || memcmp(t.span, none, sizeof none) == 0) return false;
  t.flags &= PL_TRACE_SAMPLED;
  *out = t;
  return true;
}

void pl_span_format(const uint8_t span[8], char out[PL_SPAN_HEX]) {
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 8; i++) {
    *out++ = digits[span[i] >> 4];
    *out++ = digits[span[i] & 15];
  }
  *out = '\0';
}

bool pl_span_parse(uint8_t out[8], const char *text, size_t len) {
  uint8_t span[8];
  if (len != PL_SPAN_HEX - 1 || !read_hex(span, sizeof span, text)) return false;
  memcpy(out, span, sizeof span);
  return true;
}
