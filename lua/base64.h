// Base64 of RFC 4648, with padding.
#pragma once

#include <stdbool.h>
#include <stddef.h>

static inline size_t pl_base64_len(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

// Bytes that `len` characters decode to at most.
static inline size_t pl_base64_max(size_t len) {
  return len / 4 * 3;
}

// Writes pl_base64_len(len) characters, no NUL.
void pl_base64_encode(char *out, const void *bytes, size_t len);
// False unless `text` is exactly what pl_base64_encode writes for some bytes; *len of them are in
// `out`.
bool pl_base64_decode(void *out, size_t *len, const char *text, size_t text_len);
