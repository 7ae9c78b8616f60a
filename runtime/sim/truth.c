// What every node should see, worked out from the links that should be there, and whether it does.

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

static bool adjacent(const pl_sim *s, unsigned a, unsigned b) {
  for (size_t i = 0; i < s->edge_count; i++) {
    const pl_edge *e = &s->edges[i];
    if ((e->from == a && e->to == b) || (e->from == b && e->to == a)) return true;
  }
  return false;
}

bool pl_truth_reaches(const pl_sim *s, const pl_sim_node *from, const pl_sim_node *to) {
  if (from->node == NULL || to->node == NULL) return false;
  return from == to || adjacent(s, from->number, to->number);
}

// What one node says it sees.
typedef struct view {
  const pl_sim *sim;
  const pl_sim_node *from;
  uint8_t *nodes;    // how often each was told, and
  uint8_t *actions;  // its actions, a bit each
  char why[PL_SIM_WHY];
} view;

static void complain(view *v, const char *what, const char *name) {
  if (v->why[0] == '\0') snprintf(v->why, sizeof v->why, "n%u %s %s", v->from->number, what, name);
}

// Nodes are told apart by their ids, which change when they restart.
static const pl_sim_node *node_of(const pl_sim *s, const char *name, const pl_id *id) {
  unsigned number;
  if (sscanf(name, "n%u", &number) != 1 || number >= s->count) return NULL;
  const pl_sim_node *n = &s->nodes[number];
  return n->node != NULL && pl_id_equal(pl_node_id(n->node), id) ? n : NULL;
}

static void see_node(const pl_node_info *info, void *user) {
  view *v = user;
  if (info->hops > 0 && strcmp(info->state, "up") != 0) return;
  const pl_sim_node *n = node_of(v->sim, info->name, &info->id);
  if (n == NULL) {
    complain(v, "still sees a node that is gone, called", info->name);
    return;
  }
  v->nodes[n->number]++;
  if (!pl_truth_reaches(v->sim, v->from, n)) complain(v, "sees, but cannot reach,", info->name);
  if (info->draining) complain(v, "thinks that a node stops:", info->name);
}

static void see_action(const pl_action_info *info, void *user) {
  view *v = user;
  const pl_sim_node *n = node_of(v->sim, info->provider_name, &info->provider);
  if (n == NULL) {
    complain(v, "still sees an action of a node that is gone,", info->provider_name);
    return;
  }
  for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
    const char *name = pl_sim_action_names[kind];
    if (info->name.len == strlen(name) && memcmp(info->name.data, name, info->name.len) == 0)
      v->actions[n->number] |= (uint8_t)(1U << kind);
  }
}

static void compare(view *v) {
  for (unsigned i = 0; i < v->sim->count && v->why[0] == '\0'; i++) {
    const pl_sim_node *n = &v->sim->nodes[i];
    if (!pl_truth_reaches(v->sim, v->from, n)) {
      if (v->actions[i] != 0) complain(v, "sees actions of", n->name);
      continue;
    }
    if (v->nodes[i] == 0) complain(v, "does not see", n->name);
    if (v->nodes[i] > 1) complain(v, "sees twice", n->name);
    for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
      bool seen = (v->actions[i] >> kind & 1) != 0;
      if (seen && !n->actions[kind].provided)
        complain(v, "still sees a withdrawn action of", n->name);
      if (!seen && n->actions[kind].provided) complain(v, "does not see an action of", n->name);
    }
  }
}

bool pl_truth_holds(pl_sim *s, char *why) {
  view v = {.sim = s, .nodes = pl_alloc(s->count), .actions = pl_alloc(s->count)};
  for (unsigned i = 0; i < s->count && v.why[0] == '\0'; i++) {
    pl_sim_node *n = &s->nodes[i];
    if (n->node == NULL) continue;
    memset(v.nodes, 0, s->count);
    memset(v.actions, 0, s->count);
    v.from = n;
    pl_node_each(n->node, see_node, &v);
    pl_node_each_action(n->node, see_action, &v);
    compare(&v);
  }
  pl_free(v.nodes);
  pl_free(v.actions);
  if (why != NULL) snprintf(why, PL_SIM_WHY, "%s", v.why);
  return v.why[0] == '\0';
}
