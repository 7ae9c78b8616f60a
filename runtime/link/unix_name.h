// The name of a Unix listener in the file system: who may take it, and giving it back. Internal to
// link/.
#pragma once

#include <sys/types.h>

#include "link/url.h"

// Remembers the directory itself, so that a change of the working directory does not matter.
typedef struct pl_unix_name {
  int dir;  // -1: an abstract name, or none
  char base[PL_SUN_PATH_MAX + 1];
  dev_t dev;
  ino_t ino;
} pl_unix_name;

// Binds `fd` to url->host and starts to listen. A socket there that nobody serves is replaced if it
// is ours; everything else is left alone. ADDRESS_IN_USE, IO_ERROR with `detail` (PL_URL_MAX
// bytes).
pl_err pl_unix_name_listen(pl_unix_name *out, int fd, const pl_url *url, char *detail);

// Removes the name if it is still the socket that was made, and forgets it.
void pl_unix_name_remove(pl_unix_name *n);
