// Listening sockets that this process was given by who started it: fd://3 is descriptor 3. Internal
// to link/; others see pl_listener_place. Loop thread only.
#pragma once

#include "link/url.h"

// Takes the socket at fd://N, which nothing else can be given from then on: its descriptor, and in
// *out where it is bound. PL_INVALID with `detail` (PL_URL_MAX bytes): it is no listening stream
// socket, or was not handed over. The descriptor is then untouched.
pl_err pl_handed_take(int *fd, pl_url *out, const pl_url *url, char *detail);
