#include "link/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "link/address.h"
#include "link/door.h"

enum {
  WRITE_PARTS = 128,              // views of one write
  IN_FLIGHT_MAX = PL_WRITE_HIGH,  // handed to libuv at once: its progress is seen only at the end
  ADDRESSES_TRIED = 8,            // of those a name resolves to
  TRY_US = 2 * 1000 * 1000,       // for one address, when there is another
  BACKLOG_TRIES = 100,            // a Unix listener's backlog is full
  BACKLOG_WAIT_US = 10 * 1000,
};

typedef struct resolution resolution;
typedef struct socket_link socket_link;

// What is needed until a connection is there.
typedef struct dial {
  socket_link *owner;
  pl_url url;
  pl_work begin_work;
  pl_timer timer;
  resolution *resolution;  // NULL unless one is under way
  pl_sockaddr addresses[ADDRESSES_TRIED];
  unsigned count, next;
  unsigned tries;
  int error;  // of the last attempt
} dial;

struct socket_link {
  pl_link link;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  union {
    uv_connect_t connect;
    uv_write_t write;
  } req;
  dial *dial;       // while CONNECTING
  bool has_handle;  // `uv` is initialised; its close callback is still to come
  bool writing;     // `req.write` is out
};

// Outlives its link when that is closed meanwhile: a name server may take its time.
struct resolution {
  uv_getaddrinfo_t req;
  socket_link *owner;  // NULL: nobody waits
};

static socket_link *of_link(pl_link *l) {
  return pl_container(l, socket_link, link);
}

static int fd_of(const socket_link *s) {
  uv_os_fd_t fd = -1;
  uv_fileno(&s->uv.handle, &fd);
  return fd;
}

// Reading and writing.

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  socket_link *s = handle->data;
  size_t len = 0;
  uint8_t *room = pl_link_room(&s->link, &len);
  *buf = uv_buf_init((char *)room, (unsigned)len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  socket_link *s = stream->data;
  pl_loop_came(s->link.loop);
  if (n > 0)
    pl_link_received(&s->link, (size_t)n);
  else if (n == UV_EOF)
    pl_link_end(&s->link, PL_OK, "");
  else if (n == UV_ENOBUFS)
    pl_link_abort(&s->link, PL_NO_MEMORY, "");
  else if (n < 0)
    pl_link_end(&s->link, PL_PEER_LOST, uv_strerror((int)n));
}

static void socket_start(pl_link *l) {
  // Fails only for a handle that is closing or not connected; this one is neither.
  int err = uv_read_start(&of_link(l)->uv.stream, on_alloc, on_read);
  assert(err == 0);
  (void)err;
}

// The front of the queue, at most `max` bytes; returns how many views were filled.
static unsigned gather(const pl_outq *q, uv_buf_t bufs[WRITE_PARTS], size_t max, size_t *total) {
  unsigned n = 0;
  size_t at = q->at;
  *total = 0;
  for (size_t i = q->first; i < q->end && n < WRITE_PARTS && *total < max; i++) {
    const pl_part *p = &q->parts[i];
    size_t left = p->len - at;
    size_t len = left < max - *total ? left : max - *total;
    bufs[n++] = (uv_buf_t){.base = (char *)(uintptr_t)(p->data + at), .len = len};
    *total += len;
    at = 0;
  }
  return n;
}

static void on_written(uv_write_t *req, int status) {
  socket_link *s = pl_container(req, socket_link, req.write);
  s->writing = false;
  if (s->link.state == PL_LINK_STOPPED) return;
  if (status < 0) {
    pl_link_write_failed(&s->link, uv_strerror(status));
    return;
  }
  size_t n = s->link.out.in_flight;
  s->link.out.in_flight = 0;
  pl_link_wrote(&s->link, n);
  pl_link_flush(&s->link);
}

// The system takes no more now: libuv waits with the next piece.
static void write_when_possible(socket_link *s) {
  uv_buf_t bufs[WRITE_PARTS];
  size_t total;
  unsigned n = gather(&s->link.out, bufs, IN_FLIGHT_MAX, &total);
  int err = uv_write(&s->req.write, &s->uv.stream, bufs, n, on_written);
  s->link.loop->metrics.writes++;
  if (err != 0) {
    pl_link_write_failed(&s->link, uv_strerror(err));
    return;
  }
  s->writing = true;
  s->link.out.in_flight = total;
}

static void socket_flush(pl_link *l) {
  socket_link *s = of_link(l);
  while (!s->writing && l->out.bytes > 0) {
    uv_buf_t bufs[WRITE_PARTS];
    size_t total;
    unsigned n = gather(&l->out, bufs, SIZE_MAX, &total);
    int wrote = uv_try_write(&s->uv.stream, bufs, n);
    l->loop->metrics.writes++;
    if (wrote < 0 && wrote != UV_EAGAIN) {
      pl_link_write_failed(l, uv_strerror(wrote));
      return;
    }
    if (wrote > 0) pl_link_wrote(l, (size_t)wrote);
    if (wrote < 0 || (size_t)wrote < total) write_when_possible(s);
  }
}

static void socket_finish(pl_link *l) {
  shutdown(fd_of(of_link(l)), SHUT_WR);
}

// Connecting.

static void next_address(socket_link *s);

static void free_dial(socket_link *s) {
  dial *d = s->dial;
  if (d == NULL) return;
  s->dial = NULL;
  pl_work_cancel(&d->begin_work);
  pl_timer_stop(&d->timer);
  if (d->resolution != NULL) {
    d->resolution->owner = NULL;
    uv_cancel((uv_req_t *)&d->resolution->req);
  }
  pl_free(d);
}

static void on_closed(uv_handle_t *handle) {
  socket_link *s = handle->data;
  s->has_handle = false;
  if (s->link.state == PL_LINK_STOPPED)
    pl_link_stopped(&s->link);
  else
    next_address(s);
}

static void socket_stop(pl_link *l, bool reset) {
  socket_link *s = of_link(l);
  free_dial(s);
  if (!s->has_handle) {
    pl_link_stopped_later(l);
    return;
  }
  if (uv_is_closing(&s->uv.handle)) return;
  if (reset && s->uv.handle.type == UV_TCP && uv_tcp_close_reset(&s->uv.tcp, on_closed) == 0)
    return;
  uv_close(&s->uv.handle, on_closed);
}

static void fail(socket_link *s, int error) {
  s->link.refused = error == UV_ECONNREFUSED || error == UV_ENOENT;
  pl_link_end(&s->link, PL_CONNECT_FAILED, uv_strerror(error));
}

// The next address is tried when the handle of this one is closed.
static void leave_address(socket_link *s, int error) {
  s->dial->error = error;
  pl_timer_stop(&s->dial->timer);
  uv_close(&s->uv.handle, on_closed);
}

static void connected(socket_link *s) {
  int fd = fd_of(s);
  s->link.local = pl_socket_is_local(fd);
  if (s->uv.handle.type == UV_TCP)
    pl_socket_tune(fd, &s->dial->url, s->link.local);
  else
    s->link.peer_uid = pl_socket_peer_uid(fd);
  free_dial(s);
  pl_link_opened(&s->link);
}

static void on_connect(uv_connect_t *req, int status) {
  socket_link *s = pl_container(req, socket_link, req.connect);
  if (uv_is_closing(&s->uv.handle)) return;
  if (status == 0 && pl_socket_is_self(fd_of(s))) status = UV_ECONNREFUSED;
  if (status < 0)
    leave_address(s, status);
  else
    connected(s);
}

static void run_try_timer(pl_timer *t) {
  leave_address(pl_container(t, dial, timer)->owner, UV_ETIMEDOUT);
}

// The handle is initialised whatever the result.
static int begin_connect(socket_link *s, const pl_sockaddr *to) {
  const pl_url *url = &s->dial->url;
  int err = uv_tcp_init(s->link.loop->uv, &s->uv.tcp);
  assert(err == 0);  // makes no socket yet
  s->uv.handle.data = s;
  s->has_handle = true;
  pl_sockaddr from;
  if (url->bind[0] != '\0') {
    if (!pl_sockaddr_numeric(&from, url->bind, 0)) return UV_EINVAL;
    if (from.of.any.sa_family != to->of.any.sa_family) return UV_EAFNOSUPPORT;
    err = uv_tcp_bind(&s->uv.tcp, &from.of.any, 0);
    if (err != 0) return err;
  }
  return uv_tcp_connect(&s->req.connect, &s->uv.tcp, &to->of.any, on_connect);
}

static void next_address(socket_link *s) {
  dial *d = s->dial;
  if (d->next == d->count) {
    fail(s, d->error);
    return;
  }
  int err = begin_connect(s, &d->addresses[d->next++]);
  if (err != 0)
    leave_address(s, err);
  else if (d->next < d->count)
    pl_timer_start(&s->link.loop->clock, &d->timer, TRY_US, run_try_timer);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found) {
  resolution *r = pl_container(req, resolution, req);
  socket_link *s = r->owner;
  pl_free(r);
  if (s != NULL) {
    dial *d = s->dial;
    d->resolution = NULL;
    d->error = status < 0 ? status : UV_EAI_NONAME;
    for (struct addrinfo *a = found; a != NULL && d->count < ADDRESSES_TRIED; a = a->ai_next)
      if (pl_sockaddr_copy(&d->addresses[d->count], a->ai_addr)) d->count++;
    next_address(s);
  }
  uv_freeaddrinfo(found);
}

static void resolve(socket_link *s) {
  dial *d = s->dial;
  char port[8];
  snprintf(port, sizeof port, "%u", d->url.port);
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  resolution *r = pl_new(resolution);
  int err = uv_getaddrinfo(s->link.loop->uv, &r->req, on_resolved, d->url.host, port, &hints);
  if (err != 0) {
    pl_free(r);
    fail(s, err);
    return;
  }
  r->owner = s;
  d->resolution = r;
}

// "localhost" is this machine whatever a name server says.
static void begin_tcp(socket_link *s) {
  dial *d = s->dial;
  if (strcmp(d->url.host, "localhost") == 0) {
    pl_sockaddr_numeric(&d->addresses[d->count++], "127.0.0.1", d->url.port);
    pl_sockaddr_numeric(&d->addresses[d->count++], "::1", d->url.port);
  } else if (pl_sockaddr_numeric(&d->addresses[0], d->url.host, d->url.port)) {
    d->count = 1;
  } else {
    resolve(s);
    return;
  }
  next_address(s);
}

static int open_pipe(socket_link *s, int fd) {
  int err = uv_pipe_init(s->link.loop->uv, &s->uv.pipe, 0);
  assert(err == 0);
  s->uv.handle.data = s;
  s->has_handle = true;
  err = uv_pipe_open(&s->uv.pipe, fd);
  if (err != 0) close(fd);
  return err;
}

// libuv 1.44 cuts long paths and mangles abstract names, so the connection is made here.
// Connecting to a Unix socket never takes time; when the listener's backlog is full, it fails.
static int connect_unix(socket_link *s) {
  pl_sockaddr to;
  pl_sockaddr_unix(&to, s->dial->url.host);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, &to.of.any, to.len) != 0) {
    int err = -errno;
    close(fd);
    return err;
  }
  return open_pipe(s, fd);
}

static int connect_door(socket_link *s) {
  int fd = pl_door_knock(s->dial->url.host);
  return fd < 0 ? fd : open_pipe(s, fd);
}

static void begin_unix(socket_link *s);

static void run_backlog_timer(pl_timer *t) {
  begin_unix(pl_container(t, dial, timer)->owner);
}

static void begin_unix(socket_link *s) {
  dial *d = s->dial;
  bool door = strcmp(d->url.scheme, "door") == 0;
  int err = door ? connect_door(s) : connect_unix(s);
  if (err == 0)
    connected(s);
  else if (err == UV_EAGAIN && d->tries++ < BACKLOG_TRIES)
    pl_timer_start(&s->link.loop->clock, &d->timer, BACKLOG_WAIT_US, run_backlog_timer);
  else
    fail(s, err);
}

static void run_begin(pl_work *w) {
  dial *d = pl_container(w, dial, begin_work);
  if (strcmp(d->url.scheme, "tcp") == 0)
    begin_tcp(d->owner);
  else
    begin_unix(d->owner);
}

static const pl_link_type tcp_type = {
    .scheme = "tcp",
    .start = socket_start,
    .flush = socket_flush,
    .finish = socket_finish,
    .stop = socket_stop,
};

static const pl_link_type unix_type = {
    .scheme = "unix",
    .start = socket_start,
    .flush = socket_flush,
    .finish = socket_finish,
    .stop = socket_stop,
};

static const pl_link_type door_type = {
    .scheme = "door",
    .start = socket_start,
    .flush = socket_flush,
    .finish = socket_finish,
    .stop = socket_stop,
};

static const pl_link_type *type_of(const pl_url *url) {
  if (strcmp(url->scheme, "tcp") == 0) return &tcp_type;
  return strcmp(url->scheme, "door") == 0 ? &door_type : &unix_type;
}

static socket_link *new_link(pl_loop *loop, const pl_url *url, pl_link_state state) {
  socket_link *s = pl_new(socket_link);
  pl_link_init(&s->link, type_of(url), loop, state);
  return s;
}

pl_err pl_socket_dial(pl_link **out, pl_loop *loop, const pl_url *url) {
  const char *why;
  if (pl_url_check_dial(url, &why) != PL_OK) return PL_INVALID;
  socket_link *s = new_link(loop, url, PL_LINK_CONNECTING);
  s->dial = pl_new(dial);
  s->dial->owner = s;
  s->dial->url = *url;
  pl_loop_defer(loop, &s->dial->begin_work, run_begin);
  *out = &s->link;
  return PL_OK;
}

static int open_tcp(socket_link *s, const pl_url *url, int fd) {
  int err = uv_tcp_init(s->link.loop->uv, &s->uv.tcp);
  assert(err == 0);
  s->uv.handle.data = s;
  s->has_handle = true;
  err = uv_tcp_open(&s->uv.tcp, fd);
  if (err != 0)
    close(fd);
  else
    pl_socket_tune(fd, url, s->link.local);
  return err;
}

pl_link *pl_socket_accepted(pl_loop *loop, const pl_url *url, int fd, int *err) {
  socket_link *s = new_link(loop, url, PL_LINK_OPEN);
  s->link.local = pl_socket_is_local(fd);
  if (s->link.type != &tcp_type) {
    s->link.peer_uid = pl_socket_peer_uid(fd);
    *err = open_pipe(s, fd);
  } else {
    *err = open_tcp(s, url, fd);
  }
  if (*err == 0) return &s->link;
  pl_link_abort(&s->link, PL_IO_ERROR, "");
  return NULL;
}
