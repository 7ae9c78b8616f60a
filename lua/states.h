// The stores of a host: one for the node, one for each script, found by the path of the script, so
// that all its generations and replicas have the same. They outlive all VMs. Loop thread only; the
// stores themselves may be used from any thread.
#pragma once

#include "base/loop.h"
#include "base/store.h"
#include "perilune.h"

typedef struct pl_states pl_states;

pl_states *pl_states_new(pl_loop *loop);
void pl_states_free(pl_states *s);

// From now on stores can be found, with the limit that the options give.
void pl_states_open(pl_states *s, const pl_options *options);

// The store of the script at `path`, of the node with NULL. It is made when first asked for.
pl_store *pl_states_find(pl_states *s, const char *path);

// Sets the gauges and counters of all stores.
void pl_states_count(pl_states *s, pl_metrics *m);
