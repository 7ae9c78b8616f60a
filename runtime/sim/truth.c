// What every node should see, worked out from the links that should be there, and whether it does.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

// The links of all nodes, one list behind the other: those of node i are [first[i], first[i + 1]).
struct pl_truth {
  unsigned *first, *neighbours;
  size_t *edge;        // of the link to that neighbour
  unsigned *queue;     // of a search
  unsigned *distance;  // from where the last one began; PL_SIM_FAR: too far, or no path
  uint16_t *next;      // by node and destination: the first step, as the node says; or NOBODY
  uint8_t *seen;       // by node: how often the one looked at has told it,
  uint8_t *actions;    // and its actions, a bit each
  unsigned doubt;      // the node that was wrong last: looked at first
};

enum { NOBODY = UINT16_MAX };

static void link_up(pl_truth *t, unsigned *at, unsigned a, unsigned b, size_t edge) {
  unsigned place = t->first[a] + at[a]++;
  t->neighbours[place] = b;
  t->edge[place] = edge;
}

void pl_truth_make(pl_sim *s) {
  pl_truth *t = pl_new(pl_truth);
  s->truth = t;
  t->first = pl_alloc((s->count + 1) * sizeof *t->first);
  t->neighbours = pl_alloc(s->edge_count * 2 * sizeof *t->neighbours);
  t->edge = pl_alloc(s->edge_count * 2 * sizeof *t->edge);
  t->queue = pl_alloc(s->count * sizeof *t->queue);
  t->distance = pl_alloc(s->count * sizeof *t->distance);
  t->next = pl_alloc((size_t)s->count * s->count * sizeof *t->next);
  t->seen = pl_alloc(s->count);
  t->actions = pl_alloc(s->count);
  for (size_t i = 0; i < s->edge_count; i++) {
    t->first[s->edges[i].from + 1]++;
    t->first[s->edges[i].to + 1]++;
  }
  for (unsigned i = 0; i < s->count; i++)
    t->first[i + 1] += t->first[i];
  unsigned *at = pl_alloc(s->count * sizeof *at);
  for (size_t i = 0; i < s->edge_count; i++) {
    link_up(t, at, s->edges[i].from, s->edges[i].to, i);
    link_up(t, at, s->edges[i].to, s->edges[i].from, i);
  }
  pl_free(at);
}

void pl_truth_free(pl_sim *s) {
  pl_truth *t = s->truth;
  pl_free(t->first);
  pl_free(t->neighbours);
  pl_free(t->edge);
  pl_free(t->queue);
  pl_free(t->distance);
  pl_free(t->next);
  pl_free(t->seen);
  pl_free(t->actions);
  pl_free(t);
}

const unsigned *pl_truth_distances(pl_sim *s, const pl_sim_node *from) {
  pl_truth *t = s->truth;
  for (unsigned i = 0; i < s->count; i++)
    t->distance[i] = PL_SIM_FAR;
  unsigned head = 0, tail = 0;
  t->distance[from->number] = 0;
  t->queue[tail++] = from->number;
  while (head < tail) {
    unsigned at = t->queue[head++];
    if (t->distance[at] == PL_HOPS_MAX) break;
    const pl_sim_node *n = &s->nodes[at];
    if (n != from && (n->leaf || !n->relay)) continue;  // no way leads through it
    for (unsigned k = t->first[at]; k < t->first[at + 1]; k++) {
      unsigned to = t->neighbours[k];
      if (t->distance[to] != PL_SIM_FAR || s->nodes[to].node == NULL) continue;
      if (s->edges[t->edge[k]].down) continue;
      if (s->nodes[to].leaf && n != from) continue;  // only its neighbours know of it
      t->distance[to] = t->distance[at] + 1;
      t->queue[tail++] = to;
    }
  }
  return t->distance;
}

// What one node says it sees.
typedef struct view {
  pl_sim *sim;
  const pl_sim_node *from;
  char *why;  // PL_SIM_WHY bytes
} view;

static void complain(view *v, const char *what, const char *name) {
  if (v->why[0] == '\0') snprintf(v->why, PL_SIM_WHY, "n%u %s %s", v->from->number, what, name);
}

// Nodes are told apart by their ids, which change when they restart.
static const pl_sim_node *node_of(const pl_sim *s, const char *name, const pl_id *id) {
  unsigned long number = name[0] == 'n' ? strtoul(name + 1, NULL, 10) : s->count;
  if (number >= s->count) return NULL;
  const pl_sim_node *n = &s->nodes[number];
  return n->node != NULL && pl_id_equal(pl_node_id(n->node), id) ? n : NULL;
}

// The neighbour of that id.
static uint16_t neighbour_of(const view *v, const pl_id *id) {
  const pl_truth *t = v->sim->truth;
  for (unsigned k = t->first[v->from->number]; k < t->first[v->from->number + 1]; k++) {
    const pl_sim_node *n = &v->sim->nodes[t->neighbours[k]];
    if (n->node != NULL && pl_id_equal(pl_node_id(n->node), id)) return (uint16_t)n->number;
  }
  return NOBODY;
}

static void see_node(const pl_node_info *info, void *user) {
  view *v = user;
  pl_truth *t = v->sim->truth;
  if (v->why[0] != '\0' || (info->hops > 0 && strcmp(info->state, "up") != 0)) return;
  const pl_sim_node *n = node_of(v->sim, info->name, &info->id);
  if (n == NULL) {
    complain(v, "still sees a node that is gone, called", info->name);
    return;
  }
  t->seen[n->number]++;
  unsigned distance = t->distance[n->number];
  if (distance == PL_SIM_FAR) complain(v, "sees, but cannot reach,", info->name);
  // Where no path ever was slow, all links are alike.
  bool right = v->sim->uneven ? info->hops >= distance : info->hops == distance;
  if (!right) complain(v, "takes a detour to", info->name);
  if (info->draining) complain(v, "thinks that a node stops:", info->name);
  if (info->leaf != n->leaf) complain(v, "is wrong about being a leaf of", info->name);
  if (info->hops == 0) return;
  uint16_t next = neighbour_of(v, &info->via);
  t->next[(size_t)v->from->number * v->sim->count + n->number] = next;
  if (next == NOBODY) complain(v, "goes by who is no neighbour, to", info->name);
}

static void see_action(const pl_action_info *info, void *user) {
  view *v = user;
  if (v->why[0] != '\0') return;
  const pl_sim_node *n = node_of(v->sim, info->provider_name, &info->provider);
  if (n == NULL) {
    complain(v, "still sees an action of a node that is gone,", info->provider_name);
    return;
  }
  for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
    const char *name = pl_sim_action_names[kind];
    if (info->name.len == strlen(name) && memcmp(info->name.data, name, info->name.len) == 0)
      v->sim->truth->actions[n->number] |= (uint8_t)(1U << kind);
  }
}

static void compare(view *v) {
  const pl_truth *t = v->sim->truth;
  for (unsigned i = 0; i < v->sim->count && v->why[0] == '\0'; i++) {
    const pl_sim_node *n = &v->sim->nodes[i];
    if (t->distance[i] == PL_SIM_FAR) {
      if (t->actions[i] != 0) complain(v, "sees actions of", n->name);
      continue;
    }
    if (t->seen[i] == 0) complain(v, "does not see", n->name);
    if (t->seen[i] > 1) complain(v, "sees twice", n->name);
    for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
      bool seen = (t->actions[i] >> kind & 1) != 0;
      if (seen && !n->actions[kind].provided)
        complain(v, "still sees a withdrawn action of", n->name);
      if (!seen && n->actions[kind].provided) complain(v, "does not see an action of", n->name);
    }
  }
}

static bool sees_truth(pl_sim *s, pl_sim_node *n, char *why) {
  pl_truth *t = s->truth;
  if (n->node == NULL) {
    snprintf(why, PL_SIM_WHY, "n%u does not run", n->number);
    return false;
  }
  pl_truth_distances(s, n);
  memset(t->seen, 0, s->count);
  memset(t->actions, 0, s->count);
  memset(&t->next[(size_t)n->number * s->count], 0xff, s->count * sizeof *t->next);
  view v = {s, n, why};
  pl_node_each(n->node, see_node, &v);
  pl_node_each_action(n->node, see_action, &v);
  compare(&v);
  return why[0] == '\0';
}

// Each node knows only the first step: do they lead anywhere?
static bool steps_arrive(pl_sim *s, unsigned from, unsigned to, char *why) {
  const pl_truth *t = s->truth;
  unsigned at = from;
  for (unsigned steps = 0; steps <= PL_HOPS_MAX && at != to; steps++) {
    uint16_t next = t->next[(size_t)at * s->count + to];
    if (next == NOBODY) break;
    at = next;
  }
  if (at == to) return true;
  snprintf(why, PL_SIM_WHY, "the steps from n%u to n%u do not arrive", from, to);
  return false;
}

static bool paths_are_true(pl_sim *s, char *why) {
  for (unsigned i = 0; i < s->count; i++) {
    if (s->nodes[i].node == NULL) continue;
    const unsigned *distance = pl_truth_distances(s, &s->nodes[i]);
    for (unsigned k = 0; k < s->count; k++) {
      if (distance[k] != PL_SIM_FAR && !steps_arrive(s, i, k, why)) return false;
    }
  }
  return true;
}

bool pl_truth_holds(pl_sim *s, char *why) {
  pl_truth *t = s->truth;
  why[0] = '\0';
  for (unsigned i = 0; i < s->count; i++) {
    unsigned number = (t->doubt + i) % s->count;
    if (sees_truth(s, &s->nodes[number], why)) continue;
    t->doubt = number;
    return false;
  }
  return paths_are_true(s, why);
}
