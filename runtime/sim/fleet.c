// The nodes of a simulated mesh: they are made, start, die and stop.

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

enum {
  BOOT_US = 1000000,  // within which the first nodes start
  DRAIN_US = 2000000,
  LOOK_US = 20000,         // between two looks at a node that stops
  STOP_US = 20 * 1000000,  // in which every node must have stopped
  LEAVES_MAX = 2,
  LONELY = 12,  // one node of so many lets no call of others through
  CROSSED = 3,  // one link of so many is dialled from both ends
};

static bool trace_line(const char *line, size_t len, void *user) {
  const pl_sim_node *n = user;
  FILE *out = n->sim->journal.trace;
  if (out != NULL) fprintf(out, "  n%u: %.*s", n->number, (int)len, line);
  return true;
}

static pl_log *make_log(pl_sim_node *n) {
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, trace_line, n);
  pl_log_set_level(log, n->sim->journal.trace != NULL ? PL_LOG_DEBUG : PL_LOG_OFF);
  return log;
}

static void set_options(pl_options *o, const pl_sim_node *n) {
  const pl_sim *s = n->sim;
  char url[32];
  pl_options_init(o);
  o->name = pl_strdup(n->name);
  if (n->id[0] != '\0') o->id = pl_strdup(n->id);
  char keys[PL_SIM_KEYS_TEXT];
  pl_rotation_text(n, keys);
  if (n->sim->keyed) o->psk_key = pl_strdup(keys);
  snprintf(url, sizeof url, "mem://%s", n->name);
  if (!n->leaf) pl_texts_add(&o->listen, url);
  o->relay = n->relay;
  for (size_t i = 0; i < s->edge_count; i++) {
    const pl_edge *e = &s->edges[i];
    if (e->from != n->number && !(e->both && e->to == n->number)) continue;
    snprintf(url, sizeof url, "mem://%s", s->nodes[e->from == n->number ? e->to : e->from].name);
    pl_texts_add(&o->peers, url);
  }
  if (n->dials == NULL) return;
  snprintf(url, sizeof url, "mem://%s", n->dials->name);
  pl_texts_add(&o->peers, url);
}

static void on_joined(void *user) {
  (void)user;
}

void pl_fleet_boot(pl_sim_node *n) {
  pl_sim *s = n->sim;
  assert(n->node == NULL);
  n->boots++;
  n->dead = n->down = n->stopping = false;
  pl_sim_note(s, PL_SIM_BOOT, n->number, 0, n->boots, 0);
  pl_site_boot(n->site, make_log(n));
  pl_kernel *before = pl_site_enter(n->site);
  pl_options options;
  set_options(&options, n);
  char detail[PL_URL_MAX] = "";
  pl_err err = pl_node_new(&n->node, n->site->loop, &options, NULL, n, detail);
  if (err == PL_OK) err = pl_node_start(n->node, on_joined, n, detail);
  pl_options_free(&options);
  if (err != PL_OK) pl_sim_violated(s, "n%u does not start: %s", n->number, detail);
  for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
    if (n->actions[kind].provided) pl_serve_provide(n, (pl_sim_kind)kind, true);
  }
  if (s->working && n != s->copy) pl_work_begin(n);
  pl_site_leave(n->site, before);
}

static void on_boot(pl_event *e) {
  pl_fleet_boot(pl_container(e, pl_sim_node, revival));
}

void pl_fleet_revive(pl_sim_node *n, uint64_t after_us) {
  pl_agenda_set(&n->sim->net.agenda, &n->revival, pl_sim_now_us(n->sim) + after_us, on_boot);
}

void pl_fleet_revive_now(pl_sim_node *n) {
  n->down_us = 0;
  if (n->node == NULL) pl_fleet_revive(n, 0);
}

static void init_node(pl_sim *s, unsigned i) {
  pl_sim_node *n = &s->nodes[i];
  n->sim = s;
  n->number = i;
  snprintf(n->name, sizeof n->name, "n%u", i);
  n->site = pl_site_new(&s->net, n->name);
  pl_list_init(&n->calls);
  pl_list_init(&n->handlers);
  if (pl_sim_chance(s, 2)) {
    snprintf(n->id, sizeof n->id, "%016llx%016llx", (unsigned long long)pl_random_u64(&s->random),
             (unsigned long long)i);
  }
  unsigned full = s->count - s->leaves;
  n->leaf = i >= full;
  n->relay = s->config->flaps > 0 || !pl_sim_chance(s, LONELY);
  for (unsigned kind = 0; kind < PL_SIM_KINDS; kind++) {
    n->actions[kind] = (pl_sim_action){.node = n, .kind = (pl_sim_kind)kind};
    bool provided = i == kind % full || !pl_sim_chance(s, 3);
    n->actions[kind].provided = provided && !n->leaf;
  }
}

// Each leaf dials one or two of the others.
static void link_leaves(pl_sim *s) {
  unsigned full = s->count - s->leaves;
  size_t most = s->edge_count + 2 * (size_t)s->leaves;
  pl_edge *edges = pl_alloc(most * sizeof *edges);
  memcpy(edges, s->edges, s->edge_count * sizeof *edges);
  pl_free(s->edges);
  s->edges = edges;
  for (unsigned leaf = full; leaf < s->count; leaf++) {
    unsigned first = (unsigned)pl_random_below(&s->random, full);
    unsigned second = (unsigned)pl_random_below(&s->random, full);
    edges[s->edge_count++] = (pl_edge){.from = leaf, .to = first};
    if (second != first && pl_sim_chance(s, 2))
      edges[s->edge_count++] = (pl_edge){.from = leaf, .to = second};
  }
}

void pl_fleet_make(pl_sim *s) {
  bool plain = s->config->flaps > 0;
  s->leaves = plain ? 0 : (unsigned)pl_random_below(&s->random, LEAVES_MAX + 1);
  s->keyed = !plain && pl_sim_chance(s, 2);
  s->report->leaves = s->leaves;
  s->count = s->config->nodes + s->leaves;
  s->nodes = pl_alloc(s->count * sizeof *s->nodes);
  for (unsigned i = 0; i < s->count; i++)
    init_node(s, i);
  s->edge_count = pl_topology_make(&s->edges, s->config->topology, s->config->nodes, &s->random);
  for (size_t i = 0; i < s->edge_count && !plain; i++)
    s->edges[i].both = pl_sim_chance(s, CROSSED);
  if (s->leaves > 0) link_leaves(s);
  for (unsigned i = 0; i < s->count; i++) {
    uint64_t at_us = pl_sim_now_us(s) + pl_sim_between(s, 0, BOOT_US);
    pl_agenda_set(&s->net.agenda, &s->nodes[i].revival, at_us, on_boot);
  }
}

// Ends.

static void add_metrics(pl_sim_node *n) {
  pl_sim *s = n->sim;
  const pl_metrics *m = &n->site->loop->metrics;
  pl_sim_counts *c = &s->report->counts;
  c->links_opened += m->links_opened;
  c->links_lost += m->peers_lost;
  c->frames += m->frames_written;
  c->bytes += m->bytes_written;
  if (m->protocol_errors > 0 && !n->visited)
    pl_sim_violated(s, "n%u saw %u protocol errors", n->number, (unsigned)m->protocol_errors);
  // Elsewhere a proof may be on its way for longer than a step takes.
  if (s->gentle && m->handshakes_unauthorized > 0 && !n->visited)
    pl_sim_violated(s, "n%u refused another for its key", n->number);
  for (const pl_metric_info *i = pl_metric_list; i->name != NULL; i++) {
    size_t len = strlen(i->name);
    uint64_t value = pl_metric_get(m, i);
    if (len > 4 && strcmp(i->name + len - 4, "_now") == 0 && value != 0)
      pl_sim_violated(s, "n%u is over, but %s is %lld", n->number, i->name, (long long)value);
  }
}

static void release(pl_sim_node *n) {
  pl_kernel *before = pl_kernel_enter(&n->site->kernel);
  pl_serve_end_all(n);
  pl_node_free(n->node);
  n->node = NULL;
  while (pl_loop_turn(n->site->loop)) {
  }
  pl_kernel_enter(before);
  add_metrics(n);
  pl_site_close(n->site);
}

static void on_down(void *user) {
  ((pl_sim_node *)user)->down = true;
}

void pl_fleet_kill(pl_sim_node *n, bool power) {
  pl_sim_note(n->sim, power ? PL_SIM_POWER : PL_SIM_KILL, n->number, 0, 0, 0);
  n->sim->report->counts.crashes++;
  n->dead = true;
  n->troubles++;
  pl_site_kill(n->site, power);
  pl_kernel *before = pl_site_enter(n->site);
  pl_work_abandon(n);
  pl_node_stop(n->node, 0, on_down, n);
  pl_site_leave(n->site, before);
  pl_site_bury(n->site, &n->down);
  release(n);
}

static void stop(pl_sim_node *n, uint64_t drain_us) {
  pl_sim_note(n->sim, PL_SIM_STOP, n->number, 0, (int64_t)drain_us, 0);
  n->stopping = true;
  pl_kernel *before = pl_site_enter(n->site);
  pl_timer_stop(&n->next_call);
  pl_node_stop(n->node, drain_us, on_down, n);
  pl_site_leave(n->site, before);
}

static void retire(pl_sim_node *n) {
  pl_kernel *before = pl_site_enter(n->site);
  pl_work_abandon(n);
  pl_site_leave(n->site, before);
  release(n);
}

static void on_look(pl_event *e) {
  pl_sim_node *n = pl_container(e, pl_sim_node, revival);
  pl_sim *s = n->sim;
  if (!n->down) {
    pl_agenda_set(&s->net.agenda, e, pl_sim_now_us(s) + LOOK_US, on_look);
    return;
  }
  retire(n);
  pl_fleet_revive(n, n->down_us);
}

void pl_fleet_restart(pl_sim_node *n, uint64_t drain_us, uint64_t after_us) {
  pl_sim *s = n->sim;
  n->down_us = after_us;
  stop(n, drain_us);
  pl_agenda_set(&s->net.agenda, &n->revival, pl_sim_now_us(s), on_look);
}

static bool all_down(const pl_sim *s) {
  for (unsigned i = 0; i < s->count; i++) {
    if (s->nodes[i].node != NULL && !s->nodes[i].down) return false;
  }
  return true;
}

void pl_fleet_stop_all(pl_sim *s) {
  for (unsigned i = 0; i < s->count; i++) {
    pl_sim_node *n = &s->nodes[i];
    pl_agenda_cancel(&s->net.agenda, &n->revival);
    if (n->node == NULL) continue;
    stop(n, pl_sim_between(s, 0, DRAIN_US));
  }
  uint64_t until_us = pl_sim_now_us(s) + STOP_US;
  while (!all_down(s) && pl_sim_now_us(s) < until_us)
    pl_net_run(&s->net, pl_sim_now_us(s) + 100000);
  for (unsigned i = 0; i < s->count; i++) {
    pl_sim_node *n = &s->nodes[i];
    if (n->node == NULL) continue;
    if (!n->down) {
      pl_sim_violated(s, "n%u does not stop", i);
      pl_fleet_kill(n, false);
    } else {
      retire(n);
    }
  }
}

void pl_fleet_free(pl_sim *s) {
  pl_free(s->nodes);
  pl_free(s->edges);
}
