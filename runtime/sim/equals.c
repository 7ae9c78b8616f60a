// Calls that are equal: what is known of a group of them as a whole.

#include <inttypes.h>

#include "sim/sim_impl.h"

enum { STEP_US = 40 * 1000, STEP_BYTES = 50 };

void pl_equals_fill(pl_sim_order *o, unsigned group) {
  o->group = group;
  o->size = group * STEP_BYTES;
  o->work_us = group * STEP_US;
  o->fails = false;
}

void pl_equals_called(pl_sim *s, unsigned group) {
  s->groups[group].calls++;
}

// Of a neighbour's calls some may have come through another node, which makes them different.
void pl_equals_ran(pl_sim *s, uint64_t key, unsigned node, unsigned others, bool from_itself) {
  unsigned group = (unsigned)(key - PL_SIM_EQUAL);
  pl_sim_group *g = &s->groups[group];
  pl_sim_note(s, PL_SIM_RUN, node, 0, (int64_t)key, 0);
  s->report->counts.executions++;
  g->runs++;
  if (g->runs > g->calls)
    pl_sim_violated(s, "the %" PRIu64 " calls of group %u have run %" PRIu64 " times, now at n%u",
                    g->calls, group, g->runs, node);
  if (others > (from_itself ? 0 : 1))
    pl_sim_violated(s, "equal calls of group %u run %u times at once at n%u", group, others + 1,
                    node);
}

void pl_equals_returned(pl_sim *s, uint64_t key) {
  s->groups[key - PL_SIM_EQUAL].returned_us = pl_sim_now_us(s);
}

void pl_equals_check(pl_sim *s, uint64_t key, const pl_sim_record *r) {
  if (s->groups[r->group].returned_us < r->started_us)
    pl_sim_violated(s, "call #%" PRIu64 " has a result of group %u, of which none has ended since",
                    key, r->group);
}
