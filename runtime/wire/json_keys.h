// The keys of the JSON objects that are open, to find one that is there twice. Private to the JSON
// codec.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

// Zeroed is valid and empty.
typedef struct pl_json_keys {
  pl_buf entries;
  pl_buf bytes;  // of all keys
} pl_json_keys;

void pl_json_keys_fini(pl_json_keys *k);
size_t pl_json_keys_count(const pl_json_keys *k);

// Copies `key`, which stands at offset `at` in the text. False: no memory.
bool pl_json_keys_add(pl_json_keys *k, pl_bytes key, size_t at);

// Forgets the keys from number `first` on, which are those of one object. False when two of them
// are equal; *at is then where the second one stands.
bool pl_json_keys_close(pl_json_keys *k, size_t first, size_t *at);
