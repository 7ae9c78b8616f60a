#include "lua/fdwait.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

struct pl_fdwait {
  uv_poll_t poll;  // on `epoll`, which alone is made non-blocking
  int epoll;
  void (*ready)(void *user);
  void *user;
};

// An epoll instance that watches `fd`, or a negative errno.
static int watch(int fd, uint32_t events) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return -errno;
  struct epoll_event event = {.events = events};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return epoll;
  int err = -errno;
  close(epoll);
  return err;
}

bool pl_fdwait_possible(int fd) {
  int epoll = watch(fd, EPOLLIN);
  if (epoll >= 0) close(epoll);
  return epoll >= 0;
}

static void on_closed(uv_handle_t *handle) {
  pl_fdwait *w = pl_container((uv_poll_t *)handle, pl_fdwait, poll);
  close(w->epoll);
  pl_free(w);
}

void pl_fdwait_stop(pl_fdwait *w) {
  uv_close((uv_handle_t *)&w->poll, on_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)status;  // whatever happened, the system call that follows tells it
  (void)events;
  pl_fdwait *w = pl_container(poll, pl_fdwait, poll);
  void (*ready)(void *user) = w->ready;
  void *user = w->user;
  pl_fdwait_stop(w);
  ready(user);
}

int pl_fdwait_start(pl_fdwait **out, pl_loop *loop, int fd, int events, void (*ready)(void *user),
                    void *user) {
  assert(loop->uv != NULL);
  int epoll = watch(fd, events == UV_READABLE ? EPOLLIN : EPOLLOUT);
  if (epoll < 0) return epoll;
  pl_fdwait *w = pl_new(pl_fdwait);
  w->epoll = epoll;
  w->ready = ready;
  w->user = user;
  int rc = uv_poll_init(loop->uv, &w->poll, epoll);
  if (rc != 0) {
    close(epoll);
    pl_free(w);
    return rc;
  }
  // Whichever event the inner instance has, the outer one sees it as readable. Starting cannot
  // fail for a handle that was just made.
  rc = uv_poll_start(&w->poll, UV_READABLE, on_poll);
  assert(rc == 0);
  *out = w;
  return 0;
}
