#include "sim/sim.h"

#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

enum {
  SECOND_US = 1000000,
  LOOK_US = 100 * 1000,          // between two looks at the tables
  CONVERGE_US = 60 * SECOND_US,  // in which they must be right after the disasters
  REST_US = 12 * SECOND_US,      // in which every call must have ended
  PROBES_MAX = 200,
  CALLS_PER_S = 100,  // of all nodes together
};

void pl_sim_violated(pl_sim *s, const char *format, ...) {
  if (s->report->violated) return;
  s->report->violated = true;
  va_list args;
  va_start(args, format);
  vsnprintf(s->report->why, sizeof s->report->why, format, args);
  va_end(args);
  s->report->events = pl_sim_journal_text(&s->journal);
}

uint64_t pl_sim_between(pl_sim *s, uint64_t least, uint64_t most) {
  return least + pl_random_below(&s->random, most - least + 1);
}

// Runs for so long, or until something is wrong.
static void run_for(pl_sim *s, uint64_t us) {
  uint64_t until_us = pl_sim_now_us(s) + us;
  while (pl_sim_now_us(s) < until_us && !s->report->violated) {
    uint64_t next_us = pl_sim_now_us(s) + SECOND_US;
    pl_net_run(&s->net, next_us < until_us ? next_us : until_us);
  }
}

static void storm(pl_sim *s) {
  s->working = true;
  run_for(s, 3 * SECOND_US);
  if (!s->config->calm) {
    pl_nemesis_begin(s);
    pl_intruder_begin(s);
  }
  run_for(s, (uint64_t)(s->config->minutes * 60 * (double)SECOND_US));
  s->working = false;
  pl_nemesis_end(s);
  pl_intruder_end(s);
  pl_sim_note(s, PL_SIM_QUIET, 0, 0, 0, 0);
}

static void converge(pl_sim *s) {
  uint64_t begin_us = pl_sim_now_us(s);
  char why[PL_SIM_WHY];
  while (!s->report->violated && !pl_truth_holds(s, why)) {
    if (pl_sim_now_us(s) - begin_us > CONVERGE_US) {
      pl_sim_violated(s, "a minute after the last disaster %s", why);
      return;
    }
    if (s->journal.trace != NULL) fprintf(s->journal.trace, "  still %s\n", why);
    run_for(s, LOOK_US);
  }
  s->report->converged_us = pl_sim_now_us(s) - begin_us;
  pl_sim_note(s, PL_SIM_RIGHT, 0, 0, 0, 0);
  run_for(s, REST_US);
  if (!s->report->violated && pl_work_open(s) > 0)
    pl_sim_violated(s, "%u calls have not ended", (unsigned)pl_work_open(s));
  if (!s->report->violated && !pl_truth_holds(s, why))
    pl_sim_violated(s, "the tables were right, and then %s", why);
}

static bool provides_any(const pl_sim *s, const unsigned *distance, pl_sim_kind kind) {
  for (unsigned i = 0; i < s->count; i++) {
    if (distance[i] != PL_SIM_FAR && s->nodes[i].actions[kind].provided) return true;
  }
  return false;
}

static uint64_t relayed(const pl_sim *s) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < s->count; i++) {
    if (s->nodes[i].node != NULL) sum += s->nodes[i].site->loop->metrics.relays_opened;
  }
  return sum;
}

static void probe(pl_sim *s, pl_sim_node *from, const pl_sim_node *to, pl_sim_kind kind) {
  const unsigned *distance = pl_truth_distances(s, from);
  if (to != NULL && (!to->actions[kind].provided || distance[to->number] == PL_SIM_FAR)) return;
  if (to == NULL && !provides_any(s, distance, kind)) return;
  unsigned relays = to != NULL && to != from ? distance[to->number] - 1 : 0;
  bool alone = kind != PL_SIM_NEST;  // else others are called for it
  uint64_t before_relays = relayed(s);
  pl_sim_order o = {
      .kind = kind,
      .to = to,
      .chunks = kind == PL_SIM_COUNT ? 20 : 0,
      .size = 100,
      .timeout_us = 5 * SECOND_US,
      .cancel_us = PL_NEVER,
      .probe = true,
      .depth = alone ? 0 : 2,
  };
  if (kind == PL_SIM_SHARE) pl_equals_fill(&o, 0);
  pl_kernel *before = pl_site_enter(from->site);
  pl_work_call(from, &o);
  pl_site_leave(from->site, before);
  run_for(s, 20 * 1000);  // so that nobody is too busy for it
  uint64_t visits = relayed(s) - before_relays;
  if (to != NULL && alone && (s->uneven ? visits < relays : visits != relays))
    pl_sim_violated(s, "a call from n%u to n%u, %u links away, visits %u nodes between them",
                    from->number, to->number, relays + 1, (unsigned)visits);
}

// When all is well, every call succeeds.
static void probe_all(pl_sim *s) {
  size_t pairs = (size_t)s->count * s->count;
  for (size_t i = 0; i < pairs && i < PROBES_MAX && !s->report->violated; i++) {
    size_t pair = pairs <= PROBES_MAX ? i : pl_random_below(&s->random, pairs);
    pl_sim_node *from = &s->nodes[pair / s->count];
    probe(s, from, &s->nodes[pair % s->count], (pl_sim_kind)(i % PL_SIM_KINDS));
    probe(s, from, NULL, (pl_sim_kind)((i + 1) % PL_SIM_KINDS));
  }
  run_for(s, 6 * SECOND_US);
  if (!s->report->violated && pl_work_open(s) > 0)
    pl_sim_violated(s, "all is well, but %u calls have not ended", (unsigned)pl_work_open(s));
}

static void run_phases(pl_sim *s) {
  pl_fleet_make(s);
  pl_truth_make(s);
  s->call_pause_us = (uint64_t)s->count * SECOND_US / CALLS_PER_S;
  if (s->config->flaps > 0) {
    run_for(s, 3 * SECOND_US);
    pl_sim_flap(s);
  } else {
    storm(s);
    converge(s);
    probe_all(s);
  }
  pl_fleet_stop_all(s);
  if (!s->report->violated) pl_sim_ledger_check(s);
}

void pl_sim_run(const pl_sim_config *config, pl_sim_report *out) {
  *out = (pl_sim_report){0};
  size_t live = pl_mem_live();
  pl_sim *s = pl_new(pl_sim);
  s->config = config;
  s->report = out;
  s->journal.trace = config->trace;
  s->journal.digest = 0xcbf29ce484222325;
  pl_random_seed(&s->random, config->seed);
  pl_net_init(&s->net, pl_random_u64(&s->random));
  s->net.sabotage = config->sabotage;
  uint64_t begin_us = pl_sim_now_us(s);
  run_phases(s);
  out->virtual_us = pl_sim_now_us(s) - begin_us;
  out->counts.segments = s->net.segments;
  out->digest = s->journal.digest;
  pl_nemesis_free(s);
  pl_truth_free(s);
  pl_intruder_free(s);
  pl_net_fini(&s->net);
  pl_fleet_free(s);
  pl_free(s->ledger.records);
  size_t kept = out->events != NULL ? 1 : 0;
  size_t left = pl_mem_live() - 1 - kept - live;
  if (left != 0) pl_sim_violated(s, "%u blocks of memory were not given back", (unsigned)left);
  pl_free(s);
}

void pl_sim_report_free(pl_sim_report *r) {
  pl_free(r->events);
  r->events = NULL;
}
