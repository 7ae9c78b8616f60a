#include "sim/topology.h"

#include <string.h>

#include "base/mem.h"

static const char *const names[] = {
    [PL_TOPOLOGY_LINE] = "line", [PL_TOPOLOGY_RING] = "ring", [PL_TOPOLOGY_STAR] = "star",
    [PL_TOPOLOGY_TREE] = "tree", [PL_TOPOLOGY_FULL] = "full", [PL_TOPOLOGY_RANDOM] = "random",
};

bool pl_topology_parse(pl_topology *out, const char *name) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) != 0) continue;
    *out = (pl_topology)i;
    return true;
  }
  return false;
}

const char *pl_topology_name(pl_topology t) {
  return names[t];
}

typedef struct list {
  pl_edge *edges;
  size_t count;
  pl_random *random;
} list;

// Either end may be the one that dials.
static void add(list *l, unsigned a, unsigned b) {
  bool turned = pl_random_below(l->random, 2) == 0;
  l->edges[l->count++] = turned ? (pl_edge){.from = b, .to = a} : (pl_edge){.from = a, .to = b};
}

static bool has(const list *l, unsigned a, unsigned b) {
  for (size_t i = 0; i < l->count; i++) {
    const pl_edge *e = &l->edges[i];
    if ((e->from == a && e->to == b) || (e->from == b && e->to == a)) return true;
  }
  return false;
}

// What node `i` hangs on, of those before it.
static unsigned parent_of(const list *l, pl_topology t, unsigned i) {
  switch (t) {
    case PL_TOPOLOGY_STAR: return 0;
    case PL_TOPOLOGY_TREE: return (i - 1) / 2;
    case PL_TOPOLOGY_RANDOM: return (unsigned)pl_random_below(l->random, i);
    case PL_TOPOLOGY_LINE:
    case PL_TOPOLOGY_RING:
    case PL_TOPOLOGY_FULL: break;
  }
  return i - 1;
}

static void add_random(list *l, unsigned nodes) {
  for (unsigned i = 0; i < nodes / 2; i++) {
    unsigned a = (unsigned)pl_random_below(l->random, nodes);
    unsigned b = (unsigned)pl_random_below(l->random, nodes);
    if (a != b && !has(l, a, b)) add(l, a, b);
  }
}

size_t pl_topology_make(pl_edge **out, pl_topology t, unsigned nodes, pl_random *random) {
  size_t most = t == PL_TOPOLOGY_FULL ? (size_t)nodes * (nodes - 1) / 2 : (size_t)nodes * 2;
  list l = {.edges = pl_alloc(most * sizeof(pl_edge)), .random = random};
  if (t == PL_TOPOLOGY_FULL) {
    for (unsigned a = 0; a < nodes; a++) {
      for (unsigned b = a + 1; b < nodes; b++)
        add(&l, a, b);
    }
  } else {
    for (unsigned i = 1; i < nodes; i++)
      add(&l, parent_of(&l, t, i), i);
    if (t == PL_TOPOLOGY_RING && nodes > 2) add(&l, nodes - 1, 0);
    if (t == PL_TOPOLOGY_RANDOM) add_random(&l, nodes);
  }
  *out = l.edges;
  return l.count;
}
