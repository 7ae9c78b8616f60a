// Addresses of the mesh: tcp://host:port, unix:///path, unix://@abstract, mem://name, and for the
// threads of one process door://name. A listener may also be fd://3, a socket that the process was
// given at its start.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

typedef struct pl_url {
  char scheme[8];
  char host[256];  // tcp: name or address, IPv6 without brackets; unix: path; mem: name
  uint16_t port;   // tcp
  // Options after '?':
  // ?cost=0.005&nodelay=0&keepalive=30&backlog=64&reuseport=1&mode=0660&bind=127.0.0.1&user_timeout=20
  bool nodelay;             // tcp, default true
  uint32_t keepalive_s;     // tcp, 0 = off (default)
  uint32_t user_timeout_s;  // tcp, 0 = the system's
  uint32_t backlog;         // default PL_BACKLOG
  bool reuseport;           // tcp listener
  uint32_t mode;            // unix listener, default 0600
  char bind[64];            // tcp dial: local address, "" = any
  uint32_t cost_us;         // of a link from or to there, as in ?cost=0.005; 0 = not given
} pl_url;

// PL_INVALID with *why set to a static text that says what is wrong.
pl_err pl_url_parse(pl_url *out, const char *text, const char **why);
// PL_INVALID, with *why as above, for what one can listen on but not dial: any port, any host.
pl_err pl_url_check_dial(const pl_url *url, const char **why);
// The address as one would dial it, without options; IPv6 in brackets. `out` holds PL_URL_MAX.
void pl_url_format(const pl_url *url, char out[PL_URL_MAX]);
// True when only this machine can reach a listener there: loopback, unix, mem, door.
bool pl_url_is_local(const pl_url *url);
