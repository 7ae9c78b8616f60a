#include <stdlib.h>

#include "bare.h"

enum {
  UPSTREAMS_MAX = 64,
  CALLS_MAX = 1 << 16,  // on their way
};

// Whom the reply to a call that went on is for. The index is the id that it went on with.
typedef struct call {
  conn *client;  // NULL: it has left
  uint32_t id;   // at the client
  uint32_t next_free;
} call;

typedef struct relay {
  uv_loop_t *loop;
  const char *url;
  conn *upstreams[UPSTREAMS_MAX];
  size_t count, open, turn;
  call calls[CALLS_MAX];
  uint32_t free;
  conn *stream_up;  // where the stream comes from that was opened last,
  uint32_t stream;  // and the id that it went on with, which it keeps
} relay;

static uint32_t take_call(relay *r, conn *client, uint32_t id) {
  uint32_t at = r->free;
  if (at == CALLS_MAX) die("relay", "too many calls");
  r->free = r->calls[at].next_free;
  r->calls[at] = (call){.client = client, .id = id};
  return at;
}

static void give_call(relay *r, uint32_t at) {
  r->calls[at].client = NULL;
  r->calls[at].next_free = r->free;
  r->free = at;
}

// Calls: from a client to the upstreams, in turn.

static void on_client_open(conn *c) {
  (void)c;
}

static void pass_call(relay *r, conn *client, const frame *f) {
  conn *up = r->upstreams[r->turn];
  r->turn = r->turn + 1 == r->count ? 0 : r->turn + 1;
  uint32_t id = take_call(r, client, f->id);
  if (f->kind == BARE_COUNT || f->kind == BARE_BLOCKS) {
    r->stream_up = up;
    r->stream = id;
  }
  frame_put(&up->out, f->kind, id, f->payload, f->len);
}

static void pass_credit(relay *r, const frame *f) {
  if (r->stream_up == NULL) die("relay", "credit for no stream");
  frame_put(&r->stream_up->out, f->kind, r->stream, f->payload, f->len);
}

static size_t on_client_bytes(conn *c, const uint8_t *bytes, size_t len) {
  relay *r = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  frame f;
  while (frame_next(&f, &at, end)) {
    if (f.kind == BARE_CREDIT) {
      pass_credit(r, &f);
    } else {
      pass_call(r, c, &f);
    }
  }
  for (size_t i = 0; i < r->count; i++)
    conn_flush(r->upstreams[i]);
  return (size_t)(at - bytes);
}

static void on_client_close(conn *c) {
  relay *r = c->user;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    if (r->calls[i].client == c) r->calls[i].client = NULL;
  }
}

static const conn_ops client_ops = {
    .on_open = on_client_open, .on_bytes = on_client_bytes, .on_close = on_client_close};

// Replies: back to whom they are for.

static void on_upstream_open(conn *c) {
  relay *r = c->user;
  r->upstreams[r->open++] = c;
  if (r->open == r->count) conn_listen(r->loop, r->url, &client_ops, r);
}

static size_t on_upstream_bytes(conn *c, const uint8_t *bytes, size_t len) {
  relay *r = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  conn *client = NULL;
  frame f;
  while (frame_next(&f, &at, end)) {
    if (f.id >= CALLS_MAX) die("relay", "a reply to no call");
    const call *to = &r->calls[f.id];
    if (client != NULL && client != to->client) conn_flush(client);
    client = to->client;
    if (client != NULL) frame_put(&client->out, f.kind, to->id, f.payload, f.len);
    if (f.kind != BARE_CHUNK) give_call(r, f.id);
  }
  if (client != NULL) conn_flush(client);
  return (size_t)(at - bytes);
}

static void on_upstream_close(conn *c) {
  (void)c;
  die("relay", "an upstream closed the connection");
}

static const conn_ops upstream_ops = {
    .on_open = on_upstream_open, .on_bytes = on_upstream_bytes, .on_close = on_upstream_close};

int bare_relay(const char *url, char **upstreams, size_t count) {
  static relay r;
  if (count > UPSTREAMS_MAX) die("relay", "too many upstreams");
  r.loop = uv_default_loop();
  r.url = url;
  r.count = count;
  for (uint32_t i = 0; i < CALLS_MAX; i++)
    r.calls[i].next_free = i + 1;
  for (size_t i = 0; i < count; i++)
    conn_dial(r.loop, upstreams[i], &upstream_ops, &r);
  return uv_run(r.loop, UV_RUN_DEFAULT);
}
