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

// To be implemented inline here:
//   static inline uint8_t *pl_mp_put_nil(uint8_t *p);
//   static inline uint8_t *pl_mp_put_bool(uint8_t *p, bool v);
//   static inline uint8_t *pl_mp_put_int(uint8_t *p, int64_t v);       shortest form
//   static inline uint8_t *pl_mp_put_uint(uint8_t *p, uint64_t v);
//   static inline uint8_t *pl_mp_put_float(uint8_t *p, double v);      always 8 bytes
//   static inline uint8_t *pl_mp_put_str_head(uint8_t *p, uint32_t len);
//   static inline uint8_t *pl_mp_put_bin_head(uint8_t *p, uint32_t len);
//   static inline uint8_t *pl_mp_put_ext_head(uint8_t *p, int8_t type, uint32_t len);
//   static inline uint8_t *pl_mp_put_array(uint8_t *p, uint32_t n);
//   static inline uint8_t *pl_mp_put_map(uint8_t *p, uint32_t n);
//   static inline uint8_t *pl_mp_put_str(uint8_t *p, const void *s, uint32_t len);  head + bytes
//   static inline uint8_t *pl_mp_put_bin(uint8_t *p, const void *s, uint32_t len);
//   static inline pl_err pl_mp_read(pl_mp_reader *r, pl_mp_token *t);  PL_OK or PL_PROTOCOL (truncated, 0xc1, a count that
//                                                                      the bytes left cannot hold); r unchanged on error
// and in msgpack.c:
//   pl_err pl_mp_skip(pl_mp_reader *r, unsigned depth_max);  one whole value without recursion on hostile depth
