// Ids of 128 bits: of nodes (random), and time-ordered ones (UUID version 7).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct pl_id {
  uint8_t bytes[16];
} pl_id;

enum { PL_ID_HEX = 33, PL_UUID_TEXT = 37 };  // with the terminating NUL

int pl_id_compare(const pl_id *a, const pl_id *b);
static inline bool pl_id_equal(const pl_id *a, const pl_id *b) {
  return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;  // two words: no call
}
bool pl_id_is_zero(const pl_id *id);

// 32 lower-case hexadecimal digits.
void pl_id_format(const pl_id *id, char out[PL_ID_HEX]);
// False when `text` is not exactly that (upper case is accepted).
bool pl_id_parse(pl_id *out, const char *text, size_t len);

// Random, from the kernel.
void pl_id_random(pl_id *out);

// A generator of UUIDs version 7: strictly increasing from one generator, with at least
// 62 bits from the kernel each, so that one does not tell the next.
typedef struct pl_uuid_source {
  uint64_t last_ms;
  uint16_t counter;
} pl_uuid_source;

void pl_uuid_next(pl_uuid_source *s, uint64_t wall_ms, pl_id *out);
void pl_uuid_format(const pl_id *id, char out[PL_UUID_TEXT]);
