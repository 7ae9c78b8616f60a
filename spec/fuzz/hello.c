// A stranger's side of the handshake: any bytes, accepted as soon as they ask; of a new session, or
// of one that is to go on.
#include "peer/hello.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_identity self = {.id = {{1}}, .epoch = 1, .name = "fuzz"};
  static const pl_id nonce = {{2}};
  static const pl_resume resume = {
      .session = {{3}}, .dialler_secret = {{4}}, .other_secret = {{5}}};
  if (size == 0) return 0;
  bool dialler = (data[0] & 1) != 0, accepts = (data[0] & 2) == 0, resumes = (data[0] & 4) != 0;
  pl_buf out = {0};
  pl_hello h;
  pl_hello_start(&h, &self, dialler, &nonce, dialler && resumes ? &resume : NULL, 7, &out);
  bool up = false;
  for (size_t at = 1; !up && h.state != PL_HELLO_FAILED;) {
    pl_hello_event e = pl_hello_feed(&h, pl_bytes_of(data + at, size - at), &out);
    assert(e.used <= size - at);
    at += e.used;
    if (e.step == PL_HELLO_STEP_MORE) break;
    if (e.step == PL_HELLO_STEP_ASK && resumes) h.resume = &resume;
    if (e.step == PL_HELLO_STEP_ASK && accepts) pl_hello_accept(&h, &up, &out);
    if (e.step == PL_HELLO_STEP_RESUME && !dialler) pl_hello_resume(&h, 9, &out);
    up = up || e.step == PL_HELLO_STEP_UP || e.step == PL_HELLO_STEP_RESUME;
  }
  assert(h.received <= PL_UNTRUSTED_BYTES);
  pl_buf_fini(&out);
  return 0;
}
