// Shortest paths over the links of the mesh. Pure: arrays in, arrays out.
//
// Nodes are numbers, given in the order of their ids, so that "the smaller one" means the same
// everywhere. Of two paths the one of less cost is the better, then the one of fewer hops. All
// first steps of paths that are equally good are kept, the smaller nodes first; so a tie is
// resolved in the same way wherever it is computed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "route/router.h"

// Links are directed here: one between two nodes is in it twice.
typedef struct pl_graph {
  uint32_t nodes;
  uint32_t *first;  // [nodes + 1]: links of node i are first[i] up to first[i + 1]
  uint32_t *to;     // [links]
  uint32_t *cost;   // [links], above 0
  bool *relays;     // [nodes]: others can be reached through it
} pl_graph;

typedef struct pl_path {
  uint64_t cost;                    // UINT64_MAX: none
  uint32_t hops;                    // 0: the start itself
  uint32_t next_count;              // 0 for the start, and without a path
  uint32_t next[PL_NEXT_HOPS_MAX];  // nodes, ascending
} pl_path;

#define PL_NO_PATH UINT64_MAX

// Room for a computation, which is kept from one to the next. Zeroed is valid.
typedef struct pl_graph_heap {
  struct pl_graph_step *steps;
  size_t count, cap;
} pl_graph_heap;
void pl_graph_heap_fini(pl_graph_heap *h);

// Paths from `start` to every node; `out` has one for each. The start need not relay.
void pl_graph_paths(const pl_graph *g, uint32_t start, pl_path *out, pl_graph_heap *heap);
// In place of those of more than `most` links puts the best ones that have no more, where there are
// any.
void pl_graph_shorten(const pl_graph *g, uint32_t start, uint32_t most, pl_path *out);
