// UTF-8, strictly: no surrogates, no overlong forms, nothing past U+10FFFF. Fast on long ASCII.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Length of the longest valid prefix.
size_t pl_utf8_prefix(const void *text, size_t len);

// The bits of all bytes, in words that may overlap.
static inline uint64_t pl_bits_of_few_(const unsigned char *p, size_t len) {
  uint32_t first, last;
  if (len == 0) return 0;
  if (len < sizeof first) return (uint64_t)(p[0] | p[len / 2] | p[len - 1]);
  memcpy(&first, p, sizeof first);
  memcpy(&last, p + len - sizeof last, sizeof last);
  return first | last;
}

// Inline for the short names and keys that are most texts.
static inline bool pl_is_ascii(const void *text, size_t len) {
  const unsigned char *p = text;
  const uint64_t high = 0x8080808080808080U;
  uint64_t word, bits = 0;
  if (len < sizeof word) return (pl_bits_of_few_(p, len) & high) == 0;
  for (const unsigned char *last = p + len - sizeof word; p < last; p += sizeof word) {
    memcpy(&word, p, sizeof word);
    bits |= word;
  }
  memcpy(&word, (const unsigned char *)text + len - sizeof word, sizeof word);
  return ((bits | word) & high) == 0;
}

static inline bool pl_utf8_valid(const void *text, size_t len) {
  enum { SHORT = 64 };
  if (len < SHORT && pl_is_ascii(text, len)) return true;
  return pl_utf8_prefix(text, len) == len;
}
