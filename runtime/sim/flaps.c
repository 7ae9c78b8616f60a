// How long a mesh at rest takes to notice that a link is lost, and that it is back, and what that
// costs: for benchmarks.

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

enum {
  SECOND_US = 1000000,
  STEP_US = 10 * 1000,           // between two looks at the tables
  PATIENCE_US = 60 * SECOND_US,  // for all to be right
  REST_US = 60 * SECOND_US,      // of calm, to know what that costs
};

typedef struct cost {
  uint64_t cpu_us, adverts;
} cost;

static uint64_t cpu_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * SECOND_US + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t adverts(const pl_sim *s) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < s->count; i++) {
    if (s->nodes[i].node != NULL) sum += s->nodes[i].site->loop->metrics.adverts_sent;
  }
  return sum;
}

static void run(pl_sim *s, uint64_t us, cost *c) {
  uint64_t before_us = cpu_now_us(), before = adverts(s);
  pl_net_run(&s->net, pl_sim_now_us(s) + us);
  c->cpu_us += cpu_now_us() - before_us;
  c->adverts += adverts(s) - before;
}

// Runs until every table is right; how long that took.
static uint64_t settle(pl_sim *s, cost *c) {
  char why[PL_SIM_WHY];
  uint64_t begin_us = pl_sim_now_us(s);
  do {
    run(s, STEP_US, c);
    if (pl_truth_holds(s, why)) return pl_sim_now_us(s) - begin_us;
  } while (pl_sim_now_us(s) - begin_us < PATIENCE_US);
  pl_sim_violated(s, "a minute after a link changed %s", why);
  return PATIENCE_US;
}

static void set_link(pl_sim *s, pl_edge *e, bool down) {
  pl_site *a = s->nodes[e->from].site, *b = s->nodes[e->to].site;
  e->down = down;
  pl_sim_note(s, down ? PL_SIM_BLOCK : PL_SIM_CLEAR, e->from, e->to, 0, 0);
  pl_net_block(&s->net, a, b, down);
  pl_net_block(&s->net, b, a, down);
  if (down) pl_net_cut(&s->net, a, b, true, true, false);
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

void pl_sim_flap(pl_sim *s) {
  pl_sim_flaps *out = &s->report->flaps;
  unsigned count = s->config->flaps;
  uint64_t *lost = pl_alloc(count * sizeof *lost), *back = pl_alloc(count * sizeof *back);
  cost start = {0}, rest = {0}, all = {0};
  settle(s, &start);
  run(s, REST_US, &start);
  run(s, REST_US, &rest);
  uint64_t begin_us = pl_sim_now_us(s);
  for (unsigned i = 0; i < count && !s->report->violated; i++) {
    pl_edge *e = &s->edges[pl_random_below(&s->random, s->edge_count)];
    set_link(s, e, true);
    lost[i] = settle(s, &all);
    run(s, SECOND_US, &all);
    set_link(s, e, false);
    back[i] = settle(s, &all);
    run(s, SECOND_US, &all);
  }
  // So much of what goes on at rest went on meanwhile.
  double share = (double)(pl_sim_now_us(s) - begin_us) / (double)REST_US;
  double each = (double)s->count * count;
  qsort(lost, count, sizeof *lost, compare);
  qsort(back, count, sizeof *back, compare);
  out->lost_us = lost[count / 2];
  out->back_us = back[count / 2];
  out->cpu_us = ((double)all.cpu_us - (double)rest.cpu_us * share) / each;
  out->adverts = ((double)all.adverts - (double)rest.adverts * share) / each;
  out->rest_adverts = (double)rest.adverts * 60 * (double)SECOND_US / (double)REST_US / s->count;
  pl_free(lost);
  pl_free(back);
}
