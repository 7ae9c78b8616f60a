#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

enum {
  SAMPLES_MAX = 1 << 20,
  WARM_UP_PART = 10,     // a tenth of the time goes by before counting starts
  CALLS_PER_SAMPLE = 8,  // as in client.lua
  PAYLOAD_MAX = 1024 * 1024,
};

typedef struct workload {
  const char *name;
  bare_kind kind;
  uint32_t in_flight;  // calls, or the window of a stream in chunks
  size_t bytes;        // of the payload each way; 0: a sum
  uint32_t chunks;     // of a stream that is followed by the next; 0: it never ends
} workload;

static const workload workloads[] = {
    {"unary_1", BARE_SUM, 1, 0, 0},
    {"unary_64", BARE_SUM, 64, 0, 0},
    {"unary_512", BARE_SUM, 512, 0, 0},
    {"echo_1k", BARE_ECHO, 64, 1024, 0},
    {"echo_64k", BARE_ECHO, 64, BARE_BLOCK, 0},
    {"integers", BARE_COUNT, 1024, 4, 0},
    {"echo_256k", BARE_ECHO, 16, 256 * 1024, 0},
    {"echo_1m", BARE_ECHO, 8, PAYLOAD_MAX, 0},
    {"blocks_64k", BARE_BLOCKS, 4, BARE_BLOCK, 0},
    {"stream_1m", BARE_BLOCKS, 4, BARE_BLOCK, 16},
    {"stream_5m", BARE_BLOCKS, 4, BARE_BLOCK, 80},
    {"stream_10m", BARE_BLOCKS, 4, BARE_BLOCK, 160},
};

typedef struct load {
  const workload *work;
  uint64_t warm_at, end_at, counted_from, sampled_at;  // uv_hrtime
  uint64_t count;
  uint32_t received;  // chunks of the stream, which is what an integer must be
  uint32_t promised;  // chunks that the server may have sent of it
  bool warm;
  size_t sample_count;
  uint32_t *samples;  // ns a call, with one call in flight
} load;

static uint8_t payload[PAYLOAD_MAX];
static const uint8_t numbers[] = {10, 20, 30};

static void send_call(conn *c, const workload *w, uint32_t id) {
  if (w->kind == BARE_SUM) {
    frame_put(&c->out, BARE_SUM, id, numbers, sizeof numbers);
  } else {
    frame_put(&c->out, BARE_ECHO, id, payload, w->bytes);
  }
}

static void open_stream(conn *c, load *l) {
  const workload *w = l->work;
  l->received = 0;
  l->promised = w->in_flight;
  frame_put(&c->out, (uint8_t)w->kind, 0, &w->in_flight, sizeof w->in_flight);
}

// What has come may be followed by as much, up to the end of the stream; then the next begins.
static void go_on(conn *c, load *l, uint32_t chunks) {
  uint32_t all = l->work->chunks;
  if (all > 0 && l->received == all) {
    open_stream(c, l);
    return;
  }
  if (all > 0 && chunks > all - l->promised) chunks = all - l->promised;
  if (chunks == 0) return;
  l->promised += chunks;
  frame_put(&c->out, BARE_CREDIT, 0, &chunks, sizeof chunks);
}

static void on_open(conn *c) {
  load *l = c->user;
  const workload *w = l->work;
  if (w->kind == BARE_COUNT || w->kind == BARE_BLOCKS) {
    open_stream(c, l);
    return;
  }
  for (uint32_t id = 0; id < w->in_flight; id++)
    send_call(c, w, id);
}

static void take_sample(load *l) {
  if (l->count % CALLS_PER_SAMPLE != 0) return;
  uint64_t now = uv_hrtime();
  uint32_t ns = (uint32_t)((now - l->sampled_at) / CALLS_PER_SAMPLE);
  if (l->sample_count < SAMPLES_MAX) l->samples[l->sample_count++] = ns;
  l->sampled_at = now;
}

static void on_reply(conn *c, load *l, const frame *f) {
  const workload *w = l->work;
  bool right = w->kind == BARE_SUM ? f->len == 1 && f->payload[0] == 60 : f->len == w->bytes;
  if (!right) die(w->name, "wrong reply");
  l->count++;
  if (w->in_flight == 1) take_sample(l);
  send_call(c, w, f->id);
}

static void on_chunk(load *l, const frame *f) {
  const workload *w = l->work;
  l->count++;
  l->received++;
  bool right = f->len == w->bytes;
  if (w->kind == BARE_COUNT) right = right && load_u32(f->payload) == l->received;
  if (!right) die(w->name, "wrong chunk");
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void report(load *l, uint64_t now) {
  double seconds = (double)(now - l->counted_from) / 1e9;
  printf("workload=%s count=%llu seconds=%.6f", l->work->name, (unsigned long long)l->count,
         seconds);
  if (l->sample_count > 0) {
    qsort(l->samples, l->sample_count, sizeof *l->samples, by_value);
    printf(" p50_us=%.3f", l->samples[l->sample_count / 2] / 1e3);
  }
  printf("\n");
}

// The clock is read once a batch: at full speed a reading costs as much as a frame.
static void keep_time(conn *c, load *l) {
  uint64_t now = uv_hrtime();
  if (!l->warm && now >= l->warm_at) {
    l->warm = true;
    l->counted_from = l->sampled_at = now;
    l->count = l->sample_count = 0;
  } else if (now >= l->end_at) {
    report(l, now);
    conn_close(c);
  }
}

static size_t on_bytes(conn *c, const uint8_t *bytes, size_t len) {
  load *l = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  uint32_t chunks = 0;
  frame f;
  while (frame_next(&f, &at, end)) {
    if (f.kind == BARE_CHUNK) {
      on_chunk(l, &f);
      chunks++;
    } else {
      on_reply(c, l, &f);
    }
  }
  if (chunks > 0) go_on(c, l, chunks);
  keep_time(c, l);
  return (size_t)(at - bytes);
}

static void on_close(conn *c) {
  load *l = c->user;
  if (l->warm && uv_hrtime() >= l->end_at) return;
  die(l->work->name, "the server closed the connection");
}

static const conn_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};

static const workload *find_workload(const char *name) {
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
    if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
  }
  die(name, "no such workload");
}

int bare_load(const char *url, const char *workload_name, double seconds) {
  load l = {.work = find_workload(workload_name)};
  uint64_t length = (uint64_t)(seconds * 1e9);
  uint64_t start = uv_hrtime();
  l.warm_at = start + length / WARM_UP_PART;
  l.end_at = l.warm_at + length;
  l.samples = malloc(SAMPLES_MAX * sizeof *l.samples);
  if (l.samples == NULL) die("memory", "exhausted");

  uv_loop_t *loop = uv_default_loop();
  conn_dial(loop, url, &ops, &l);
  int rc = uv_run(loop, UV_RUN_DEFAULT);
  free(l.samples);
  return rc;
}
