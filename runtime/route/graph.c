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

// The one of which `way` is all but the last link.
static pl_path longer(const pl_path *way, uint32_t to, uint32_t cost) {
  pl_path step = *way;
  step.cost += cost;
  step.hops++;
  if (step.hops == 1) {
    step.next_count = 1;
    step.next[0] = to;
  }
  return step;
}

// True when it is better than what there was. One that is as good adds its first steps.
static bool take(pl_path *old, const pl_path *step) {
  if (step->cost == old->cost && step->hops == old->hops) {
    merge_next(old, step);
    return false;
  }
  if (step->cost > old->cost || (step->cost == old->cost && step->hops > old->hops)) return false;
  *old = *step;
  return true;
}

static bool leads_on(const pl_graph *g, uint32_t start, uint32_t node) {
  return node == start || g->relays[node];
}

static void begin(const pl_graph *g, uint32_t start, pl_path *out) {
  for (uint32_t i = 0; i < g->nodes; i++)
    out[i] = (pl_path){.cost = PL_NO_PATH};
  out[start].cost = 0;
}

void pl_graph_paths(const pl_graph *g, uint32_t start, pl_path *out, pl_graph_heap *heap) {
  begin(g, start, out);
  heap->count = 0;
  push(heap, (pl_graph_step){.node = start});
  while (heap->count > 0) {
    pl_graph_step s = pop(heap);
    const pl_path *p = &out[s.node];
    if (s.cost != p->cost || s.hops != p->hops) continue;  // a better one was found meanwhile
    if (!leads_on(g, start, s.node)) continue;
    for (uint32_t l = g->first[s.node]; l < g->first[s.node + 1]; l++) {
      uint32_t to = g->to[l];
      pl_path step = longer(p, to, g->cost[l]);
      if (to != start && take(&out[to], &step))
        push(heap, (pl_graph_step){.cost = step.cost, .hops = step.hops, .node = to});
    }
  }
}

// Those of few links.

typedef struct pl_graph_end {
  uint32_t node;
  pl_path path;
} pl_graph_end;

// Goes one link on from `count` ends of paths that all have `hops` links. Returns how many there
// are then, which are better than all of fewer links.
static uint32_t go_on(const pl_graph *g, uint32_t start, uint32_t hops, pl_path *best,
                      pl_graph_end *ends, uint32_t count, uint32_t *reached) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = ends[i].node;
    if (!leads_on(g, start, at)) continue;
    for (uint32_t l = g->first[at]; l < g->first[at + 1]; l++) {
      uint32_t to = g->to[l];
      bool again = best[to].hops == hops + 1;
      pl_path step = longer(&ends[i].path, to, g->cost[l]);
      if (to != start && take(&best[to], &step) && !again) reached[n++] = to;
    }
  }
  for (uint32_t i = 0; i < n; i++)
    ends[i] = (pl_graph_end){reached[i], best[reached[i]]};
  return n;
}

static void shorten(const pl_graph *g, uint32_t start, uint32_t most, pl_path *out) {
  pl_path *best = pl_alloc(g->nodes * sizeof *best);
  pl_graph_end *ends = pl_alloc(g->nodes * sizeof *ends);
  uint32_t *reached = pl_alloc(g->nodes * sizeof *reached);
  begin(g, start, best);
  ends[0] = (pl_graph_end){start, best[start]};
  uint32_t count = 1;
  for (uint32_t hops = 0; hops < most && count > 0; hops++)
    count = go_on(g, start, hops, best, ends, count, reached);
  for (uint32_t i = 0; i < g->nodes; i++) {
    if (out[i].hops > most && best[i].cost != PL_NO_PATH) out[i] = best[i];
  }
  pl_free(reached);
  pl_free(ends);
  pl_free(best);
}

void pl_graph_shorten(const pl_graph *g, uint32_t start, uint32_t most, pl_path *out) {
  for (uint32_t i = 0; i < g->nodes; i++) {
    if (out[i].hops <= most) continue;
    shorten(g, start, most, out);
    return;
  }
}
