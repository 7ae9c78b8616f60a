// Who dials whom in a simulated mesh. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"

typedef enum pl_topology {
  PL_TOPOLOGY_LINE,
  PL_TOPOLOGY_RING,
  PL_TOPOLOGY_STAR,
  PL_TOPOLOGY_TREE,
  PL_TOPOLOGY_FULL,
  PL_TOPOLOGY_RANDOM,  // a tree, and half as many links again
} pl_topology;

typedef struct pl_edge {
  unsigned from, to;  // `from` dials
  bool both;          // and so does `to`
  bool down;          // both are for those who change them
} pl_edge;

// "line" …
bool pl_topology_parse(pl_topology *out, const char *name);
const char *pl_topology_name(pl_topology t);

// A connected graph of `nodes`; *out is the caller's to free. Returns the number of edges.
size_t pl_topology_make(pl_edge **out, pl_topology t, unsigned nodes, pl_random *random);
