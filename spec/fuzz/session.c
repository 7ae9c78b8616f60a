// A neighbour that is up and may send anything.
#include "peer/session.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pl_err on_hello(pl_session *s, const pl_msg_hello *m, const char **reason, void *user) {
  (void)s, (void)m, (void)reason, (void)user;
  return PL_OK;
}

static void nothing(pl_session *s, void *user) {
  (void)s, (void)user;
}

static pl_err on_frame(pl_session *s, const pl_frame *f, void *user) {
  (void)s, (void)user;
  assert(f->body.len <= PL_FRAGMENT_MAX);
  return f->type == 60 ? PL_BUSY : PL_OK;
}

static void on_down(pl_session *s, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                    void *user) {
  (void)why, (void)detail, (void)goodbye;
  *(bool *)user = true;
  pl_session_drop(s);
}

static void raw_nothing(pl_link *l, void *user) {
  (void)l, (void)user;
}

static size_t raw_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l, (void)user;
  return bytes.len;
}

static void raw_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  *(bool *)user = true;
}

static void greet(pl_link *raw) {
  const pl_msg_hello m = {.id = {{2}}, .epoch = 1, .nonce = {{3}}};
  uint8_t preamble[PL_PREAMBLE], header[PL_FRAME_HEADER];
  pl_buf body = {0};
  pl_msg_hello_encode(&body, &m);
  pl_preamble_put(preamble);
  pl_link_append(raw, pl_bytes_of(preamble, sizeof preamble));
  pl_frame_put_header(header, PL_FRAME_HELLO, 0, 0, 0, pl_buf_len(&body));
  pl_link_append(raw, pl_bytes_of(header, sizeof header));
  pl_link_append(raw, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)));
  const pl_msg_ready ready = {.secret = {{4}}};
  pl_buf_clear(&body);
  pl_msg_ready_encode(&body, &ready);
  pl_frame_put_header(header, PL_FRAME_READY, 0, 0, 0, pl_buf_len(&body));
  pl_link_append(raw, pl_bytes_of(header, sizeof header));
  pl_link_append(raw, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)));
  pl_buf_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_session_ops ops = {
      .on_hello = on_hello,
      .on_up = nothing,
      .on_frame = on_frame,
      .on_drained = nothing,
      .on_resumed = nothing,
      .on_down = on_down,
  };
  static const pl_link_ops raw_ops = {raw_nothing, raw_bytes, raw_nothing, raw_close};
  static const pl_identity self = {.id = {{1}},
                                   .epoch = 1,
                                   .handshake_timeout_us = 1000000,
                                   .heartbeat_us = 1000000,
                                   .resume_window_us = 100000,
                                   .heartbeat_misses = 3};
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_OFF);
  pl_loop *loop = pl_loop_new_virtual(log, 1);
  bool down = false, closed = false;
  pl_link *ends[2];
  pl_link_pair(&ends[0], &ends[1], loop);
  pl_session *s = pl_session_open(loop, &self, ends[0], false, &ops, &down);
  pl_link_start(ends[1], &raw_ops, &closed);
  greet(ends[1]);
  // In pieces as long as the bytes themselves say, so that frames come in parts.
  for (size_t at = 0; at < size && !closed;) {
    size_t n = 1 + data[at] % 64;
    if (n > size - at) n = size - at;
    pl_link_append(ends[1], pl_bytes_of(data + at, n));
    pl_loop_advance(loop, 1000);
    at += n;
  }
  if (!down) pl_session_abort(s, PL_OK, "");
  pl_loop_advance(loop, 2000000);
  assert(down && closed);
  pl_loop_free(loop);
  return 0;
}
