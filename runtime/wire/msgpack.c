#include "wire/msgpack.h"

#include <assert.h>

// Reads the `bytes` bytes at `p` as an integer, big-endian.
static uint64_t natural_at(const uint8_t *p, unsigned bytes) {
  switch (bytes) {
    case 1: return p[0];
    case 2: return pl_get_be16(p);
    case 4: return pl_get_be32(p);
    default: return pl_get_be64(p);
  }
}

static void set_natural(pl_mp_token *t, uint64_t v) {
  if (v > INT64_MAX) {
    t->kind = PL_MP_UINT;
    t->v.natural = v;
  } else {
    t->kind = PL_MP_INT;
    t->v.integer = (int64_t)v;
  }
}

static void set_integer(pl_mp_token *t, uint64_t v, unsigned bytes) {
  unsigned unused = 64 - 8 * bytes;
  t->kind = PL_MP_INT;
  t->v.integer = (int64_t)(v << unused) >> unused;
}

static void set_float(pl_mp_token *t, uint64_t bits, unsigned bytes) {
  t->kind = PL_MP_FLOAT;
  if (bytes == 4) {
    uint32_t narrow = (uint32_t)bits;
    float v;
    memcpy(&v, &narrow, sizeof v);
    t->v.number = (double)v;
  } else {
    memcpy(&t->v.number, &bits, sizeof t->v.number);
  }
}

// What follows a first byte from 0xc0 to 0xdf: so many bytes of number or length.
typedef enum form {
  FORM_NEVER,
  FORM_NIL,
  FORM_FALSE,
  FORM_TRUE,
  FORM_BIN,
  FORM_EXT,     // length, type, bytes
  FORM_FIXEXT,  // type, 1 << width bytes
  FORM_FLOAT,
  FORM_UINT,
  FORM_INT,
  FORM_STR,
  FORM_ARRAY,
  FORM_MAP,
} form;

typedef struct shape {
  uint8_t form;
  uint8_t width;
} shape;

static const shape shapes[32] = {
    {FORM_NIL, 0},    {FORM_NEVER, 0},  {FORM_FALSE, 0},  {FORM_TRUE, 0},    // c0
    {FORM_BIN, 1},    {FORM_BIN, 2},    {FORM_BIN, 4},    {FORM_EXT, 1},     // c4
    {FORM_EXT, 2},    {FORM_EXT, 4},    {FORM_FLOAT, 4},  {FORM_FLOAT, 8},   // c8
    {FORM_UINT, 1},   {FORM_UINT, 2},   {FORM_UINT, 4},   {FORM_UINT, 8},    // cc
    {FORM_INT, 1},    {FORM_INT, 2},    {FORM_INT, 4},    {FORM_INT, 8},     // d0
    {FORM_FIXEXT, 0}, {FORM_FIXEXT, 1}, {FORM_FIXEXT, 2}, {FORM_FIXEXT, 3},  // d4
    {FORM_FIXEXT, 4}, {FORM_STR, 1},    {FORM_STR, 2},    {FORM_STR, 4},     // d8
    {FORM_ARRAY, 2},  {FORM_ARRAY, 4},  {FORM_MAP, 2},    {FORM_MAP, 4},     // dc
};

static bool set_ext(pl_mp_token *t, const uint8_t *p, const uint8_t *end, size_t len) {
  if (p == end || !pl_mp_bytes_(t, PL_MP_EXT, p + 1, end, len)) return false;
  t->ext = (int8_t)*p;
  return true;
}

// Sets `t` from the number `n` that came first and the bytes at `p`; the position behind, or NULL.
static const uint8_t *set_token(pl_mp_token *t, shape s, uint64_t n, const uint8_t *p,
                                const uint8_t *end) {
  switch ((form)s.form) {
    case FORM_NEVER: return NULL;
    case FORM_NIL: t->kind = PL_MP_NIL; return p;
    case FORM_FALSE:
    case FORM_TRUE:
      t->kind = PL_MP_BOOL;
      t->v.boolean = s.form == FORM_TRUE;
      return p;
    case FORM_BIN: return pl_mp_bytes_(t, PL_MP_BIN, p, end, n) ? p + n : NULL;
    case FORM_STR: return pl_mp_bytes_(t, PL_MP_STR, p, end, n) ? p + n : NULL;
    case FORM_EXT: return set_ext(t, p, end, n) ? p + 1 + n : NULL;
    case FORM_FIXEXT: return set_ext(t, p, end, 1U << s.width) ? p + 1 + (1U << s.width) : NULL;
    case FORM_FLOAT: set_float(t, n, s.width); return p;
    case FORM_UINT: set_natural(t, n); return p;
    case FORM_INT: set_integer(t, n, s.width); return p;
    case FORM_ARRAY: return pl_mp_count_(t, PL_MP_ARRAY, p, end, n) ? p : NULL;
    case FORM_MAP: return pl_mp_count_(t, PL_MP_MAP, p, end, n) ? p : NULL;
  }
  return NULL;
}

pl_err pl_mp_read_long(pl_mp_reader *r, pl_mp_token *t) {
  shape s = shapes[*r->at & 0x1f];
  const uint8_t *p = r->at + 1;
  uint64_t n = 0;
  if (s.width > 0 && s.form != FORM_FIXEXT) {
    if ((size_t)(r->end - p) < s.width) return PL_PROTOCOL;
    n = natural_at(p, s.width);
    p += s.width;
  }
  p = set_token(t, s, n, p, r->end);
  if (p == NULL) return PL_PROTOCOL;
  r->at = p;
  return PL_OK;
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
