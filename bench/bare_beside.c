// Calls, one after the other, without and beside a stream of blocks on the same connection: as
// bulk.lua does it.

#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

enum {
  CALLS = 2000,
  WINDOW = 4,  // blocks
  STREAM = 1,  // the id of the stream; that of calls is 0
};

typedef enum phase { WARM_UP, IDLE, BUSY_WARM_UP, BUSY, PHASES } phase;

typedef struct beside {
  phase phase;
  size_t count;        // in this phase
  uint64_t called_at;  // uv_hrtime
  uint32_t ns[CALLS];
  double p99_us[PHASES];
} beside;

static void call(conn *c, beside *b) {
  static const uint8_t numbers[] = {1, 2};
  b->called_at = uv_hrtime();
  frame_put(&c->out, BARE_SUM, 0, numbers, sizeof numbers);
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void open_stream(conn *c) {
  static const uint32_t credit = WINDOW;
  frame_put(&c->out, BARE_BLOCKS, STREAM, &credit, sizeof credit);
}

static void on_reply(conn *c, beside *b) {
  b->ns[b->count++] = (uint32_t)(uv_hrtime() - b->called_at);
  if (b->count == CALLS) {
    qsort(b->ns, CALLS, sizeof *b->ns, by_value);
    b->p99_us[b->phase++] = b->ns[CALLS * 99 / 100] / 1e3;
    b->count = 0;
    if (b->phase == BUSY_WARM_UP) open_stream(c);
  }
  if (b->phase < PHASES) {
    call(c, b);
  } else {
    printf("idle_us=%.1f busy_us=%.1f\n", b->p99_us[IDLE], b->p99_us[BUSY]);
    conn_close(c);
  }
}

static void on_open(conn *c) {
  call(c, c->user);
}

static size_t on_bytes(conn *c, const uint8_t *bytes, size_t len) {
  beside *b = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  uint32_t chunks = 0;
  frame f;
  while (b->phase < PHASES && frame_next(&f, &at, end)) {
    if (f.kind == BARE_CHUNK) {
      chunks++;
    } else {
      on_reply(c, b);
    }
  }
  if (chunks > 0) frame_put(&c->out, BARE_CREDIT, STREAM, &chunks, sizeof chunks);
  return (size_t)(at - bytes);
}

static void on_close(conn *c) {
  const beside *b = c->user;
  if (b->phase < PHASES) die("beside", "the server closed the connection");
}

static const conn_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};

int bare_beside(const char *url) {
  static beside b;
  uv_loop_t *loop = uv_default_loop();
  conn_dial(loop, url, &ops, &b);
  return uv_run(loop, UV_RUN_DEFAULT);
}
