// The stores of a host: one for the node, one for each script, found by the path of the script, so
// that all its generations and replicas have the same. They outlive all VMs. With a folder they are
// read from files there, and saved to them within a second after a change, and at the end. Loop
// thread only; the stores themselves may be used from any thread.
#pragma once

#include "base/loop.h"
#include "base/store.h"
#include "perilune.h"

typedef struct pl_states pl_states;

pl_states *pl_states_new(pl_loop *loop);
// After pl_states_close was done, or when it was never opened.
void pl_states_free(pl_states *s);

// From now on stores can be found, as state_limit and state_dir say; once more does nothing. An
// error with `detail` (PL_URL_MAX bytes) when the folder cannot be used, or another process does.
pl_err pl_states_open(pl_states *s, const pl_options *options, char *detail);

// The store of the script at `path`, of the node with NULL. It is made when first asked for, and
// filled from its file: an error with `detail` when that cannot be used, and it is left as it is.
pl_err pl_states_find(pl_store **out, pl_states *s, const char *path, char *detail);

// Saves what is not saved yet. `done` follows once, from the loop; false: something could not be
// saved, which has been logged. Nobody changes a store any more.
void pl_states_close(pl_states *s, void (*done)(bool saved, void *user), void *user);

// Sets the gauges and counters of all stores.
void pl_states_count(pl_states *s, pl_metrics *m);
