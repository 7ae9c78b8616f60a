// A copy: for a while a second node lives with the id of one of the mesh, somewhere else, and with
// a clock of its own. It provides nothing and calls nobody; which of the two the mesh believes
// meanwhile is theirs to settle. What counts is that it does no harm, and is forgotten.

#include <stdio.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

static pl_sim_node *make(pl_sim *s) {
  pl_sim_node *c = pl_new(pl_sim_node);
  c->sim = s;
  c->number = s->count;  // as it is called in the journal
  c->relay = true;
  snprintf(c->name, sizeof c->name, "copy");
  c->site = pl_site_new(&s->net, c->name);
  pl_list_init(&c->calls);
  pl_list_init(&c->handlers);
  for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++)
    c->actions[kind] = (pl_sim_action){.node = c, .kind = (pl_sim_kind)kind};
  return c;
}

bool pl_copy_begin(pl_sim *s, const pl_sim_node *of, const pl_sim_node *at, int64_t wall_us) {
  if (s->copy == NULL) s->copy = make(s);
  pl_sim_node *c = s->copy;
  if (c->node != NULL || of->id[0] == '\0' || of->leaf || at->leaf || of == at) return false;
  snprintf(c->id, sizeof c->id, "%s", of->id);
  c->dials = at;
  c->key_step = at->key_step;
  pl_site_set_wall_offset(c->site, wall_us);
  s->report->counts.copies++;
  pl_fleet_boot(c);
  return true;
}

void pl_copy_end(pl_sim *s, bool power) {
  if (s->copy != NULL && s->copy->node != NULL) pl_fleet_kill(s->copy, power);
}

void pl_copy_free(pl_sim *s) {
  pl_free(s->copy);
  s->copy = NULL;
}
