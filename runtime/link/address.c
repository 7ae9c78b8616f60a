#include "link/address.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

bool pl_sockaddr_numeric(pl_sockaddr *out, const char *host, uint16_t port) {
  pl_sockaddr a = {0};
  if (uv_ip4_addr(host, port, &a.of.v4) == 0) {
    a.len = sizeof a.of.v4;
  } else if (uv_ip6_addr(host, port, &a.of.v6) == 0) {
    a.len = sizeof a.of.v6;
  } else {
    return false;
  }
  *out = a;
  return true;
}

bool pl_sockaddr_copy(pl_sockaddr *out, const struct sockaddr *from) {
  pl_sockaddr a = {0};
  if (from->sa_family == AF_INET)
    a.len = sizeof a.of.v4;
  else if (from->sa_family == AF_INET6)
    a.len = sizeof a.of.v6;
  else
    return false;
  memcpy(&a.of, from, a.len);
  *out = a;
  return true;
}

void pl_sockaddr_unix(pl_sockaddr *out, const char *path) {
  *out = (pl_sockaddr){.of.un.sun_family = AF_UNIX};
  size_t len = strlen(path);
  memcpy(out->of.un.sun_path, path, len);
  if (path[0] == '@')
    out->of.un.sun_path[0] = '\0';  // the length ends an abstract name, not a NUL
  else
    len++;
  out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

uint16_t pl_sockaddr_port(const pl_sockaddr *a) {
  if (a->of.any.sa_family == AF_INET) return ntohs(a->of.v4.sin_port);
  return a->of.any.sa_family == AF_INET6 ? ntohs(a->of.v6.sin6_port) : 0;
}

static bool is_mapped(const pl_sockaddr *a) {
  return a->of.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->of.v6.sin6_addr);
}

// The IPv4 address, also of a mapped one; 0 when there is none.
static in_addr_t v4_of(const pl_sockaddr *a) {
  if (a->of.any.sa_family == AF_INET) return a->of.v4.sin_addr.s_addr;
  in_addr_t mapped = 0;
  if (is_mapped(a)) memcpy(&mapped, a->of.v6.sin6_addr.s6_addr + 12, sizeof mapped);
  return mapped;
}

void pl_sockaddr_format(const pl_sockaddr *a, char out[PL_URL_MAX]) {
  char text[INET6_ADDRSTRLEN] = "";
  struct in_addr v4 = {v4_of(a)};
  if (a->of.any.sa_family == AF_INET || is_mapped(a)) {
    inet_ntop(AF_INET, &v4, text, sizeof text);
    snprintf(out, PL_URL_MAX, "tcp://%s:%u", text, pl_sockaddr_port(a));
  } else {
    inet_ntop(AF_INET6, &a->of.v6.sin6_addr, text, sizeof text);
    snprintf(out, PL_URL_MAX, "tcp://[%s]:%u", text, pl_sockaddr_port(a));
  }
}

static bool same_host(const pl_sockaddr *a, const pl_sockaddr *b) {
  if (v4_of(a) != v4_of(b)) return false;
  if (v4_of(a) != 0) return true;
  return memcmp(&a->of.v6.sin6_addr, &b->of.v6.sin6_addr, sizeof a->of.v6.sin6_addr) == 0;
}

static bool is_loopback(const pl_sockaddr *a) {
  if (ntohl(v4_of(a)) >> 24 == 127) return true;
  return a->of.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->of.v6.sin6_addr);
}

// Both ends of a TCP socket.
static bool ends_of(int fd, pl_sockaddr *here, pl_sockaddr *there) {
  *here = *there = (pl_sockaddr){.len = sizeof here->of};
  return getsockname(fd, &here->of.any, &here->len) == 0 &&
         getpeername(fd, &there->of.any, &there->len) == 0;
}

bool pl_socket_is_local(int fd) {
  pl_sockaddr here, there;
  if (!ends_of(fd, &here, &there)) return false;
  if (here.of.any.sa_family == AF_UNIX) return true;
  return is_loopback(&there) || same_host(&here, &there);
}

bool pl_socket_is_self(int fd) {
  pl_sockaddr here, there;
  return ends_of(fd, &here, &there) && same_host(&here, &there) &&
         pl_sockaddr_port(&here) == pl_sockaddr_port(&there);
}

int64_t pl_socket_peer_uid(int fd) {
  struct ucred cred;
  socklen_t len = sizeof cred;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) return -1;
  return (int64_t)cred.uid;
}

static void set_int(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

static void set_keepalive(int fd, int seconds) {
  enum { PROBES = 3 };
  int between = seconds / PROBES > 0 ? seconds / PROBES : 1;
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, between);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
}

// BBR paces what it sends, which halves the rate on loopback.
static void avoid_bbr(int fd) {
  char name[16] = "";
  socklen_t len = sizeof name - 1;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) != 0) return;
  if (strncmp(name, "bbr", 3) != 0) return;
  static const char *const others[] = {"cubic", "reno"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    socklen_t n = (socklen_t)strlen(others[i]);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, others[i], n) == 0) return;
  }
}

void pl_socket_tune(int fd, const pl_url *url, bool local) {
  if (url->nodelay) set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (url->keepalive_s > 0) set_keepalive(fd, (int)url->keepalive_s);
  if (url->user_timeout_s > 0)
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(url->user_timeout_s * 1000));
  if (local) avoid_bbr(fd);
}
