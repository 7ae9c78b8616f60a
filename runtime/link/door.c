#include "link/door.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "link/socket.h"

typedef struct door {
  pl_listener listener;
  pl_list node;  // in `doors`
  uv_async_t knocked;
  int waiting[PL_DOOR_WAITING];  // descriptors that are not accepted yet
  unsigned count;
} door;

// The doors of all loops of the process. `lock` guards the list, and what waits at a door.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pl_list doors = {&doors, &doors};

static door *find(const char *name) {
  for (pl_list *n = doors.next; n != &doors; n = n->next) {
    door *d = pl_container(n, door, node);
    if (strcmp(d->listener.url.host, name) == 0) return d;
  }
  return NULL;
}

int pl_door_knock(const char *name) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
  int err = 0;
  pthread_mutex_lock(&lock);
  door *d = find(name);
  if (d == NULL) {
    err = -ECONNREFUSED;
  } else if (d->count == PL_DOOR_WAITING) {
    err = -EAGAIN;
  } else {
    d->waiting[d->count++] = ends[1];
    // Inside the lock: the door cannot be closed meanwhile.
    uv_async_send(&d->knocked);
  }
  pthread_mutex_unlock(&lock);
  if (err == 0) return ends[0];
  close(ends[0]);
  close(ends[1]);
  return err;
}

// The oldest that waits; -1: none.
static int take(door *d) {
  pthread_mutex_lock(&lock);
  int fd = d->count == 0 ? -1 : d->waiting[0];
  if (fd >= 0) memmove(d->waiting, d->waiting + 1, --d->count * sizeof *d->waiting);
  pthread_mutex_unlock(&lock);
  return fd;
}

static void on_knock(uv_async_t *async) {
  door *d = pl_container(async, door, knocked);
  for (int fd; !d->listener.closed && (fd = take(d)) >= 0;) {
    int err;
    pl_link *l = pl_socket_accepted(d->listener.loop, &d->listener.url, fd, &err);
    if (l == NULL) {
      d->listener.ops->on_error(&d->listener, PL_IO_ERROR, uv_strerror(err), d->listener.user);
      continue;
    }
    char remote[PL_URL_MAX];
    pl_url_format(&d->listener.url, remote);
    pl_link_set_remote(l, remote);
    d->listener.ops->on_accept(&d->listener, l, d->listener.user);
  }
}

static void on_closed(uv_handle_t *handle) {
  pl_listener_stopped(&pl_container((uv_async_t *)handle, door, knocked)->listener);
}

static void door_stop(pl_listener *l) {
  door *d = pl_container(l, door, listener);
  pthread_mutex_lock(&lock);
  pl_list_remove(&d->node);
  pthread_mutex_unlock(&lock);
  for (int fd; (fd = take(d)) >= 0;)
    close(fd);
  uv_close((uv_handle_t *)&d->knocked, on_closed);
}

static const pl_listener_type door_type = {.stop = door_stop};

static pl_err door_listen(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail) {
  door *d = pl_new(door);
  pl_listener_init(&d->listener, &door_type, loop, url);
  int err = uv_async_init(loop->uv, &d->knocked, on_knock);
  if (err != 0) {
    snprintf(detail, PL_URL_MAX, "%s", uv_strerror(err));
    pl_listener_stopped(&d->listener);
    return PL_IO_ERROR;
  }
  pthread_mutex_lock(&lock);
  bool taken = find(url->host) != NULL;
  if (!taken) pl_list_push(&doors, &d->node);
  pthread_mutex_unlock(&lock);
  if (!taken) {
    *out = &d->listener;
    return PL_OK;
  }
  snprintf(detail, PL_URL_MAX, "door://%.250s is in use", url->host);
  uv_close((uv_handle_t *)&d->knocked, on_closed);
  return PL_ADDRESS_IN_USE;
}

const pl_scheme pl_scheme_door = {
    .name = "door",
    .needs_uv = true,
    .dial = pl_socket_dial,
    .listen = door_listen,
};
