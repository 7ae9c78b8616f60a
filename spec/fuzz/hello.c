// A stranger's side of the handshake: any bytes, accepted as soon as they ask.
#include "peer/hello.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_identity self = {.id = {{1}}, .epoch = 1, .name = "fuzz"};
  static const pl_id nonce = {{2}};
  if (size == 0) return 0;
  pl_buf out = {0};
  pl_hello h;
  pl_hello_start(&h, &self, data[0] & 1, &nonce, NULL, 0, &out);
  bool up = false;
  for (size_t at = 1; !up && h.state != PL_HELLO_FAILED;) {
    pl_hello_event e = pl_hello_feed(&h, pl_bytes_of(data + at, size - at), &out);
    assert(e.used <= size - at);
    at += e.used;
    if (e.step == PL_HELLO_STEP_MORE) break;
    if (e.step == PL_HELLO_STEP_ASK && (data[0] & 2) == 0) pl_hello_accept(&h, &up, &out);
    up = up || e.step == PL_HELLO_STEP_UP;
  }
  assert(h.received <= PL_UNTRUSTED_BYTES);
  pl_buf_fini(&out);
  return 0;
}
