// Socket addresses and socket options. Internal to link/. Any thread.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "link/url.h"

typedef struct pl_sockaddr {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
  } of;
  socklen_t len;
} pl_sockaddr;

// False when `host` is not an IPv4 or IPv6 address.
bool pl_sockaddr_numeric(pl_sockaddr *out, const char *host, uint16_t port);
// Copies an IPv4 or IPv6 address; false for another family.
bool pl_sockaddr_copy(pl_sockaddr *out, const struct sockaddr *from);
// `path` has at most PL_SUN_PATH_MAX bytes; "@name" is an abstract one.
void pl_sockaddr_unix(pl_sockaddr *out, const char *path);
uint16_t pl_sockaddr_port(const pl_sockaddr *a);
// "tcp://127.0.0.1:4100"
void pl_sockaddr_format(const pl_sockaddr *a, char out[PL_URL_MAX]);

// Options of a connected TCP socket as `url` wants them. Best effort.
void pl_socket_tune(int fd, const pl_url *url, bool local);
// True when the other end is on this machine.
bool pl_socket_is_local(int fd);
// A dial to a free local port can meet itself (simultaneous open): true then.
bool pl_socket_is_self(int fd);
// The user at the other end of a Unix socket, -1 when unknown.
int64_t pl_socket_peer_uid(int fd);
