#include "conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
  IN_BYTES = 256 * 1024,       // stays within the second-level cache
  IN_MAX_BYTES = 4096 * 1024,  // what a frame makes of it that is longer
  BACKLOG = 16,
};

typedef struct address {
  struct sockaddr_in tcp;
  const char *path;  // set for a unix socket, else NULL
} address;

typedef struct listener {
  union {
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } h;
  bool is_tcp;
  const conn_ops *ops;
  void *user;
} listener;

// What the kernel would not take at once, copied so that the batch can go on.
typedef struct leftover {
  uv_write_t req;
  size_t len;
  uint8_t bytes[];
} leftover;

void die(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(const char *what, int rc) {
  if (rc < 0) die(what, uv_strerror(rc));
}

static void *grown(void *block, size_t size) {
  void *p = realloc(block, size);
  if (p == NULL) die("memory", "exhausted");
  return p;
}

void batch_grow(batch *b, size_t room) {
  size_t cap = b->cap == 0 ? 64 * 1024 : b->cap * 2;
  while (cap - b->len < room)
    cap *= 2;
  b->bytes = grown(b->bytes, cap);
  b->cap = cap;
}

static void close_run(batch *b) {
  if (b->run == b->len) return;
  b->segments[b->segment_count++] = (segment){NULL, b->run, b->len - b->run};
  b->run = b->len;
}

bool batch_borrow(batch *b, const void *bytes, size_t n) {
  if (b->segment_count > SEGMENTS_MAX - 3) return false;  // a run, this one, the last run
  close_run(b);
  b->segments[b->segment_count++] = (segment){bytes, 0, n};
  b->borrowed_bytes += n;
  return true;
}

static address parse(const char *url) {
  address a = {.path = NULL};
  char ip[64];
  int port, used = 0;
  if (strncmp(url, "unix://", 7) == 0) {
    a.path = url + 7;
  } else if (sscanf(url, "tcp://%63[0-9.]:%d%n", ip, &port, &used) == 2 && url[used] == '\0') {
    check(url, uv_ip4_addr(ip, port, &a.tcp));
  } else {
    die(url, "expected tcp://IP:PORT or unix://PATH");
  }
  return a;
}

// Small frames must not wait for an acknowledgement, and where the default congestion control
// paces (BBR does, also on loopback), throughput would measure the pacing.
static void tune(uv_handle_t *handle) {
  if (handle->type != UV_TCP) return;
  int fd;
  check("socket", uv_fileno(handle, &fd));
  check("TCP_NODELAY", uv_tcp_nodelay((uv_tcp_t *)handle, 1));
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0) return;
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0) return;
  fprintf(stderr, "congestion control stays as it is: neither cubic nor reno is allowed\n");
}

static conn *conn_new(uv_loop_t *loop, bool is_tcp, const conn_ops *ops, void *user) {
  conn *c = grown(NULL, sizeof *c);
  memset(c, 0, sizeof *c);
  c->ops = ops;
  c->user = user;
  c->in = grown(NULL, IN_BYTES);
  c->in_cap = IN_BYTES;
  check("socket", is_tcp ? uv_tcp_init(loop, &c->h.tcp) : uv_pipe_init(loop, &c->h.pipe, 0));
  return c;
}

static void on_closed(uv_handle_t *handle) {
  conn *c = (conn *)handle;
  c->ops->on_close(c);
  free(c->out.bytes);
  free(c->in);
  free(c);
}

void conn_close(conn *c) {
  if (!uv_is_closing(&c->h.handle)) uv_close(&c->h.handle, on_closed);
}

static void on_leftover_written(uv_write_t *req, int status) {
  if (status < 0 && status != UV_ECANCELED) conn_close((conn *)req->handle);
  free(req);
}

static void keep_leftover(conn *c, const uv_buf_t *bufs, unsigned count, size_t written) {
  size_t total = batch_bytes(&c->out);
  leftover *rest = grown(NULL, sizeof *rest + total - written);
  rest->len = 0;
  for (unsigned i = 0; i < count; i++) {
    size_t skip = written < bufs[i].len ? written : bufs[i].len;
    written -= skip;
    memcpy(rest->bytes + rest->len, bufs[i].base + skip, bufs[i].len - skip);
    rest->len += bufs[i].len - skip;
  }
  uv_buf_t buf = uv_buf_init((char *)rest->bytes, (unsigned)rest->len);
  check("write", uv_write(&rest->req, &c->h.stream, &buf, 1, on_leftover_written));
}

static void write_batch(conn *c) {
  batch *b = &c->out;
  uv_buf_t bufs[SEGMENTS_MAX];
  close_run(b);
  for (unsigned i = 0; i < b->segment_count; i++) {
    const segment *s = &b->segments[i];
    const uint8_t *bytes = s->borrowed != NULL ? s->borrowed : b->bytes + s->at;
    bufs[i] = uv_buf_init((char *)bytes, (unsigned)s->len);
  }
  int rc = uv_try_write(&c->h.stream, bufs, b->segment_count);
  if (rc == UV_EAGAIN) rc = 0;
  if (rc < 0) {
    conn_close(c);
  } else if ((size_t)rc < batch_bytes(b)) {
    keep_leftover(c, bufs, b->segment_count, (size_t)rc);
  }
}

void conn_flush(conn *c) {
  if (uv_is_closing(&c->h.handle)) return;
  if (c->out.len > 0) write_batch(c);
  batch_clear(&c->out);
  if (c->ops->on_flush != NULL) c->ops->on_flush(c);
}

static void on_room(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
  (void)hint;
  conn *c = (conn *)handle;
  *buf = uv_buf_init((char *)c->in + c->in_len, (unsigned)(c->in_cap - c->in_len));
}

// For a frame that does not fit.
static void grow_in(conn *c) {
  if (c->in_cap == IN_MAX_BYTES) die("frame", "longer than the read buffer");
  c->in_cap *= 2;
  c->in = grown(c->in, c->in_cap);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  conn *c = (conn *)stream;
  if (n < 0) {
    conn_close(c);
    return;
  }
  size_t len = c->in_len + (size_t)n;
  size_t taken = c->ops->on_bytes(c, c->in, len);
  conn_flush(c);  // before the bytes that it may borrow move
  c->in_len = len - taken;
  if (taken > 0 && c->in_len > 0) memmove(c->in, c->in + taken, c->in_len);
  if (c->in_len == c->in_cap) grow_in(c);
}

static void start(conn *c) {
  tune(&c->h.handle);
  c->ops->on_open(c);
  conn_flush(c);
  check("read", uv_read_start(&c->h.stream, on_room, on_read));
}

static void on_connection(uv_stream_t *server, int status) {
  check("accept", status);
  listener *l = (listener *)server;
  conn *c = conn_new(server->loop, l->is_tcp, l->ops, l->user);
  check("accept", uv_accept(server, &c->h.stream));
  start(c);
}

static void print_ready(const listener *l, const address *a) {
  if (!l->is_tcp) {
    fprintf(stderr, "ready listen=unix://%s\n", a->path);
    return;
  }
  struct sockaddr_in bound;
  int size = sizeof bound;
  char ip[64];
  check("getsockname", uv_tcp_getsockname(&l->h.tcp, (struct sockaddr *)&bound, &size));
  check("getsockname", uv_ip4_name(&bound, ip, sizeof ip));
  fprintf(stderr, "ready listen=tcp://%s:%d\n", ip, ntohs(bound.sin_port));
}

void conn_listen(uv_loop_t *loop, const char *url, const conn_ops *ops, void *user) {
  signal(SIGPIPE, SIG_IGN);  // a peer that left is an error of the write
  address a = parse(url);
  listener *l = grown(NULL, sizeof *l);  // lives as long as the process
  l->is_tcp = a.path == NULL;
  l->ops = ops;
  l->user = user;
  if (l->is_tcp) {
    check("socket", uv_tcp_init(loop, &l->h.tcp));
    check(url, uv_tcp_bind(&l->h.tcp, (const struct sockaddr *)&a.tcp, 0));
  } else {
    check("socket", uv_pipe_init(loop, &l->h.pipe, 0));
    check(url, uv_pipe_bind(&l->h.pipe, a.path));
  }
  check(url, uv_listen(&l->h.stream, BACKLOG, on_connection));
  print_ready(l, &a);
}

static void on_connected(uv_connect_t *req, int status) {
  conn *c = (conn *)req->handle;
  free(req);
  check("connect", status);
  start(c);
}

void conn_dial(uv_loop_t *loop, const char *url, const conn_ops *ops, void *user) {
  signal(SIGPIPE, SIG_IGN);
  address a = parse(url);
  conn *c = conn_new(loop, a.path == NULL, ops, user);
  uv_connect_t *req = grown(NULL, sizeof *req);
  if (a.path != NULL) {
    uv_pipe_connect(req, &c->h.pipe, a.path, on_connected);
  } else {
    check(url, uv_tcp_connect(req, &c->h.tcp, (const struct sockaddr *)&a.tcp, on_connected));
  }
}
