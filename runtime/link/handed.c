#include "link/handed.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/address.h"
#include "link/link.h"

enum { FIRST = 3, DIGITS_MAX = 6 };

static pl_err refuse(char *detail, const pl_url *url, const char *why) {
  snprintf(detail, PL_URL_MAX, "fd://%.32s: %s", url->host, why);
  return PL_INVALID;
}

static int option(int fd, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

// A socket of this process itself, whatever for, is closed when it starts another program; one that
// came with the start is not.
static const char *find(int *fd, const pl_url *url) {
  size_t len = strlen(url->host);
  if (len == 0 || len > DIGITS_MAX || strspn(url->host, "0123456789") != len)
    return "a number of a descriptor is expected";
  *fd = (int)strtol(url->host, NULL, 10);
  int flags = fcntl(*fd, F_GETFD);
  if (*fd < FIRST || flags < 0 || (flags & FD_CLOEXEC) != 0)
    return "no such descriptor was handed to this process";
  if (option(*fd, SO_TYPE) != SOCK_STREAM || option(*fd, SO_ACCEPTCONN) != 1)
    return "that is no listening stream socket";
  return NULL;
}

// Both families at one port read as "*", as of a listener that is opened here.
static bool set_tcp(pl_url *out, const pl_sockaddr *at, int fd) {
  char text[PL_URL_MAX];
  const char *why;
  pl_url url;
  pl_sockaddr_format(at, text);
  if (pl_url_parse(&url, text, &why) != PL_OK) return false;
  int only_v6 = 1;
  socklen_t len = sizeof only_v6;
  getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &len);
  if (strcmp(url.host, "::") == 0 && only_v6 == 0) snprintf(url.host, sizeof url.host, "*");
  memcpy(out->scheme, url.scheme, sizeof out->scheme);
  memcpy(out->host, url.host, sizeof out->host);
  out->port = url.port;
  return true;
}

static bool set_unix(pl_url *out, const pl_sockaddr *at) {
  size_t head = offsetof(struct sockaddr_un, sun_path);
  if (at->len <= head) return false;
  size_t len = at->len - head;
  const char *path = at->of.un.sun_path;
  bool abstract = path[0] == '\0';
  if (!abstract) len = strnlen(path, len);
  if (memchr(path + 1, '\0', len - 1) != NULL) return false;
  snprintf(out->scheme, sizeof out->scheme, "unix");
  snprintf(out->host, sizeof out->host, "%s%.*s", abstract ? "@" : "", (int)(len - abstract),
           path + abstract);
  return true;
}

static const char *look(int *fd, pl_url *out, const pl_url *url) {
  const char *why = find(fd, url);
  if (why != NULL) return why;
  pl_sockaddr at = {.len = sizeof at.of};
  if (getsockname(*fd, &at.of.any, &at.len) != 0) return "it has no address";
  pl_url place = *url;  // with its options
  bool is_unix = at.of.any.sa_family == AF_UNIX;
  bool is_tcp = at.of.any.sa_family == AF_INET || at.of.any.sa_family == AF_INET6;
  if (!(is_unix && set_unix(&place, &at)) && !(is_tcp && set_tcp(&place, &at, *fd)))
    return "it is neither a TCP nor a Unix socket with a name";
  *out = place;
  return NULL;
}

pl_err pl_handed_take(int *fd, pl_url *out, const pl_url *url, char *detail) {
  const char *why = look(fd, out, url);
  if (why != NULL) return refuse(detail, url, why);
  fcntl(*fd, F_SETFD, FD_CLOEXEC);
  fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK);
  return PL_OK;
}

pl_err pl_listener_place(pl_url *out, const pl_url *url, char *detail) {
  int fd;
  pl_url place = *url;
  const char *why = strcmp(url->scheme, "fd") == 0 ? look(&fd, &place, url) : NULL;
  if (why != NULL) return refuse(detail, url, why);
  *out = place;
  return PL_OK;
}
