#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 256 };

static void check_frame(pl_bytes src) {
  pl_frame f;
  ptrdiff_t took = pl_frame_decode(&f, src, BODY_MAX);
  if (took <= 0) return;
  assert((size_t)took == PL_FRAME_HEADER + f.body.len && (size_t)took <= src.len);
  assert(f.body.data == src.data + PL_FRAME_HEADER);

  uint8_t header[PL_FRAME_HEADER];
  pl_frame_put_header(header, f.type, f.flags, f.aux, f.label, f.body.len);
  assert(memcmp(header, src.data, sizeof header) == 0);
  for (size_t n = 0; n < (size_t)took; n++)
    assert(pl_frame_decode(&f, pl_bytes_of(src.data, n), BODY_MAX) == 0);
}

// Once it is refused it stays refused, whatever follows.
static void check_preamble(pl_bytes src) {
  unsigned major, minor;
  bool refused = false;
  for (size_t n = 0; n <= src.len && n <= PL_PREAMBLE; n++) {
    int result = pl_preamble_check(pl_bytes_of(src.data, n), &major, &minor);
    assert(!refused || result < 0);
    assert(result != 1 || n == PL_PREAMBLE);
    refused = result < 0;
  }
}

static void check_item(pl_bytes src) {
  uint32_t len;
  uint8_t again[5];
  int took = pl_item_get_len(src, &len);
  if (took <= 0) return;
  assert(pl_item_put_len(again, len) == (size_t)took);
  assert(memcmp(again, src.data, (size_t)took) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pl_bytes src = pl_bytes_of(data, size);
  check_frame(src);
  check_preamble(src);
  check_item(src);
  return 0;
}
