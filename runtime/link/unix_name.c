#include "link/unix_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "link/address.h"

enum { LOCK_TRIES = 50, LOCK_WAIT_NS = 2 * 1000 * 1000 };

static pl_err refuse(char *detail, const pl_url *url, int error, const char *what) {
  snprintf(detail, PL_URL_MAX, "unix://%s: %s", url->host, what);
  return error == EADDRINUSE ? PL_ADDRESS_IN_USE : PL_IO_ERROR;
}

static pl_err refuse_errno(char *detail, const pl_url *url) {
  int error = errno;
  return refuse(detail, url, error, uv_strerror(-error));
}

// Splits the path and opens its directory.
static bool open_dir(pl_unix_name *n, const char *path) {
  char dir[PL_SUN_PATH_MAX + 1] = ".";
  const char *slash = strrchr(path, '/');
  const char *base = slash != NULL ? slash + 1 : path;
  if (slash != NULL) {
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    memcpy(dir, path, len);
    dir[len] = '\0';
  }
  memcpy(n->base, base, strlen(base) + 1);
  n->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (n->dir < 0 && errno == EACCES) n->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return n->dir >= 0;
}

// Two nodes that start at once must not both replace the same stale socket. The lock is on the
// directory, so it leaves nothing behind; where it cannot be had, that race is accepted, because
// otherwise any user of /tmp could keep a node from starting.
static void lock_dir(int dir) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (flock(dir, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_NS}, NULL);
  }
}

// 0 when somebody serves the address, else an errno.
static int probe(const pl_sockaddr *at) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = connect(fd, &at->of.any, at->len) == 0 ? 0 : errno;
  close(fd);
  return error == EAGAIN ? 0 : error;  // its backlog is full
}

// NULL when the name is free now, else why it is not.
static const char *clear_stale(const pl_unix_name *n, const pl_sockaddr *at) {
  struct stat before, now;
  if (fstatat(n->dir, n->base, &before, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? NULL : uv_strerror(-errno);
  if (!S_ISSOCK(before.st_mode)) return "there is a file that is not a socket";
  int error = probe(at);
  if (error == 0) return "another process listens there";
  if (error == ENOENT) return NULL;
  if (error != ECONNREFUSED) return uv_strerror(-error);
  if (before.st_uid != geteuid()) return "there is a socket of another user";
  if (fstatat(n->dir, n->base, &now, AT_SYMLINK_NOFOLLOW) != 0) return NULL;
  if (now.st_dev != before.st_dev || now.st_ino != before.st_ino)
    return "another process just bound it";
  return unlinkat(n->dir, n->base, 0) == 0 ? NULL : uv_strerror(-errno);
}

// The mode is set before the name exists, and completed (the umask) before anybody can connect.
static pl_err bind_path(pl_unix_name *n, int fd, const pl_url *url, char *detail) {
  pl_sockaddr at;
  pl_sockaddr_unix(&at, url->host);
  fchmod(fd, (mode_t)url->mode);
  int result = bind(fd, &at.of.any, at.len);
  if (result != 0 && errno == EADDRINUSE) {
    const char *why = clear_stale(n, &at);
    if (why != NULL) return refuse(detail, url, EADDRINUSE, why);
    result = bind(fd, &at.of.any, at.len);
  }
  if (result != 0) return refuse_errno(detail, url);

  struct stat made;
  if (fstatat(n->dir, n->base, &made, AT_SYMLINK_NOFOLLOW) != 0) return refuse_errno(detail, url);
  n->dev = made.st_dev;
  n->ino = made.st_ino;
  bool exact = (made.st_mode & 0777) == url->mode;
  if (!exact && fchmodat(n->dir, n->base, (mode_t)url->mode, 0) != 0)
    return refuse_errno(detail, url);
  return listen(fd, (int)url->backlog) == 0 ? PL_OK : refuse_errno(detail, url);
}

static pl_err listen_abstract(int fd, const pl_url *url, char *detail) {
  pl_sockaddr at;
  pl_sockaddr_unix(&at, url->host);
  if (bind(fd, &at.of.any, at.len) != 0 || listen(fd, (int)url->backlog) != 0)
    return refuse_errno(detail, url);
  return PL_OK;
}

pl_err pl_unix_name_listen(pl_unix_name *out, int fd, const pl_url *url, char *detail) {
  pl_unix_name n = {.dir = -1};
  pl_err err = PL_OK;
  if (url->host[0] == '@') {
    err = listen_abstract(fd, url, detail);
  } else if (!open_dir(&n, url->host)) {
    err = refuse_errno(detail, url);
  } else {
    lock_dir(n.dir);
    err = bind_path(&n, fd, url, detail);
    flock(n.dir, LOCK_UN);
  }
  if (err == PL_OK)
    *out = n;
  else
    pl_unix_name_remove(&n);
  return err;
}

void pl_unix_name_remove(pl_unix_name *n) {
  if (n->dir < 0) return;
  struct stat now;
  if (n->ino != 0 && fstatat(n->dir, n->base, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISSOCK(now.st_mode) && now.st_dev == n->dev && now.st_ino == n->ino)
    unlinkat(n->dir, n->base, 0);
  close(n->dir);
  n->dir = -1;
}
