#include "wire/msgpack.h"

#include <assert.h>

// The big-endian integer of `width` bytes behind the first byte; the position moves behind it.
static inline bool take(const uint8_t **p, const uint8_t *end, unsigned width, uint64_t *v) {
  if ((size_t)(end - *p) < width + 1) return false;
  const uint8_t *at = *p + 1;
  *v = width == 1   ? at[0]
       : width == 2 ? pl_get_be16(at)
       : width == 4 ? pl_get_be32(at)
                    : pl_get_be64(at);
  *p = at + width;
  return true;
}

// Each reads the token at `r`, whose first byte told the kind and how many bytes of number or
// length follow.

static inline pl_err natural(pl_mp_reader *r, pl_mp_token *t, unsigned width) {
  uint64_t v;
  if (!take(&r->at, r->end, width, &v)) return PL_PROTOCOL;
  t->kind = v > INT64_MAX ? PL_MP_UINT : PL_MP_INT;
  t->v.natural = v;  // the same bits as the integer
  return PL_OK;
}

static inline pl_err integer(pl_mp_reader *r, pl_mp_token *t, unsigned width) {
  uint64_t v;
  if (!take(&r->at, r->end, width, &v)) return PL_PROTOCOL;
  unsigned unused = 64 - 8 * width;
  t->kind = PL_MP_INT;
  t->v.integer = (int64_t)(v << unused) >> unused;
  return PL_OK;
}

static inline pl_err narrow_float(pl_mp_reader *r, pl_mp_token *t) {
  uint64_t v;
  if (!take(&r->at, r->end, 4, &v)) return PL_PROTOCOL;
  uint32_t bits = (uint32_t)v;
  float number;
  memcpy(&number, &bits, sizeof number);
  t->kind = PL_MP_FLOAT;
  t->v.number = (double)number;
  return PL_OK;
}

static inline pl_err wide_float(pl_mp_reader *r, pl_mp_token *t) {
  uint64_t v;
  if (!take(&r->at, r->end, 8, &v)) return PL_PROTOCOL;
  t->kind = PL_MP_FLOAT;
  memcpy(&t->v.number, &v, sizeof v);
  return PL_OK;
}

static inline pl_err word(pl_mp_reader *r, pl_mp_token *t, pl_mp_kind kind, bool v) {
  t->kind = kind;
  t->v.boolean = v;
  r->at++;
  return PL_OK;
}

static inline pl_err bytes(pl_mp_reader *r, pl_mp_token *t, pl_mp_kind kind, unsigned width) {
  uint64_t len;
  const uint8_t *p = r->at;
  if (!take(&p, r->end, width, &len) || !pl_mp_bytes_(t, kind, p, r->end, len)) return PL_PROTOCOL;
  r->at = p + len;
  return PL_OK;
}

static inline pl_err fixed_ext(pl_mp_reader *r, pl_mp_token *t, const uint8_t *p, size_t len) {
  if (p == r->end || !pl_mp_bytes_(t, PL_MP_EXT, p + 1, r->end, len)) return PL_PROTOCOL;
  t->ext = (int8_t)*p;
  r->at = p + 1 + len;
  return PL_OK;
}

static inline pl_err ext(pl_mp_reader *r, pl_mp_token *t, unsigned width) {
  uint64_t len;
  const uint8_t *p = r->at;
  return take(&p, r->end, width, &len) ? fixed_ext(r, t, p, len) : PL_PROTOCOL;
}

static inline pl_err count(pl_mp_reader *r, pl_mp_token *t, pl_mp_kind kind, unsigned width) {
  uint64_t n;
  const uint8_t *p = r->at;
  if (!take(&p, r->end, width, &n) || !pl_mp_count_(t, kind, p, r->end, n)) return PL_PROTOCOL;
  r->at = p;
  return PL_OK;
}

pl_err pl_mp_read_long(pl_mp_reader *r, pl_mp_token *t) {
  switch (*r->at) {
    case 0xc0: return word(r, t, PL_MP_NIL, false);
    case 0xc2: return word(r, t, PL_MP_BOOL, false);
    case 0xc3: return word(r, t, PL_MP_BOOL, true);
    case 0xc4: return bytes(r, t, PL_MP_BIN, 1);
    case 0xc5: return bytes(r, t, PL_MP_BIN, 2);
    case 0xc6: return bytes(r, t, PL_MP_BIN, 4);
    case 0xc7: return ext(r, t, 1);
    case 0xc8: return ext(r, t, 2);
    case 0xc9: return ext(r, t, 4);
    case 0xca: return narrow_float(r, t);
    case 0xcb: return wide_float(r, t);
    case 0xcc: return natural(r, t, 1);
    case 0xcd: return natural(r, t, 2);
    case 0xce: return natural(r, t, 4);
    case 0xcf: return natural(r, t, 8);
    case 0xd0: return integer(r, t, 1);
    case 0xd1: return integer(r, t, 2);
    case 0xd2: return integer(r, t, 4);
    case 0xd3: return integer(r, t, 8);
    case 0xd4: return fixed_ext(r, t, r->at + 1, 1);
    case 0xd5: return fixed_ext(r, t, r->at + 1, 2);
    case 0xd6: return fixed_ext(r, t, r->at + 1, 4);
    case 0xd7: return fixed_ext(r, t, r->at + 1, 8);
    case 0xd8: return fixed_ext(r, t, r->at + 1, 16);
    case 0xd9: return bytes(r, t, PL_MP_STR, 1);
    case 0xda: return bytes(r, t, PL_MP_STR, 2);
    case 0xdb: return bytes(r, t, PL_MP_STR, 4);
    case 0xdc: return count(r, t, PL_MP_ARRAY, 2);
    case 0xdd: return count(r, t, PL_MP_ARRAY, 4);
    case 0xde: return count(r, t, PL_MP_MAP, 2);
    case 0xdf: return count(r, t, PL_MP_MAP, 4);
    default: return PL_PROTOCOL;  // 0xc1 means nothing
  }
}

pl_err pl_mp_skip(pl_mp_reader *r, unsigned depth_max) {
  assert(depth_max <= PL_MP_DEPTH_MAX);
  size_t left[PL_MP_DEPTH_MAX + 1];  // values still to come, by level
  unsigned depth = 0;
  pl_mp_reader at = *r;
  left[0] = 1;
  for (;;) {
    while (left[depth] == 0) {
      if (depth == 0) {
        *r = at;
        return PL_OK;
      }
      depth--;
    }
    left[depth]--;

    pl_mp_token t;
    if (pl_mp_read(&at, &t) != PL_OK) return PL_PROTOCOL;
    if (t.kind != PL_MP_ARRAY && t.kind != PL_MP_MAP) continue;
    if (depth == depth_max) return PL_PROTOCOL;
    left[++depth] = t.kind == PL_MP_MAP ? (size_t)t.len * 2 : t.len;
  }
}
