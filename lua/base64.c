#include "lua/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void pl_base64_encode(char *out, const void *bytes, size_t len) {
  const uint8_t *p = bytes;
  for (; len >= 3; p += 3, len -= 3, out += 4) {
    out[0] = digits[p[0] >> 2];
    out[1] = digits[(p[0] & 3) << 4 | p[1] >> 4];
    out[2] = digits[(p[1] & 15) << 2 | p[2] >> 6];
    out[3] = digits[p[2] & 63];
  }
  if (len == 0) return;
  unsigned second = len == 2 ? p[1] : 0;
  out[0] = digits[p[0] >> 2];
  out[1] = digits[(p[0] & 3U) << 4 | second >> 4];
  out[2] = len == 2 ? digits[(second & 15) << 2] : '=';
  out[3] = '=';
}

// The six bits of a digit, or 64.
static unsigned value_of(char c) {
  if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
  if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a') + 26;
  if (c >= '0' && c <= '9') return (unsigned)(c - '0') + 52;
  return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool pl_base64_decode(void *out, size_t *len, const char *text, size_t text_len) {
  if (text_len % 4 != 0) return false;
  size_t padding = 0;
  if (text_len > 0) padding = text[text_len - 1] != '=' ? 0 : text[text_len - 2] != '=' ? 1 : 2;
  uint8_t *p = out;
  for (size_t at = 0; at < text_len; at += 4) {
    size_t used = at + 4 < text_len ? 4 : 4 - padding;
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
      unsigned v = i < used ? value_of(text[at + i]) : 0;
      if (v > 63) return false;
      bits = bits << 6 | v;
    }
    // Bits that no byte holds must be zero, or two texts would be the same bytes.
    if ((used == 3 && (bits & 0xff) != 0) || (used == 2 && (bits & 0xffff) != 0)) return false;
    for (size_t i = 0; i + 1 < used; i++)
      *p++ = (uint8_t)(bits >> (16 - 8 * i));
  }
  *len = (size_t)(p - (uint8_t *)out);
  return true;
}
