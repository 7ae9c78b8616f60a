#include "wire/frame.h"

#include <string.h>

#include "wire/msgpack.h"

//   0      1       2     4       8        12
//   +------+-------+-----+-------+--------+--------
//   | type | flags | aux | label | length | body...
//   +------+-------+-----+-------+--------+--------
// Integers are big-endian; `length` counts the body.

static const uint8_t magic[4] = {'P', 'L', 'N', '\n'};

enum { FLAGS_RESERVED = 0xe0, LINK_TYPES_END = 32, CIRCUIT_TYPES_END = 64 };

// Types from 64 on are of a later version, which alone knows what their headers say.
static bool header_is_valid(uint8_t type, uint8_t flags, uint32_t label) {
  if (type == 0) return false;
  if (type >= CIRCUIT_TYPES_END) return true;
  return (flags & FLAGS_RESERVED) == 0 && (label == 0) == (type < LINK_TYPES_END);
}

ptrdiff_t pl_frame_decode(pl_frame *f, pl_bytes src, size_t body_max) {
  if (src.len < PL_FRAME_HEADER) return 0;
  const uint8_t *p = src.data;
  uint32_t label = pl_get_be32(p + 4);
  if (!header_is_valid(p[0], p[1], label)) return PL_PROTOCOL;

  // The limit comes before the length check: a peer that announces four gigabytes is
  // refused now, not after they were buffered.
  size_t len = pl_get_be32(p + 8);
  if (len > body_max) return PL_TOO_LARGE;
  if (src.len - PL_FRAME_HEADER < len) return 0;

  *f = (pl_frame){
      .type = p[0],
      .flags = p[1],
      .aux = pl_get_be16(p + 2),
      .label = label,
      .body = {.data = p + PL_FRAME_HEADER, .len = len, .owner = src.owner},
  };
  return (ptrdiff_t)(PL_FRAME_HEADER + len);
}

void pl_frame_put_header(uint8_t *out, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                         size_t len) {
  *out++ = type;
  *out++ = flags;
  out = pl_put_be16(out, aux);
  out = pl_put_be32(out, label);
  pl_put_be32(out, (uint32_t)len);
}

void pl_preamble_put(uint8_t out[PL_PREAMBLE]) {
  memset(out, 0, PL_PREAMBLE);
  memcpy(out, magic, sizeof magic);
  out[4] = PL_PROTOCOL_MAJOR;
  out[5] = PL_PROTOCOL_MINOR;
}

int pl_preamble_check(pl_bytes src, unsigned *major, unsigned *minor) {
  size_t known = src.len < sizeof magic ? src.len : sizeof magic;
  if (known > 0 && memcmp(src.data, magic, known) != 0) return PL_PROTOCOL;
  if (src.len < 6) return 0;
  *major = src.data[4];
  *minor = src.data[5];
  if (*major != PL_PROTOCOL_MAJOR) return PL_PROTOCOL;
  return src.len >= PL_PREAMBLE;
}
