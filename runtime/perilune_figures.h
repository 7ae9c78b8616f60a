// A part of perilune.h: what a node counts, and tells its operators.
#pragma once

#include "base/buf.h"
#include "base/meter.h"
#include "base/metric.h"

typedef struct pl_node pl_node;

// All that the loop of the node has counted, up to date.
const pl_metrics *pl_node_metrics(pl_node *n);

// What is counted of the calls of one action, by those who call it from here or by this node, which
// serves it.
typedef struct pl_action_figures {
  pl_bytes action;  // empty: all those that share their figures, for want of room
  bool served;      // here; else called from here
  const pl_meter *meter;
  uint64_t running, queued;  // now, if served
} pl_action_figures;
typedef void pl_figures_fn(const pl_action_figures *f, void *user);
// In no order, but what is called comes first. Borrowed.
void pl_node_each_figures(pl_node *n, pl_figures_fn *fn, void *user);

// Whether it serves, for who asks the admin listener; from the start it does not.
void pl_node_set_ready(pl_node *n, bool ready);
