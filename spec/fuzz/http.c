// A head that is taken is one in which every piece lies within the bytes, in order, and says the
// same when its bytes come one after the other.
#include <assert.h>
#include <stdlib.h>

#include "edge/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(pl_bytes part, const uint8_t *data, size_t size) {
  if (part.data == NULL) return;
  assert(part.data >= data && part.data + part.len <= data + size);
}

static void check(const pl_http_head *h, const uint8_t *data, size_t size) {
  check_within(h->method, data, size);
  check_within(h->target, data, size);
  check_within(h->host, data, size);
  assert(h->method.len > 0 && h->target.len > 0 && h->minor <= 9);
  assert(h->count <= PL_HTTP_FIELDS_MAX && !(h->chunked && h->has_length));
  const uint8_t *last = h->target.data;
  for (size_t i = 0; i < h->count; i++) {
    check_within(h->fields[i].name, data, size);
    check_within(h->fields[i].value, data, size);
    assert(h->fields[i].name.data > last);
    last = h->fields[i].name.data;
  }
  assert(pl_http_path(h).len <= h->target.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t scanned = 0;
  ptrdiff_t end = pl_http_head_end(pl_bytes_of(data, size), &scanned);
  assert(end <= (ptrdiff_t)size);

  size_t by_byte = 0;
  ptrdiff_t dripped = 0;
  for (size_t n = 1; n <= size && dripped == 0; n++)
    dripped = pl_http_head_end(pl_bytes_of(data, n), &by_byte);
  assert(dripped == end);
  if (end <= 0) return 0;

  pl_http_head h;
  int status = pl_http_head_decode(&h, pl_bytes_of(data, (size_t)end));
  assert(status == 0 || (status >= 400 && status < 600));
  if (status == 0) check(&h, data, (size_t)end);
  return 0;
}
