// Writing the answers of system actions: MessagePack into a buffer, where a lack of memory shows at
// the end only.
#pragma once

#include <string.h>

#include "base/buf.h"
#include "perilune.h"
#include "wire/msgpack.h"
#include "wire/utf8.h"

typedef struct pl_pack {
  pl_buf out;
  bool failed;
} pl_pack;

// Room for a token and `more` bytes; NULL, and never again any, without memory.
static inline uint8_t *pl_pack_room(pl_pack *k, size_t more) {
  uint8_t *p = k->failed ? NULL : pl_buf_reserve(&k->out, PL_MP_TOKEN_MAX + more);
  if (p == NULL) k->failed = true;
  return p;
}

#define PL_PACK(k, more, expression)                                   \
  do {                                                                 \
    uint8_t *p = pl_pack_room(k, more);                                \
    if (p != NULL) pl_buf_commit(&(k)->out, (size_t)((expression)-p)); \
  } while (0)

static inline void pl_pack_array(pl_pack *k, size_t n) {
  PL_PACK(k, 0, pl_mp_put_array(p, (uint32_t)n));
}
static inline void pl_pack_map(pl_pack *k, size_t n) {
  PL_PACK(k, 0, pl_mp_put_map(p, (uint32_t)n));
}
static inline void pl_pack_uint(pl_pack *k, uint64_t v) {
  PL_PACK(k, 0, pl_mp_put_uint(p, v));
}
// Microseconds, as seconds.
static inline void pl_pack_seconds(pl_pack *k, uint64_t us) {
  PL_PACK(k, 0, pl_mp_put_float(p, (double)us / 1e6));
}
// A name may be any bytes.
static inline void pl_pack_bytes(pl_pack *k, const void *data, size_t len) {
  uint32_t n = (uint32_t)len;
  PL_PACK(k, n, pl_utf8_valid(data, n) ? pl_mp_put_str(p, data, n) : pl_mp_put_bin(p, data, n));
}
static inline void pl_pack_text(pl_pack *k, const char *text) {
  pl_pack_bytes(k, text, strlen(text));
}
static inline void pl_pack_id(pl_pack *k, const pl_id *id) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  pl_pack_text(k, hex);
}

// Ends the request with what was written, and frees that.
static inline void pl_pack_end(pl_pack *k, pl_request *r) {
  const pl_parts result = pl_parts_of(pl_bytes_of(pl_buf_data(&k->out), pl_buf_len(&k->out)));
  const pl_failure none = pl_failure_of(PL_NO_MEMORY, PL_EXECUTED, NULL);
  pl_request_end(r, k->failed ? NULL : &result, k->failed ? &none : NULL);
  pl_buf_fini(&k->out);
}
