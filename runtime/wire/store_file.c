#include "wire/store_file.h"

#include "base/clock.h"
#include "base/limits.h"
#include "wire/msgpack.h"

enum { VERSION = 1, MAGIC = 8, HEAD = MAGIC + 8, ENTRY = 4 + 8 + 8, SUM = 8 };

static const uint8_t magic[MAGIC] = {'P', 'L', 'S', 'T', 'A', 'T', 'E', VERSION};

static uint64_t sum_of(const uint8_t *at, size_t len) {
  uint64_t sum = 0xcbf29ce484222325;
  for (size_t i = 0; i < len; i++)
    sum = (sum ^ at[i]) * 0x100000001b3;
  return sum;
}

static uint64_t add(uint64_t a, uint64_t b) {
  return a < PL_NEVER - b ? a + b : PL_NEVER;
}

// Writing.

static uint8_t *put_item(uint8_t *p, const pl_item *i, pl_store_time time) {
  uint64_t expires_us = i->expires_us;
  if (expires_us != PL_NEVER) expires_us = add(time.wall_us, expires_us - time.now_us);
  p = pl_put_be32(p, i->key_len);
  p = pl_put_be64(p, i->len);
  p = pl_put_be64(p, expires_us);
  memcpy(p, i->bytes, i->key_len + i->len);
  return p + i->key_len + i->len;
}

bool pl_store_encode(pl_buf *out, const pl_items *items, pl_store_time time) {
  size_t size = HEAD + SUM;
  for (size_t k = 0; k < items->count; k++)
    size += ENTRY + items->items[k]->key_len + items->items[k]->len;
  uint8_t *begin = pl_buf_reserve(out, size);
  if (begin == NULL) return false;

  memcpy(begin, magic, MAGIC);
  uint8_t *p = pl_put_be64(begin + MAGIC, items->count);
  for (size_t k = 0; k < items->count; k++)
    p = put_item(p, items->items[k], time);
  pl_put_be64(p, sum_of(begin, size - SUM));
  pl_buf_commit(out, size);
  return true;
}

// Reading.

// A view of an entry.
typedef struct entry {
  pl_key key;
  const uint8_t *value;
  size_t len;
  uint64_t expires_us;  // wall
} entry;

// False: there are fewer bytes, or the key is too long.
static bool read_entry(entry *e, const uint8_t **at, const uint8_t *end) {
  size_t left = (size_t)(end - *at);
  if (left < ENTRY) return false;
  uint32_t key_len = pl_get_be32(*at);
  uint64_t len = pl_get_be64(*at + 4);
  left -= ENTRY;
  if (key_len > PL_STATE_KEY_MAX || key_len > left || len > left - key_len) return false;
  const uint8_t *key = *at + ENTRY;
  *e = (entry){{key, key_len}, key + key_len, (size_t)len, pl_get_be64(*at + 12)};
  *at = key + key_len + len;
  return true;
}

static bool is_value(const entry *e) {
  pl_mp_reader r = {e->value, e->value + e->len};
  return pl_mp_skip(&r, PL_DEPTH_MAX) == PL_OK && r.at == r.end;
}

// Everything but the room in the store: NULL when it is as it should be.
static const char *find_fault(pl_bytes src) {
  if (src.len < MAGIC || memcmp(src.data, magic, MAGIC - 1) != 0)
    return "was not written by perilune";
  if (src.data[MAGIC - 1] != VERSION) return "was written by another version of perilune";
  if (src.len < HEAD + SUM) return "is cut short";
  const uint8_t *end = src.data + src.len - SUM;
  if (pl_get_be64(end) != sum_of(src.data, src.len - SUM))
    return "is damaged, or cut short: its checksum is wrong";
  uint64_t count = pl_get_be64(src.data + MAGIC);
  const uint8_t *at = src.data + HEAD;
  entry e;
  for (; count > 0; count--) {
    if (!read_entry(&e, &at, end)) return "is damaged: an entry is longer than the file";
    if (!is_value(&e)) return "is damaged: it holds what is no value";
  }
  return at == end ? NULL : "is damaged: bytes follow the last entry";
}

static pl_err insert(pl_store *into, const entry *e, pl_store_time time) {
  if (e->expires_us <= time.wall_us) return PL_OK;
  pl_change c = {.key = e->key, .value = e->value, .len = e->len, .expires_us = PL_NEVER};
  if (e->expires_us != PL_NEVER) c.expires_us = add(time.now_us, e->expires_us - time.wall_us);
  return pl_store_change(into, time.now_us, &c);
}

pl_err pl_store_decode(pl_store *into, pl_bytes src, pl_store_time time, const char **why) {
  const char *fault = find_fault(src);
  if (fault != NULL) {
    *why = fault;
    return PL_PROTOCOL;
  }
  const uint8_t *at = src.data + HEAD, *end = src.data + src.len - SUM;
  entry e;
  pl_err err = PL_OK;
  while (err == PL_OK && at != end && read_entry(&e, &at, end))
    err = insert(into, &e, time);
  if (err == PL_OK) return err;
  pl_store_clear(into);
  *why = err == PL_TOO_LARGE ? "holds more than state_limit" : "is larger than the memory there is";
  return err;
}

size_t pl_store_file_max(size_t limit) {
  return limit == 0 ? SIZE_MAX : limit + HEAD + SUM;
}
