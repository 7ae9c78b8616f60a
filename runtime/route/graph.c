#include "route/graph.h"

#include <string.h>

#include "base/mem.h"

typedef struct pl_graph_step {
  uint64_t cost;
  uint32_t hops;
  uint32_t node;
} pl_graph_step;

void pl_graph_heap_fini(pl_graph_heap *h) {
  pl_free(h->steps);
  *h = (pl_graph_heap){0};
}

static bool before(const pl_graph_step *a, const pl_graph_step *b) {
  if (a->cost != b->cost) return a->cost < b->cost;
  if (a->hops != b->hops) return a->hops < b->hops;
  return a->node < b->node;
}

static void grow(pl_graph_heap *h) {
  size_t cap = h->cap == 0 ? 64 : h->cap * 2;
  pl_graph_step *steps = pl_alloc(cap * sizeof *steps);
  if (h->count > 0) memcpy(steps, h->steps, h->count * sizeof *steps);
  pl_free(h->steps);
  h->steps = steps;
  h->cap = cap;
}

static void push(pl_graph_heap *h, pl_graph_step s) {
  if (h->count == h->cap) grow(h);
  size_t at = h->count++;
  for (; at > 0 && before(&s, &h->steps[(at - 1) / 2]); at = (at - 1) / 2)
    h->steps[at] = h->steps[(at - 1) / 2];
  h->steps[at] = s;
}

static pl_graph_step pop(pl_graph_heap *h) {
  pl_graph_step top = h->steps[0];
  pl_graph_step s = h->steps[--h->count];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= h->count) break;
    if (child + 1 < h->count && before(&h->steps[child + 1], &h->steps[child])) child++;
    if (!before(&h->steps[child], &s)) break;
    h->steps[at] = h->steps[child];
    at = child;
  }
  h->steps[at] = s;
  return top;
}

// Both are ascending; of the union the smallest are kept.
static void merge_next(pl_path *into, const pl_path *from) {
  pl_path a = *into;
  uint32_t i = 0, j = 0, n = 0;
  while (n < PL_NEXT_HOPS_MAX && (i < a.next_count || j < from->next_count)) {
    bool left = j == from->next_count || (i < a.next_count && a.next[i] <= from->next[j]);
    uint32_t node = left ? a.next[i] : from->next[j];
    if (i < a.next_count && a.next[i] == node) i++;
    if (j < from->next_count && from->next[j] == node) j++;
    into->next[n++] = node;
  }
  into->next_count = n;
}

// A path to `to` through `at`, which is settled.
static void relax(pl_path *out, uint32_t start, uint32_t at, uint32_t to, uint32_t cost,
                  pl_graph_heap *heap) {
  pl_path *old = &out[to];
  pl_path step = out[at];
  step.cost += cost;
  step.hops++;
  if (at == start) {
    step.next_count = 1;
    step.next[0] = to;
  }
  if (step.cost == old->cost && step.hops == old->hops) {
    merge_next(old, &step);
  } else if (step.cost < old->cost || (step.cost == old->cost && step.hops < old->hops)) {
    *old = step;
    push(heap, (pl_graph_step){.cost = step.cost, .hops = step.hops, .node = to});
  }
}

void pl_graph_paths(const pl_graph *g, uint32_t start, pl_path *out, pl_graph_heap *heap) {
  for (uint32_t i = 0; i < g->nodes; i++)
    out[i] = (pl_path){.cost = PL_NO_PATH};
  out[start].cost = 0;
  heap->count = 0;
  push(heap, (pl_graph_step){.node = start});
  while (heap->count > 0) {
    pl_graph_step s = pop(heap);
    const pl_path *p = &out[s.node];
    if (s.cost != p->cost || s.hops != p->hops) continue;  // a better one was found meanwhile
    if (s.node != start && !g->relays[s.node]) continue;
    for (uint32_t l = g->first[s.node]; l < g->first[s.node + 1]; l++) {
      if (g->to[l] != start) relax(out, start, s.node, g->to[l], g->cost[l], heap);
    }
  }
}
