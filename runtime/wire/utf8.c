#include "wire/utf8.h"

#include <stdint.h>
#include <string.h>

static uint64_t word_at(const uint8_t *p) {
  uint64_t w;
  memcpy(&w, p, sizeof w);
  return w;
}

static const uint64_t HIGH_BITS = 0x8080808080808080U;

enum { BLOCK = 128 };

// No branch inside, so that the compiler takes the widest registers there are.
static bool block_is_ascii(const uint8_t *p) {
  uint64_t bits = 0;
  for (size_t i = 0; i < BLOCK; i += sizeof bits)
    bits |= word_at(p + i);
  return (bits & HIGH_BITS) == 0;
}

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
  while (end - p >= BLOCK && block_is_ascii(p))
    p += BLOCK;
  while (end - p >= 8 && (word_at(p) & HIGH_BITS) == 0)
    p += 8;
  while (p < end && *p < 0x80)
    p++;
  return p;
}

static bool is_tail(uint8_t b) {
  return (b & 0xc0) == 0x80;
}

// Bytes of the character of several bytes at `p`; 0 when there is none.
static size_t character(const uint8_t *p, size_t left) {
  uint8_t b = p[0];
  if (b < 0xc2 || left < 2) return 0;  // a tail, or an overlong form of ASCII
  if (b < 0xe0) return is_tail(p[1]) ? 2 : 0;
  if (left < 3 || !is_tail(p[1]) || !is_tail(p[2])) return 0;
  if (b < 0xf0) {
    bool overlong = b == 0xe0 && p[1] < 0xa0;
    bool surrogate = b == 0xed && p[1] >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (left < 4 || !is_tail(p[3])) return 0;
  bool overlong = b == 0xf0 && p[1] < 0x90;
  bool past_unicode = b > 0xf4 || (b == 0xf4 && p[1] >= 0x90);
  return overlong || past_unicode ? 0 : 4;
}

size_t pl_utf8_prefix(const void *text, size_t len) {
  if (len == 0) return 0;
  const uint8_t *start = text;
  const uint8_t *end = start + len;
  const uint8_t *p = start;
  while (p < end) {
    if (*p < 0x80) {
      p = skip_ascii(p, end);
      continue;
    }
    size_t n = character(p, (size_t)(end - p));
    if (n == 0) break;
    p += n;
  }
  return (size_t)(p - start);
}
