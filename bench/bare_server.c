#include <stdlib.h>

#include "bare.h"

// The one stream that a connection may open. It ends with the connection.
typedef struct session {
  uint32_t credit;  // chunks that the client is ready to take
  uint32_t next;
  uint32_t id;
  bool blocks;
} session;

static uint8_t block[BARE_BLOCK];

static void on_open(conn *c) {
  c->state = calloc(1, sizeof(session));
  if (c->state == NULL) die("memory", "exhausted");
}

static void on_close(conn *c) {
  free(c->state);
}

static void produce(conn *c, session *s) {
  for (; s->credit > 0; s->credit--) {
    if (s->blocks) {
      frame_put(&c->out, BARE_CHUNK, s->id, block, sizeof block);
    } else {
      s->next++;
      frame_put(&c->out, BARE_CHUNK, s->id, &s->next, sizeof s->next);
    }
  }
}

static void reply_sum(conn *c, const frame *f) {
  uint8_t total = 0;
  for (uint32_t i = 0; i < f->len; i++)
    total = (uint8_t)(total + f->payload[i]);
  frame_put(&c->out, BARE_REPLY, f->id, &total, sizeof total);
}

static void on_frame(conn *c, session *s, const frame *f) {
  switch ((bare_kind)f->kind) {
    case BARE_SUM: reply_sum(c, f); return;
    case BARE_ECHO: frame_put(&c->out, BARE_REPLY, f->id, f->payload, f->len); return;
    case BARE_COUNT:
    case BARE_BLOCKS:
      if (f->len != 4) break;
      *s = (session){load_u32(f->payload), 0, f->id, f->kind == BARE_BLOCKS};
      return;
    case BARE_CREDIT:
      if (f->len != 4) break;
      s->credit += load_u32(f->payload);
      return;
    case BARE_REPLY:
    case BARE_CHUNK: break;
  }
  conn_close(c);
}

static size_t on_bytes(conn *c, const uint8_t *bytes, size_t len) {
  session *s = c->state;
  const uint8_t *at = bytes, *end = bytes + len;
  frame f;
  while (frame_next(&f, &at, end))
    on_frame(c, s, &f);
  produce(c, s);
  return (size_t)(at - bytes);
}

static const conn_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};

int bare_serve(const char *url) {
  uv_loop_t *loop = uv_default_loop();
  conn_listen(loop, url, &ops, NULL);
  return uv_run(loop, UV_RUN_DEFAULT);
}
