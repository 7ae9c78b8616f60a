#include "wire/msgpack.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 8 };

static uint8_t *put(uint8_t *p, const pl_mp_token *t) {
  switch (t->kind) {
    case PL_MP_NIL: return pl_mp_put_nil(p);
    case PL_MP_BOOL: return pl_mp_put_bool(p, t->v.boolean);
    case PL_MP_INT: return pl_mp_put_int(p, t->v.integer);
    case PL_MP_UINT: return pl_mp_put_uint(p, t->v.natural);
    case PL_MP_FLOAT: return pl_mp_put_float(p, t->v.number);
    case PL_MP_STR: return pl_mp_put_str(p, t->data, t->len);
    case PL_MP_BIN: return pl_mp_put_bin(p, t->data, t->len);
    case PL_MP_EXT:
      p = pl_mp_put_ext_head(p, t->ext, t->len);
      if (t->len > 0) memcpy(p, t->data, t->len);
      return p + t->len;
    case PL_MP_ARRAY: return pl_mp_put_array(p, t->len);
    case PL_MP_MAP: return pl_mp_put_map(p, t->len);
  }
  abort();
}

// The value at `r` by recursion, written to `p` again; NULL when it is malformed or too deep.
static uint8_t *copy(pl_mp_reader *r, uint8_t *p, unsigned depth) {
  const uint8_t *start = r->at;
  pl_mp_token t;
  if (pl_mp_read(r, &t) != PL_OK) {
    assert(r->at == start);
    return NULL;
  }
  assert(r->at > start && r->at <= r->end);
  p = put(p, &t);
  size_t inside = t.kind == PL_MP_ARRAY ? t.len : t.kind == PL_MP_MAP ? 2 * (size_t)t.len : 0;
  if ((t.kind == PL_MP_ARRAY || t.kind == PL_MP_MAP) && depth == 0) return NULL;
  for (; inside > 0 && p != NULL; inside--)
    p = copy(r, p, depth - 1);
  return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *first = malloc(3 * size + 64);  // a float32 grows to 9 bytes from 5
  uint8_t *second = malloc(3 * size + 64);
  pl_mp_reader skipped = {.at = data, .end = data + size};
  pl_mp_reader walked = skipped;
  pl_err err = pl_mp_skip(&skipped, DEPTH);
  uint8_t *end = copy(&walked, first, DEPTH);
  assert((err == PL_OK) == (end != NULL));
  if (end != NULL) {
    assert(skipped.at == walked.at);
    // What was written reads back, and is already in the shortest form.
    pl_mp_reader again = {.at = first, .end = end};
    uint8_t *again_end = copy(&again, second, DEPTH);
    assert(again_end != NULL && again.at == end);
    assert(again_end - second == end - first);
    assert(memcmp(first, second, (size_t)(end - first)) == 0);
  } else {
    assert(skipped.at == data);
  }
  free(first);
  free(second);
  return 0;
}
