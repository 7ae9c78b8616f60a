// Listening sockets. Accepting is done here and not by libuv, which closes connections unseen
// when descriptors run out; here the listener pauses, and the callers wait in the backlog.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "link/address.h"
#include "link/handed.h"
#include "link/socket.h"
#include "link/unix_name.h"

enum {
  ACCEPTS = 64,           // before the links get their turn
  PAUSE_US = 250 * 1000,  // without descriptors
};

typedef struct socket_listener {
  pl_listener listener;
  uv_poll_t poll;
  int fd;
  pl_unix_name name;
  pl_timer pause;
  bool troubled;  // was told, and nothing was accepted since
} socket_listener;

static void on_readable(uv_poll_t *poll, int status, int events);

static void poll_accepts(socket_listener *s) {
  int err = uv_poll_start(&s->poll, UV_READABLE, on_readable);
  assert(err == 0);
  (void)err;
}

static void run_pause(pl_timer *t) {
  poll_accepts(pl_container(t, socket_listener, pause));
}

static void pause_accepts(socket_listener *s, int error) {
  uv_poll_stop(&s->poll);
  pl_timer_start(&s->listener.loop->clock, &s->pause, PAUSE_US, run_pause);
  if (s->troubled) return;
  s->troubled = true;
  s->listener.ops->on_error(&s->listener, PL_IO_ERROR, uv_strerror(error), s->listener.user);
}

static void accepted(socket_listener *s, int fd, const pl_sockaddr *from) {
  char remote[PL_URL_MAX];
  if (from->of.any.sa_family == AF_UNIX || from->len <= sizeof from->of.any.sa_family)
    pl_url_format(&s->listener.url, remote);
  else
    pl_sockaddr_format(from, remote);
  int err;
  pl_link *l = pl_socket_accepted(s->listener.loop, &s->listener.url, fd, &err);
  if (l == NULL) {
    pause_accepts(s, err);
    return;
  }
  s->troubled = false;
  pl_link_set_remote(l, remote);
  s->listener.ops->on_accept(&s->listener, l, s->listener.user);
}

// Errors of one connection that was already gone, as accept(2) lists them.
static bool is_passing(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT: return true;
    default: return false;
  }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)events;
  socket_listener *s = poll->data;
  if (status < 0) {
    pause_accepts(s, status);
    return;
  }
  for (int i = 0; i < ACCEPTS && !s->listener.closed && !pl_timer_active(&s->pause); i++) {
    pl_sockaddr from = {.len = sizeof from.of};
    int fd = accept4(s->fd, &from.of.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      accepted(s, fd, &from);
    } else if (errno == EAGAIN) {
      return;
    } else if (!is_passing(errno)) {
      pause_accepts(s, -errno);
    }
  }
}

static void on_poll_closed(uv_handle_t *handle) {
  socket_listener *s = handle->data;
  pl_listener_stopped(&s->listener);
}

static void socket_listener_stop(pl_listener *l) {
  socket_listener *s = pl_container(l, socket_listener, listener);
  pl_unix_name_remove(&s->name);
  pl_timer_stop(&s->pause);
  uv_close((uv_handle_t *)&s->poll, on_poll_closed);
  close(s->fd);
}

static const pl_listener_type socket_listener_type = {.stop = socket_listener_stop};

static void set_on(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

static pl_err refuse(char *detail, const pl_url *url, int error) {
  char text[PL_URL_MAX];
  pl_url_format(url, text);
  snprintf(detail, PL_URL_MAX, "%.400s: %s", text, uv_strerror(-error));
  return error == EADDRINUSE ? PL_ADDRESS_IN_USE : PL_IO_ERROR;
}

static int bind_tcp(const pl_url *url, const pl_sockaddr *at, bool only_v6) {
  int fd = socket(at->of.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (url->reuseport) set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (at->of.any.sa_family == AF_INET6) set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, only_v6);
  if (bind(fd, &at->of.any, at->len) == 0 && listen(fd, (int)url->backlog) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// "*" is both families where there is IPv6, and IPv4 elsewhere.
static int bind_everywhere(const pl_url *url) {
  pl_sockaddr at;
  pl_sockaddr_numeric(&at, "::", url->port);
  int fd = bind_tcp(url, &at, false);
  if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)) return fd;
  pl_sockaddr_numeric(&at, "0.0.0.0", url->port);
  return bind_tcp(url, &at, false);
}

static pl_err listen_tcp(socket_listener *s, char *detail) {
  pl_url *url = &s->listener.url;
  pl_sockaddr at;
  const char *host = strcmp(url->host, "localhost") == 0 ? "127.0.0.1" : url->host;
  if (strcmp(host, "*") == 0) {
    s->fd = bind_everywhere(url);
  } else if (pl_sockaddr_numeric(&at, host, url->port)) {
    s->fd = bind_tcp(url, &at, true);
  } else {
    snprintf(detail, PL_URL_MAX, "a listener takes a numeric address, localhost or *");
    return PL_INVALID;
  }
  if (s->fd < 0) return refuse(detail, url, errno);
  at.len = sizeof at.of;
  if (getsockname(s->fd, &at.of.any, &at.len) == 0) url->port = pl_sockaddr_port(&at);
  return PL_OK;
}

static pl_err listen_unix(socket_listener *s, char *detail) {
  s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s->fd < 0) return refuse(detail, &s->listener.url, errno);
  pl_err err = pl_unix_name_listen(&s->name, s->fd, &s->listener.url, detail);
  if (err != PL_OK) close(s->fd);
  return err;
}

pl_err pl_socket_listen(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail) {
  socket_listener *s = pl_new(socket_listener);
  s->name.dir = -1;
  pl_listener_init(&s->listener, &socket_listener_type, loop, url);
  pl_err err = PL_OK;
  if (strcmp(url->scheme, "fd") == 0) {
    err = pl_handed_take(&s->fd, &s->listener.url, url, detail);
  } else {
    bool is_unix = strcmp(url->scheme, "unix") == 0;
    err = is_unix ? listen_unix(s, detail) : listen_tcp(s, detail);
  }
  if (err != PL_OK) goto free_listener;

  int error = uv_poll_init(loop->uv, &s->poll, s->fd);
  if (error != 0) {
    err = refuse(detail, url, -error);
    goto close_socket;
  }
  s->poll.data = s;
  poll_accepts(s);
  *out = &s->listener;
  return PL_OK;

close_socket:
  pl_unix_name_remove(&s->name);
  close(s->fd);
free_listener:
  pl_listener_stopped(&s->listener);
  return err;
}

const pl_scheme pl_scheme_tcp = {
    .name = "tcp",
    .needs_uv = true,
    .dial = pl_socket_dial,
    .listen = pl_socket_listen,
};

const pl_scheme pl_scheme_unix = {
    .name = "unix",
    .needs_uv = true,
    .dial = pl_socket_dial,
    .listen = pl_socket_listen,
};

// It is there already, and its name stays: both belong to who handed it over.
const pl_scheme pl_scheme_fd = {
    .name = "fd",
    .needs_uv = true,
    .listen = pl_socket_listen,
};
