// Links over sockets: TCP and Unix are both a stream of libuv. Internal to link/. Loop thread only.
#pragma once

#include "link/link_impl.h"

// A link over an accepted connection, with the options of the listener's `url`. Owns `fd`
// whatever happens. NULL: the system refused, *err (a libuv value) says why.
pl_link *pl_socket_accepted(pl_loop *loop, const pl_url *url, int fd, int *err);

// Starts to connect; schemes tcp, unix and door.
pl_err pl_socket_dial(pl_link **out, pl_loop *loop, const pl_url *url);
// Binds and listens; schemes tcp and unix.
pl_err pl_socket_listen(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail);
