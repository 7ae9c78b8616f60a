// Chunks and results of the work, which both ends can tell from any other.

#include <string.h>

#include "sim/sim_impl.h"
#include "wire/msgpack.h"

enum { HEAD = 3 * PL_MP_TOKEN_MAX };

static uint8_t pattern(uint64_t key, uint32_t number) {
  return (uint8_t)(key * 31 + number * 7 + 1);
}

void pl_sim_put_item(pl_buf *out, uint64_t key, uint32_t number, uint32_t size) {
  uint8_t *start = pl_buf_reserve(out, HEAD + size);
  uint8_t *p = pl_mp_put_array(start, 2);
  p = pl_mp_put_uint(p, number);
  p = pl_mp_put_bin_head(p, size);
  memset(p, pattern(key, number), size);
  pl_buf_commit(out, (size_t)(p + size - start));
}

bool pl_sim_is_item(pl_bytes item, uint64_t key, uint32_t number, uint32_t size) {
  pl_mp_reader in = {item.data, item.data + item.len};
  pl_mp_token t;
  if (pl_mp_read(&in, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len != 2) return false;
  if (pl_mp_read(&in, &t) != PL_OK || t.kind != PL_MP_INT) return false;
  if ((uint64_t)t.v.integer != number) return false;
  if (pl_mp_read(&in, &t) != PL_OK || t.kind != PL_MP_BIN || t.len != size) return false;
  uint8_t byte = pattern(key, number);
  return size == 0 || (t.data[0] == byte && t.data[size - 1] == byte && t.data[size / 2] == byte);
}
