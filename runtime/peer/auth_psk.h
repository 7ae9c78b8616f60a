// The method "psk": both ends show that they know one secret, by HMAC-SHA256 over all that both
// HELLO said. A node holds up to two keys, so that an old and a new one are valid at once; two
// nodes go together when they have one in common. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

typedef struct pl_auth_method pl_auth_method;

typedef struct pl_psk_key {
  size_t len;
  uint8_t bytes[PL_PSK_MAX];
} pl_psk_key;

typedef struct pl_psk {
  size_t count;  // 0: none
  pl_psk_key keys[PL_PSK_KEYS];
} pl_psk;

// The text of a key file: each line that is not empty is a key, without the blanks around it.
// PL_INVALID with *why (static), and `out` as it was; no word of the text is in it.
pl_err pl_psk_parse(pl_psk *out, pl_bytes text, const char **why);
// Overwrites the keys; none is left.
void pl_psk_wipe(pl_psk *k);
// Whether both hold the same keys.
bool pl_psk_equal(const pl_psk *a, const pl_psk *b);

extern const pl_auth_method pl_auth_psk;
