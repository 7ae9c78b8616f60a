// The file of one store: read when the store is made, and written off the loop, in one step, when
// it has changed. Loop thread only.
#pragma once

#include "base/store.h"
#include "lua/filework.h"

typedef struct pl_statefile pl_statefile;

// `path` is copied; `store` outlives it. Nothing is read yet.
pl_statefile *pl_statefile_new(pl_loop *loop, pl_store *store, const char *path);
// Not while it is being saved.
void pl_statefile_free(pl_statefile *f);

// Fills the empty store; blocks. It is fine that there is no file. IO_ERROR, INVALID or TOO_LARGE
// with `detail` (PL_URL_MAX bytes), which says what to do; the store is empty then.
pl_err pl_statefile_load(pl_statefile *f, char *detail);

// Whether the store has changed since it was read or saved.
bool pl_statefile_is_behind(const pl_statefile *f);

// Begins to save it. `done` follows once, from the loop: 0, or a negative errno, and the file is as
// it was.
void pl_statefile_save(pl_statefile *f, pl_fileport *port,
                       void (*done)(pl_statefile *f, int error, void *user), void *user);
bool pl_statefile_is_saving(const pl_statefile *f);
const char *pl_statefile_path(const pl_statefile *f);
