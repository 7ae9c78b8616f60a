// A stranger's side of the handshake: any bytes, accepted as soon as they ask; of a new session, or
// of one that is to go on. With a key he gets no further than to his proof.
#include "peer/hello.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIALLER = 1, DEFERRED = 2, RESUMES = 4, KEYED = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_identity plain = {.id = {{1}}, .epoch = 1, .name = "fuzz"};
  static const pl_identity keyed = {
      .id = {{1}},
      .epoch = 1,
      .auth = {.psk = {.count = 2,
                       .keys = {{
                                    .len = 16,
                                    .bytes = "sixteen bytes...",
                                },
                                {.len = 16, .bytes = "sixteen others.."}}}},
  };
  static const pl_id nonce = {{2}};
  static const pl_resume resume = {
      .session = {{3}}, .dialler_secret = {{4}}, .other_secret = {{5}}};
  if (size == 0) return 0;
  bool dialler = (data[0] & DIALLER) != 0, resumes = (data[0] & RESUMES) != 0;
  bool has_key = (data[0] & KEYED) != 0, accepts = (data[0] & DEFERRED) == 0;
  pl_buf out = {0};
  pl_hello h;
  pl_hello_start(&h, has_key ? &keyed : &plain, dialler, &nonce,
                 dialler && resumes ? &resume : NULL, 7, &out);
  bool up = false;
  for (size_t at = 1; !up && h.state != PL_HELLO_FAILED;) {
    pl_hello_event e = pl_hello_feed(&h, pl_bytes_of(data + at, size - at), &out);
    assert(e.used <= size - at);
    at += e.used;
    if (e.step == PL_HELLO_STEP_MORE) break;
    assert(e.step != PL_HELLO_STEP_ASK || !has_key);
    if (e.step == PL_HELLO_STEP_ASK && resumes) h.resume = &resume;
    if (e.step == PL_HELLO_STEP_ASK && accepts) pl_hello_accept(&h, &up, &out);
    if (e.step == PL_HELLO_STEP_RESUME && !dialler) pl_hello_resume(&h, 9, &out);
    up = up || e.step == PL_HELLO_STEP_UP || e.step == PL_HELLO_STEP_RESUME;
  }
  assert(!up || !has_key);
  assert(h.received <= PL_UNTRUSTED_BYTES);
  if (h.state != PL_HELLO_READY) pl_hello_fail(&h);
  pl_buf_fini(&out);
  return 0;
}
