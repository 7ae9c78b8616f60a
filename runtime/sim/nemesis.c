// The disasters. Which ones strike, how often and how long follows from the seed alone, not from
// what the nodes do, so that a change of theirs meets the same weather.

#include "base/mem.h"
#include "sim/sim_impl.h"

enum {
  SECOND_US = 1000000,
  MS_US = 1000,
  GENTLE = 8,  // one run of so many
};

typedef enum trouble_kind {
  RESET,  // a cut that both ends notice
  CUT,
  FLAP,
  PARTITION,
  CLOG,
  KILL,
  RESTART,
  PAUSE,
  SLOW,
  CLOCK,
  CHURN,
  ROTATION,
  COPY,
  KINDS,
} trouble_kind;

// One that lasts.
typedef struct trouble {
  pl_list node;
  pl_sim *sim;
  trouble_kind kind;
  pl_event end;
  unsigned a, b;   // the node or edge
  unsigned left;   // cuts of a flap
  uint8_t *sides;  // of a partition: by node; owned
} trouble;

struct pl_nemesis {
  pl_sim *sim;
  pl_random random;
  pl_event next;
  pl_list troubles;
  bool strikes[KINDS];
  uint64_t pause_us;  // between two, on average
};

static uint64_t between(pl_sim *s, uint64_t least, uint64_t most) {
  return least + pl_random_below(&s->nemesis->random, most - least + 1);
}

static bool chance(pl_sim *s, unsigned one_of) {
  return between(s, 1, one_of) == 1;
}

static trouble *trouble_new(pl_sim *s, trouble_kind kind, unsigned a, unsigned b) {
  trouble *t = pl_new(trouble);
  t->sim = s;
  t->kind = kind;
  t->a = a;
  t->b = b;
  pl_list_push(&s->nemesis->troubles, &t->node);
  return t;
}

static void trouble_free(trouble *t) {
  pl_agenda_cancel(&t->sim->net.agenda, &t->end);
  pl_list_remove(&t->node);
  pl_free(t->sides);
  pl_free(t);
}

static void lasts(trouble *t, uint64_t us, void (*end)(pl_event *)) {
  pl_agenda_set(&t->sim->net.agenda, &t->end, pl_sim_now_us(t->sim) + us, end);
}

static pl_sim_node *any_node(pl_sim *s) {
  return &s->nodes[between(s, 0, s->count - 1)];
}

static bool is_well(const pl_sim_node *n) {
  return n->node != NULL && !n->stopping && !n->site->paused;
}

static const pl_edge *any_edge(pl_sim *s) {
  return &s->edges[between(s, 0, s->edge_count - 1)];
}

// Links.

static void cut(pl_sim *s, unsigned a, unsigned b) {
  unsigned told = (unsigned)between(s, 0, 5);
  if (told > 3) told = 3;  // mostly both
  bool mute = told != 3 && chance(s, 2);
  pl_sim_note(s, PL_SIM_CUT, a, b, told | (mute ? 4U : 0U), 0);
  s->report->counts.cuts++;
  pl_net_cut(&s->net, s->nodes[a].site, s->nodes[b].site, told & 1, told & 2, mute);
}

static void strike_reset(pl_sim *s) {
  const pl_edge *e = any_edge(s);
  pl_sim_note(s, PL_SIM_CUT, e->from, e->to, 3, 0);
  s->report->counts.cuts++;
  pl_net_cut(&s->net, s->nodes[e->from].site, s->nodes[e->to].site, true, true, false);
}

static void strike_cut(pl_sim *s) {
  const pl_edge *e = any_edge(s);
  cut(s, e->from, e->to);
}

static void on_flap(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  cut(t->sim, t->a, t->b);
  if (t->left-- == 0)
    trouble_free(t);
  else
    lasts(t, between(t->sim, MS_US, 400 * MS_US), on_flap);
}

static void strike_flap(pl_sim *s) {
  const pl_edge *e = any_edge(s);
  trouble *t = trouble_new(s, FLAP, e->from, e->to);
  t->left = (unsigned)between(s, 2, 10);
  lasts(t, 0, on_flap);
}

static void block(pl_sim *s, unsigned from, unsigned to, bool down) {
  pl_sim_note(s, down ? PL_SIM_BLOCK : PL_SIM_CLEAR, from, to, 0, 0);
  pl_net_block(&s->net, s->nodes[from].site, s->nodes[to].site, down);
}

// `b`: 1 only what leaves side 1 is lost; 0 both.
static void set_partition(trouble *t, bool down) {
  pl_sim *s = t->sim;
  for (size_t i = 0; i < s->edge_count; i++) {
    unsigned from = s->edges[i].from, to = s->edges[i].to;
    if (t->sides[from] == t->sides[to]) continue;
    if (t->b == 0 || t->sides[from] == 1) block(s, from, to, down);
    if (t->b == 0 || t->sides[to] == 1) block(s, to, from, down);
  }
}

static void on_partition_over(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  set_partition(t, false);
  trouble_free(t);
}

static uint64_t spell(pl_sim *s) {
  return chance(s, 2) ? between(s, 10 * MS_US, 2 * SECOND_US)
                      : between(s, SECOND_US, 15 * SECOND_US);
}

static void strike_partition(pl_sim *s) {
  s->uneven = true;
  trouble *t = trouble_new(s, PARTITION, 0, chance(s, 3));
  t->sides = pl_alloc(s->count);
  bool alone = chance(s, 2);  // one node
  unsigned one = any_node(s)->number;
  for (unsigned i = 0; i < s->count; i++)
    t->sides[i] = alone ? i == one : chance(s, 2);
  s->report->counts.partitions++;
  set_partition(t, true);
  lasts(t, spell(s), on_partition_over);
}

static void clear_path(pl_sim *s, unsigned from, unsigned to) {
  pl_net_shape(&s->net, s->nodes[from].site, s->nodes[to].site, &s->net.common);
  pl_sim_note(s, PL_SIM_CLEAR, from, to, 0, 0);
}

static void on_clog_over(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  clear_path(t->sim, t->a, t->b);
  trouble_free(t);
}

static void strike_clog(pl_sim *s) {
  s->uneven = true;
  const pl_edge *e = any_edge(s);
  bool back = chance(s, 2);
  trouble *t = trouble_new(s, CLOG, back ? e->to : e->from, back ? e->from : e->to);
  pl_wire p = {.latency_us = between(s, MS_US, 300 * MS_US),
               .jitter_us = between(s, 0, 100 * MS_US)};
  p.bytes_per_s = chance(s, 2) ? 0 : between(s, 5000, 1000000);
  p.loss_ppm = chance(s, 2) ? 0 : (uint32_t)between(s, 0, 200000);
  pl_net_shape(&s->net, s->nodes[t->a].site, s->nodes[t->b].site, &p);
  pl_sim_note(s, PL_SIM_CLOG, t->a, t->b, (int64_t)p.latency_us, (int64_t)p.bytes_per_s);
  s->report->counts.slow++;
  lasts(t, spell(s), on_clog_over);
}

// Nodes.

static void strike_kill(pl_sim *s) {
  pl_sim_node *n = any_node(s);
  bool power = chance(s, 3);
  uint64_t after_us = chance(s, 3) ? 0 : between(s, 0, 10 * SECOND_US);
  if (!is_well(n)) return;
  pl_fleet_kill(n, power);
  pl_fleet_revive(n, after_us);
}

static void strike_restart(pl_sim *s) {
  pl_sim_node *n = any_node(s);
  uint64_t drain_us = between(s, 0, 2 * SECOND_US), after_us = between(s, 0, 5 * SECOND_US);
  if (is_well(n)) pl_fleet_restart(n, drain_us, after_us);
}

static void resume(pl_sim_node *n) {
  if (!n->site->paused) return;
  pl_sim_note(n->sim, PL_SIM_RESUME, n->number, 0, 0, 0);
  pl_site_pause(n->site, false);
}

static void on_pause_over(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  resume(&t->sim->nodes[t->a]);
  trouble_free(t);
}

static void strike_pause(pl_sim *s) {
  s->uneven = true;
  pl_sim_node *n = any_node(s);
  uint64_t us = chance(s, 2) ? between(s, 0, 500 * MS_US) : between(s, SECOND_US, 9 * SECOND_US);
  if (!is_well(n)) return;
  pl_sim_note(s, PL_SIM_PAUSE, n->number, 0, (int64_t)us, 0);
  s->report->counts.pauses++;
  n->troubles++;
  pl_site_pause(n->site, true);
  lasts(trouble_new(s, PAUSE, n->number, 0), us, on_pause_over);
}

static void set_lag(pl_sim_node *n, uint64_t us) {
  pl_sim_note(n->sim, PL_SIM_SLOW, n->number, 0, (int64_t)us, 0);
  n->troubles++;
  n->site->lag_us = us;
}

static void on_slow_over(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  set_lag(&t->sim->nodes[t->a], 0);
  trouble_free(t);
}

static void strike_slow(pl_sim *s) {
  s->uneven = true;
  pl_sim_node *n = any_node(s);
  set_lag(n, between(s, 1, 200 * MS_US));
  s->report->counts.slow++;
  lasts(trouble_new(s, SLOW, n->number, 0), spell(s), on_slow_over);
}

static void strike_clock(pl_sim *s) {
  s->uneven = true;
  pl_sim_node *n = any_node(s);
  uint64_t kind = between(s, 0, 2);
  s->report->counts.clocks++;
  if (kind == 0) {
    uint64_t us = between(s, 0, chance(s, 2) ? 100 * MS_US : 20 * SECOND_US);
    pl_sim_note(s, PL_SIM_LEAP, n->number, 0, (int64_t)us, 0);
    n->troubles++;
    pl_site_leap(n->site, us);
  } else if (kind == 1) {
    uint64_t ppm = between(s, 900000, 1100000);
    pl_sim_note(s, PL_SIM_RATE, n->number, 0, (int64_t)ppm, 0);
    pl_site_set_rate(n->site, ppm);
  } else {
    int64_t us = (int64_t)between(s, 0, 7200ULL * SECOND_US) - 3600LL * SECOND_US;
    pl_sim_note(s, PL_SIM_WALL, n->number, 0, us, 0);
    pl_site_set_wall_offset(n->site, us);
  }
}

static void strike_churn(pl_sim *s) {
  pl_sim_node *n = any_node(s);
  pl_sim_kind kind = (pl_sim_kind)between(s, 0, PL_SIM_KINDS - 1);
  if (n->node == NULL || n->stopping || n->leaf) return;
  bool provide = !n->actions[kind].provided;
  pl_sim_note(s, PL_SIM_CHURN, n->number, 0, kind, provide);
  s->report->counts.churn++;
  pl_kernel *before = pl_site_enter(n->site);
  pl_serve_provide(n, kind, provide);
  pl_site_leave(n->site, before);
}

static void strike_rotation(pl_sim *s) {
  unsigned first = any_node(s)->number;
  bool all = chance(s, 3);
  pl_rotation_go_on(s, first, all);
}

static void on_copy_over(pl_event *event) {
  trouble *t = pl_container(event, trouble, end);
  pl_copy_end(t->sim, t->b);
  trouble_free(t);
}

static void strike_copy(pl_sim *s) {
  const pl_sim_node *of = any_node(s), *at = any_node(s);
  int64_t wall_us = (int64_t)between(s, 0, 7200ULL * SECOND_US) - 3600LL * SECOND_US;
  uint64_t us = spell(s);
  bool power = chance(s, 2);
  if (!pl_copy_begin(s, of, at, wall_us)) return;
  s->uneven = true;
  lasts(trouble_new(s, COPY, of->number, power), us, on_copy_over);
}

// The weather.

static void (*const strikes[KINDS])(pl_sim *s) = {
    [RESET] = strike_reset,         [CUT] = strike_cut,     [FLAP] = strike_flap,
    [PARTITION] = strike_partition, [CLOG] = strike_clog,   [KILL] = strike_kill,
    [RESTART] = strike_restart,     [PAUSE] = strike_pause, [SLOW] = strike_slow,
    [CLOCK] = strike_clock,         [CHURN] = strike_churn, [ROTATION] = strike_rotation,
    [COPY] = strike_copy,
};

static void on_next(pl_event *event) {
  struct pl_nemesis *m = pl_container(event, struct pl_nemesis, next);
  pl_sim *s = m->sim;
  trouble_kind kind = (trouble_kind)between(s, 0, KINDS - 1);
  if (m->strikes[kind]) strikes[kind](s);
  pl_agenda_set(&s->net.agenda, &m->next, pl_sim_now_us(s) + between(s, 0, 2 * m->pause_us),
                on_next);
}

void pl_nemesis_begin(pl_sim *s) {
  struct pl_nemesis *m = pl_new(struct pl_nemesis);
  s->nemesis = m;
  m->sim = s;
  pl_random_seed(&m->random, s->config->seed ^ 0x6e656d65736973);
  pl_list_init(&m->troubles);
  m->pause_us = between(s, 20 * MS_US, chance(s, 2) ? 300 * MS_US : 2 * SECOND_US);
  s->gentle = chance(s, GENTLE);
  if (s->gentle) m->pause_us = between(s, 30 * MS_US, 400 * MS_US);
  for (int kind = 0; kind < KINDS; kind++)
    m->strikes[kind] = s->gentle ? kind == RESET : !chance(s, 3);
  m->strikes[ROTATION] = s->keyed;
  pl_agenda_set(&s->net.agenda, &m->next, pl_sim_now_us(s), on_next);
}

// The clocks go right from now on, and what was left for later happens now.
static void heal_node(pl_sim_node *n) {
  resume(n);
  if (n->site->lag_us > 0) set_lag(n, 0);
  pl_site_set_rate(n->site, 1000000);
  pl_fleet_revive_now(n);
}

void pl_nemesis_end(pl_sim *s) {
  struct pl_nemesis *m = s->nemesis;
  if (m == NULL) return;
  pl_agenda_cancel(&s->net.agenda, &m->next);
  while (!pl_list_empty(&m->troubles)) {
    trouble *t = pl_container(m->troubles.next, trouble, node);
    if (t->kind == PARTITION) set_partition(t, false);
    if (t->kind == CLOG) clear_path(s, t->a, t->b);
    if (t->kind == COPY) pl_copy_end(s, t->b);
    trouble_free(t);
  }
  for (unsigned i = 0; i < s->count; i++)
    heal_node(&s->nodes[i]);
}

void pl_nemesis_free(pl_sim *s) {
  if (s->nemesis == NULL) return;
  pl_agenda_cancel(&s->net.agenda, &s->nemesis->next);
  while (!pl_list_empty(&s->nemesis->troubles))
    trouble_free(pl_container(s->nemesis->troubles.next, trouble, node));
  pl_copy_free(s);
  pl_free(s->nemesis);
  s->nemesis = NULL;
}
