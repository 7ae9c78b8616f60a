#include "wire/json_keys.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
  size_t start, len;  // in the bytes
  size_t at;          // in the text
} entry;

enum { FEW = 8 };  // comparing each with each is faster up to here

void pl_json_keys_fini(pl_json_keys *k) {
  pl_buf_fini(&k->entries);
  pl_buf_fini(&k->bytes);
}

size_t pl_json_keys_count(const pl_json_keys *k) {
  return k->entries.end / sizeof(entry);
}

bool pl_json_keys_add(pl_json_keys *k, pl_bytes key, size_t at) {
  entry e = {.start = k->bytes.end, .len = key.len, .at = at};
  return pl_buf_append(&k->bytes, key.data, key.len) && pl_buf_append(&k->entries, &e, sizeof e);
}

// Sorting, unlike hashing, has no worst case that a stranger could choose.
static int compare(const void *left, const void *right, void *bytes) {
  const entry *a = left;
  const entry *b = right;
  if (a->len != b->len) return a->len < b->len ? -1 : 1;
  if (a->len == 0) return 0;
  return memcmp((const uint8_t *)bytes + a->start, (const uint8_t *)bytes + b->start, a->len);
}

static const entry *later(const entry *a, const entry *b) {
  return a->at > b->at ? a : b;
}

static const entry *find_among_few(const entry *e, size_t n, void *bytes) {
  for (size_t i = 1; i < n; i++) {
    for (size_t j = 0; j < i; j++) {
      if (compare(&e[i], &e[j], bytes) == 0) return &e[i];
    }
  }
  return NULL;
}

static const entry *find_sorted(entry *e, size_t n, void *bytes) {
  const entry *first = NULL;
  qsort_r(e, n, sizeof *e, compare, bytes);
  for (size_t i = 1; i < n; i++) {
    if (compare(&e[i - 1], &e[i], bytes) != 0) continue;
    const entry *second = later(&e[i - 1], &e[i]);
    if (first == NULL || second->at < first->at) first = second;
  }
  return first;
}

bool pl_json_keys_close(pl_json_keys *k, size_t first, size_t *at) {
  size_t n = pl_json_keys_count(k) - first;
  if (n == 0) return true;
  entry *e = (entry *)(void *)k->entries.data + first;
  size_t bytes = e[0].start;
  const entry *twice =
      n <= FEW ? find_among_few(e, n, k->bytes.data) : find_sorted(e, n, k->bytes.data);
  if (twice != NULL) *at = twice->at;
  k->bytes.end = bytes;
  k->entries.end = first * sizeof(entry);
  return twice == NULL;
}
