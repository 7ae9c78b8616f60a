// UTF-8, strictly: no surrogates, no overlong forms, nothing past U+10FFFF. Fast on long ASCII.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Length of the longest valid prefix.
size_t pl_utf8_prefix(const void *text, size_t len);

// Inline for the short names and keys that are most texts.
static inline bool pl_is_ascii(const void *text, size_t len) {
  const unsigned char *p = text;
  uint64_t bits = 0;
  for (; len >= sizeof bits; p += sizeof bits, len -= sizeof bits) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    bits |= word;
  }
  for (; len > 0; p++, len--)
    bits |= *p;
  return (bits & 0x8080808080808080U) == 0;
}

static inline bool pl_utf8_valid(const void *text, size_t len) {
  enum { SHORT = 64 };
  if (len < SHORT && pl_is_ascii(text, len)) return true;
  return pl_utf8_prefix(text, len) == len;
}
