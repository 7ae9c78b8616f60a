#include "base/id.h"

#include <string.h>

#include "base/random.h"

enum {
  COUNTER_MAX = 0xfff,
  COUNTER_SEED = 0x7ff,  // leaves at least half of the counter for one millisecond
};

static const char digits[] = "0123456789abcdef";

int pl_id_compare(const pl_id *a, const pl_id *b) {
  return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool pl_id_is_zero(const pl_id *id) {
  static const pl_id zero;
  return pl_id_equal(id, &zero);
}

void pl_id_format(const pl_id *id, char out[PL_ID_HEX]) {
  for (size_t i = 0; i < sizeof id->bytes; i++) {
    *out++ = digits[id->bytes[i] >> 4];
    *out++ = digits[id->bytes[i] & 15];
  }
  *out = '\0';
}

static int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool pl_id_parse(pl_id *out, const char *text, size_t len) {
  if (len != PL_ID_HEX - 1) return false;
  pl_id id;
  for (size_t i = 0; i < sizeof id.bytes; i++) {
    int high = digit_value(text[2 * i]);
    int low = digit_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    id.bytes[i] = (uint8_t)(high << 4 | low);
  }
  *out = id;
  return true;
}

void pl_id_random(pl_id *out) {
  pl_random_secret(out->bytes, sizeof out->bytes);
}

static uint16_t first_counter(void) {
  return (uint16_t)(pl_random_secret_u64() & COUNTER_SEED);
}

void pl_uuid_next(pl_uuid_source *s, uint64_t wall_ms, pl_id *out) {
  if (wall_ms > s->last_ms) {
    s->last_ms = wall_ms;
    s->counter = first_counter();
  } else if (s->counter < COUNTER_MAX) {
    s->counter++;  // the same millisecond, or the clock was set back
  } else {
    s->last_ms++;  // borrowed: order counts more than the exact time
    s->counter = first_counter();
  }

  uint64_t noise = pl_random_secret_u64();
  memcpy(out->bytes + 8, &noise, sizeof noise);
  for (int i = 0; i < 6; i++)
    out->bytes[i] = (uint8_t)(s->last_ms >> (40 - 8 * i));
  out->bytes[6] = (uint8_t)(0x70 | s->counter >> 8);  // version 7
  out->bytes[7] = (uint8_t)s->counter;
  out->bytes[8] = (uint8_t)(0x80 | (out->bytes[8] & 0x3f));  // variant of RFC 9562
}

void pl_uuid_format(const pl_id *id, char out[PL_UUID_TEXT]) {
  for (size_t i = 0; i < sizeof id->bytes; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    *out++ = digits[id->bytes[i] >> 4];
    *out++ = digits[id->bytes[i] & 15];
  }
  *out = '\0';
}
