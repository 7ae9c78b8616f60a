#include "wire/canonical.h"

#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "wire/msgpack.h"

static pl_err put_value(pl_buf *out, pl_mp_reader *r, unsigned depth);

static pl_err put(pl_buf *out, const uint8_t *token, const uint8_t *end) {
  return pl_buf_append(out, token, (size_t)(end - token)) ? PL_OK : PL_NO_MEMORY;
}

static uint8_t *number(uint8_t *to, double v) {
  bool whole = v >= -0x1p63 && v < 0x1p63 && v == floor(v);
  if (whole) return pl_mp_put_int(to, (int64_t)v);
  return pl_mp_put_float(to, isnan(v) ? (double)NAN : v);
}

static pl_err put_bytes(pl_buf *out, const pl_mp_token *t) {
  uint8_t head[PL_MP_TOKEN_MAX];
  bool ext = t->kind == PL_MP_EXT;
  uint8_t *end = ext ? pl_mp_put_ext_head(head, t->ext, t->len) : pl_mp_put_bin_head(head, t->len);
  pl_err err = put(out, head, end);
  return err == PL_OK ? put(out, t->data, t->data + t->len) : err;
}

// Maps.

// One pair, as it stands in the buffer: from the end of the one before.
typedef struct pair {
  const uint8_t *key;
  size_t key_len, len;
} pair;

static int compare(const void *a, const void *b) {
  const pair *x = a, *y = b;
  size_t least = x->key_len < y->key_len ? x->key_len : y->key_len;
  int order = memcmp(x->key, y->key, least);
  return order != 0 ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

// The pairs, whose lengths are known, follow each other from `start` on.
static pl_err sort(pl_buf *out, size_t start, pair *pairs, uint32_t n) {
  size_t size = pl_buf_len(out) - start;
  uint8_t *sorted = pl_try_alloc(size);
  if (sorted == NULL) return PL_NO_MEMORY;
  uint8_t *first = out->data + out->start + start;
  size_t at = 0;
  for (uint32_t i = 0; i < n; at += pairs[i++].len)
    pairs[i].key = first + at;
  qsort(pairs, n, sizeof *pairs, compare);
  at = 0;
  for (uint32_t i = 0; i < n; at += pairs[i++].len)
    memcpy(sorted + at, pairs[i].key, pairs[i].len);
  memcpy(first, sorted, size);
  pl_free(sorted);
  return PL_OK;
}

// A count is not trusted with memory before the pairs are here. False: no memory.
static bool make_room(pair **pairs, uint32_t have, uint32_t n) {
  bool grows = have == 0 || (have >= PL_KEYS_PREALLOC && (have & (have - 1)) == 0);
  if (!grows) return true;
  size_t cap = have == 0 ? PL_KEYS_PREALLOC : (size_t)have * 2;
  pair *grown = pl_try_realloc(*pairs, (cap < n ? cap : n) * sizeof *grown);
  if (grown != NULL) *pairs = grown;
  return grown != NULL;
}

static pl_err put_pair(pl_buf *out, pl_mp_reader *r, pair *p, unsigned depth) {
  size_t from = pl_buf_len(out);
  pl_err err = put_value(out, r, depth);
  p->key_len = pl_buf_len(out) - from;
  if (err == PL_OK) err = put_value(out, r, depth);
  p->len = pl_buf_len(out) - from;
  return err;
}

static pl_err put_map(pl_buf *out, pl_mp_reader *r, uint32_t n, unsigned depth) {
  uint8_t head[PL_MP_TOKEN_MAX];
  pl_err err = put(out, head, pl_mp_put_map(head, n));
  pair *pairs = NULL;
  size_t start = pl_buf_len(out);
  for (uint32_t i = 0; i < n && err == PL_OK; i++)
    err = make_room(&pairs, i, n) ? put_pair(out, r, &pairs[i], depth) : PL_NO_MEMORY;
  if (n > 0 && err == PL_OK) err = sort(out, start, pairs, n);
  pl_free(pairs);
  return err;
}

static pl_err put_array(pl_buf *out, pl_mp_reader *r, uint32_t n, unsigned depth) {
  uint8_t head[PL_MP_TOKEN_MAX];
  if (n == 0) return put(out, head, pl_mp_put_map(head, 0));
  pl_err err = put(out, head, pl_mp_put_array(head, n));
  for (uint32_t i = 0; i < n && err == PL_OK; i++)
    err = put_value(out, r, depth);
  return err;
}

static pl_err put_value(pl_buf *out, pl_mp_reader *r, unsigned depth) {
  pl_mp_token t;
  uint8_t token[PL_MP_TOKEN_MAX];
  if (pl_mp_read(r, &t) != PL_OK) return PL_PROTOCOL;
  switch (t.kind) {
    case PL_MP_NIL: return put(out, token, pl_mp_put_nil(token));
    case PL_MP_BOOL: return put(out, token, pl_mp_put_bool(token, t.v.boolean));
    case PL_MP_INT: return put(out, token, pl_mp_put_int(token, t.v.integer));
    case PL_MP_UINT: return put(out, token, number(token, (double)t.v.natural));
    case PL_MP_FLOAT: return put(out, token, number(token, t.v.number));
    case PL_MP_STR:
    case PL_MP_BIN:
    case PL_MP_EXT: return put_bytes(out, &t);
    case PL_MP_ARRAY:
    case PL_MP_MAP: break;
  }
  if (depth == PL_DEPTH_MAX) return PL_PROTOCOL;
  return t.kind == PL_MP_MAP ? put_map(out, r, t.len, depth + 1)
                             : put_array(out, r, t.len, depth + 1);
}

pl_err pl_mp_canonical(pl_buf *out, pl_bytes src) {
  pl_mp_reader r = {src.data, src.data + src.len};
  pl_err err = put_value(out, &r, 0);
  return err == PL_OK && r.at != r.end ? PL_PROTOCOL : err;
}
