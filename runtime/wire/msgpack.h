// MessagePack: a writer of single tokens and a reader of single tokens, inline because
// every value passes here, and bounded because strangers write what is read.
//
// A writer's `put` needs PL_MP_TOKEN_MAX free bytes (and room for the payload) at `p` and
// returns the position behind what it wrote. The reader never reads past `end` and
// never trusts a count: an array of n needs n bytes left, a map 2n.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

enum { PL_MP_TOKEN_MAX = 9 };

typedef enum pl_mp_kind {
  PL_MP_NIL,
  PL_MP_BOOL,
  PL_MP_INT,
  PL_MP_UINT,  // over INT64_MAX
  PL_MP_FLOAT,
  PL_MP_STR,
  PL_MP_BIN,
  PL_MP_EXT,
  PL_MP_ARRAY,
  PL_MP_MAP,
} pl_mp_kind;

typedef struct pl_mp_token {
  pl_mp_kind kind;
  int8_t ext;           // type of an EXT
  uint32_t len;         // bytes of STR, BIN, EXT; elements of ARRAY; pairs of MAP
  const uint8_t *data;  // of STR, BIN, EXT: borrowed
  union {
    bool boolean;
    int64_t integer;
    uint64_t natural;
    double number;
  } v;
} pl_mp_token;

typedef struct pl_mp_reader {
  const uint8_t *at;
  const uint8_t *end;
} pl_mp_reader;

// Extension types that the protocol defines.
enum { PL_MP_EXT_STREAM = 1, PL_MP_EXT_ERROR = 2, PL_MP_EXT_DATE = 3 };

// Integers as they are on the wire.

static inline uint16_t pl_get_be16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap16(v);
}

static inline uint32_t pl_get_be32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

static inline uint64_t pl_get_be64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}

static inline uint8_t *pl_put_be16(uint8_t *p, uint16_t v) {
  v = __builtin_bswap16(v);
  memcpy(p, &v, sizeof v);
  return p + sizeof v;
}

static inline uint8_t *pl_put_be32(uint8_t *p, uint32_t v) {
  v = __builtin_bswap32(v);
  memcpy(p, &v, sizeof v);
  return p + sizeof v;
}

static inline uint8_t *pl_put_be64(uint8_t *p, uint64_t v) {
  v = __builtin_bswap64(v);
  memcpy(p, &v, sizeof v);
  return p + sizeof v;
}

// Writing.

static inline uint8_t *pl_mp_put_nil(uint8_t *p) {
  *p = 0xc0;
  return p + 1;
}

static inline uint8_t *pl_mp_put_bool(uint8_t *p, bool v) {
  *p = v ? 0xc3 : 0xc2;
  return p + 1;
}

// The shortest form.
static inline uint8_t *pl_mp_put_uint(uint8_t *p, uint64_t v) {
  if (v < 0x80) {
    *p = (uint8_t)v;
    return p + 1;
  }
  if (v <= UINT8_MAX) {
    p[0] = 0xcc;
    p[1] = (uint8_t)v;
    return p + 2;
  }
  if (v <= UINT16_MAX) {
    *p = 0xcd;
    return pl_put_be16(p + 1, (uint16_t)v);
  }
  if (v <= UINT32_MAX) {
    *p = 0xce;
    return pl_put_be32(p + 1, (uint32_t)v);
  }
  *p = 0xcf;
  return pl_put_be64(p + 1, v);
}

static inline uint8_t *pl_mp_put_int(uint8_t *p, int64_t v) {
  if (v >= 0) return pl_mp_put_uint(p, (uint64_t)v);
  if (v >= -32) {
    *p = (uint8_t)v;
    return p + 1;
  }
  if (v >= INT8_MIN) {
    p[0] = 0xd0;
    p[1] = (uint8_t)v;
    return p + 2;
  }
  if (v >= INT16_MIN) {
    *p = 0xd1;
    return pl_put_be16(p + 1, (uint16_t)v);
  }
  if (v >= INT32_MIN) {
    *p = 0xd2;
    return pl_put_be32(p + 1, (uint32_t)v);
  }
  *p = 0xd3;
  return pl_put_be64(p + 1, (uint64_t)v);
}

// Always 8 bytes, so that no bit is lost and no test is made.
static inline uint8_t *pl_mp_put_float(uint8_t *p, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  *p = 0xcb;
  return pl_put_be64(p + 1, bits);
}

static inline uint8_t *pl_mp_put_str_head(uint8_t *p, uint32_t len) {
  if (len < 32) {
    *p = (uint8_t)(0xa0 | len);
    return p + 1;
  }
  if (len <= UINT8_MAX) {
    p[0] = 0xd9;
    p[1] = (uint8_t)len;
    return p + 2;
  }
  if (len <= UINT16_MAX) {
    *p = 0xda;
    return pl_put_be16(p + 1, (uint16_t)len);
  }
  *p = 0xdb;
  return pl_put_be32(p + 1, len);
}

static inline uint8_t *pl_mp_put_bin_head(uint8_t *p, uint32_t len) {
  if (len <= UINT8_MAX) {
    p[0] = 0xc4;
    p[1] = (uint8_t)len;
    return p + 2;
  }
  if (len <= UINT16_MAX) {
    *p = 0xc5;
    return pl_put_be16(p + 1, (uint16_t)len);
  }
  *p = 0xc6;
  return pl_put_be32(p + 1, len);
}

static inline uint8_t *pl_mp_put_ext_head(uint8_t *p, int8_t type, uint32_t len) {
  if (len <= 16 && len != 0 && (len & (len - 1)) == 0) {
    *p = (uint8_t)(0xd4 + __builtin_ctz(len));  // 1, 2, 4, 8, 16
    p += 1;
  } else if (len <= UINT8_MAX) {
    p[0] = 0xc7;
    p[1] = (uint8_t)len;
    p += 2;
  } else if (len <= UINT16_MAX) {
    *p = 0xc8;
    p = pl_put_be16(p + 1, (uint16_t)len);
  } else {
    *p = 0xc9;
    p = pl_put_be32(p + 1, len);
  }
  *p = (uint8_t)type;
  return p + 1;
}

// `n` elements follow.
static inline uint8_t *pl_mp_put_array(uint8_t *p, uint32_t n) {
  if (n < 16) {
    *p = (uint8_t)(0x90 | n);
    return p + 1;
  }
  if (n <= UINT16_MAX) {
    *p = 0xdc;
    return pl_put_be16(p + 1, (uint16_t)n);
  }
  *p = 0xdd;
  return pl_put_be32(p + 1, n);
}

// `n` pairs follow.
static inline uint8_t *pl_mp_put_map(uint8_t *p, uint32_t n) {
  if (n < 16) {
    *p = (uint8_t)(0x80 | n);
    return p + 1;
  }
  if (n <= UINT16_MAX) {
    *p = 0xde;
    return pl_put_be16(p + 1, (uint16_t)n);
  }
  *p = 0xdf;
  return pl_put_be32(p + 1, n);
}

// Head and bytes.
static inline uint8_t *pl_mp_put_str(uint8_t *p, const void *s, uint32_t len) {
  p = pl_mp_put_str_head(p, len);
  if (len > 0) memcpy(p, s, len);
  return p + len;
}

static inline uint8_t *pl_mp_put_bin(uint8_t *p, const void *s, uint32_t len) {
  p = pl_mp_put_bin_head(p, len);
  if (len > 0) memcpy(p, s, len);
  return p + len;
}

// Reading.

static inline bool pl_mp_bytes_(pl_mp_token *t, pl_mp_kind kind, const uint8_t *p,
                                const uint8_t *end, size_t len) {
  if ((size_t)(end - p) < len) return false;
  t->kind = kind;
  t->len = (uint32_t)len;
  t->data = p;
  return true;
}

static inline bool pl_mp_count_(pl_mp_token *t, pl_mp_kind kind, const uint8_t *p,
                                const uint8_t *end, size_t n) {
  size_t least = kind == PL_MP_MAP ? 2 * n : n;
  if ((size_t)(end - p) < least) return false;
  t->kind = kind;
  t->len = (uint32_t)n;
  return true;
}

// All tokens that are neither a small integer, a short string nor a small container.
pl_err pl_mp_read_long(pl_mp_reader *r, pl_mp_token *t);

// The next token: PL_OK, or PL_PROTOCOL when the bytes end before it does, for the byte 0xc1, and
// for a count that the bytes left cannot hold. `r` moves only on PL_OK.
static inline pl_err pl_mp_read(pl_mp_reader *r, pl_mp_token *t) {
  if (r->at == r->end) return PL_PROTOCOL;
  uint8_t b = *r->at;
  const uint8_t *p = r->at + 1;
  if (b < 0x80 || b >= 0xe0) {
    t->kind = PL_MP_INT;
    t->v.integer = (int8_t)b;
    r->at = p;
    return PL_OK;
  }
  if (b >= 0xc0) return pl_mp_read_long(r, t);
  if (b >= 0xa0) {
    if (!pl_mp_bytes_(t, PL_MP_STR, p, r->end, b & 0x1fU)) return PL_PROTOCOL;
    r->at = p + t->len;
    return PL_OK;
  }
  if (!pl_mp_count_(t, b < 0x90 ? PL_MP_MAP : PL_MP_ARRAY, p, r->end, b & 0x0fU)) {
    return PL_PROTOCOL;
  }
  r->at = p;
  return PL_OK;
}

// Most levels of nesting that pl_mp_skip can be asked to allow.
enum { PL_MP_DEPTH_MAX = 128 };

// Skips one whole value, in time linear in its size and without recursion. PL_PROTOCOL, with `r`
// unmoved, when it is malformed or nested more than `depth_max` (<= PL_MP_DEPTH_MAX) containers
// deep. The bytes of strings are not looked at.
pl_err pl_mp_skip(pl_mp_reader *r, unsigned depth_max);
