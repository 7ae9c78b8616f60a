// What is counted of the calls of each action, told to those who ask.

#include "service/action.h"

static void add_gate(pl_service *sv, pl_action_figures *f) {
  const pl_action *a = pl_action_find(sv, f->action);
  if (a == NULL) return;
  f->running = a->gate.running;
  f->queued = a->gate.waiting;
}

// Actions without figures of their own.
static void add_rest(pl_service *sv, pl_action_figures *f) {
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&sv->actions, &at)) != NULL;) {
    const pl_action *a = e->value;
    if (a->meter != f->meter) continue;
    f->running += a->gate.running;
    f->queued += a->gate.waiting;
  }
}

void pl_service_each_figures(pl_service *sv, pl_figures_fn *fn, void *user) {
  pl_laps_settle(&sv->laps);
  pl_action_figures f = {.served = false};
  size_t at = 0;
  while (pl_meters_next(&sv->directory.meters, &at, &f.action, &f.meter))
    if (f.meter->begun > 0) fn(&f, user);
  at = 0;
  f.served = true;
  while (pl_meters_next(&sv->meters, &at, &f.action, &f.meter)) {
    f.running = f.queued = 0;
    (f.action.len > 0 ? add_gate : add_rest)(sv, &f);
    fn(&f, user);
  }
}
