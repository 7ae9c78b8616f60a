// The local mesh: nodes of one user on one machine find each other through the sockets in a
// directory that only that user can write. Nothing in it is trusted that another user could have
// put there. Loop thread only.
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"

typedef struct pl_local_mesh pl_local_mesh;

// A name of a local mesh is one of a folder: 1 to 32 bytes, no '/', no '.' in front.
bool pl_local_mesh_name_is_valid(const char *name);

typedef struct pl_local_mesh_ops {
  // The nodes that this one should be connected to, as unix:// addresses, in no order: at most
  // PL_LOCAL_DIALS, chosen by id so that the graph of all nodes stays connected. Called from the
  // loop after every change of the directory.
  void (*on_neighbours)(const char *const *urls, size_t count, void *user);
} pl_local_mesh_ops;

// Opens (and makes, mode 0700) the directory of mesh `name`: $XDG_RUNTIME_DIR/perilune/NAME, else
// /tmp/perilune-UID/NAME. PL_FORBIDDEN when it belongs to someone else or others can write it;
// PL_INVALID for a name with a slash and the like; `detail` (PL_URL_MAX bytes) says what is wrong.
pl_err pl_local_mesh_open(pl_local_mesh **out, pl_loop *loop, const char *name, const pl_id *self,
                          const pl_local_mesh_ops *ops, void *user, char *detail);
// Stops watching and frees it, from the loop.
void pl_local_mesh_close(pl_local_mesh *m);

// Looks now; on_neighbours follows before this returns? No: *count and urls are filled here, for
// the first dials. `urls` has room for PL_LOCAL_DIALS pointers, valid until the next look.
size_t pl_local_mesh_look(pl_local_mesh *m, const char **urls);

// Address of this node's own socket there: unix:///…/<id>.sock
const char *pl_local_mesh_url(const pl_local_mesh *m);
