#include "sim/net.h"

#include <assert.h>

#include "base/limits.h"

enum { START_US = 1000000, LATENCY_US = 100, PPM = 1000000 };

// Noon of 1 January 2026: any time would do, but it must always be the same.
static const uint64_t start_wall_us = UINT64_C(1767268800) * PPM;

void pl_net_init(pl_net *n, uint64_t seed) {
  *n = (pl_net){.common = {.latency_us = LATENCY_US, .jitter_us = LATENCY_US / 2}};
  pl_agenda_init(&n->agenda, START_US);
  pl_random_seed(&n->random, seed);
  pl_list_init(&n->sites);
  pl_list_init(&n->ready);
  pl_list_init(&n->conns);
}

void pl_net_fini(pl_net *n) {
  pl_conns_fini(n);
  for (pl_list *at; (at = pl_list_pop(&n->sites)) != NULL;) {
    pl_site *s = pl_container(at, pl_site, node);
    assert(s->loop == NULL);
    pl_free(s->name);
    pl_free(s);
  }
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&n->paths, &at)) != NULL;)
    pl_free(e->value);
  pl_map_fini(&n->paths);
  pl_agenda_fini(&n->agenda);
}

pl_wire *pl_net_path(pl_net *n, const pl_site *from, const pl_site *to) {
  uint64_t key = (uint64_t)from->number << 32 | to->number;
  pl_wire *p = pl_map_find(&n->paths, key);
  if (p != NULL) return p;
  p = pl_new(pl_wire);
  *p = n->common;
  pl_map_put(&n->paths, key, p);
  return p;
}

void pl_net_shape(pl_net *n, const pl_site *from, const pl_site *to, const pl_wire *shape) {
  pl_wire *p = pl_net_path(n, from, to);
  bool down = p->down;
  *p = *shape;
  p->down = down;
  pl_conns_hurry(n, p);
}

void pl_net_block(pl_net *n, const pl_site *from, const pl_site *to, bool down) {
  pl_wire *p = pl_net_path(n, from, to);
  if (p->down == down) return;
  p->down = down;
  if (!down) pl_conns_resume(n, p, NULL);
}

// Machines.

pl_site *pl_site_new(pl_net *n, const char *name) {
  pl_site *s = pl_new(pl_site);
  s->scheme = pl_scheme_sim;
  s->net = n;
  s->number = n->site_count++;
  s->name = pl_strdup(name);
  s->rate_ppm = PPM;
  pl_random_seed(&s->kernel.secrets, pl_random_u64(&n->random));
  pl_list_init(&s->in_ready);
  pl_list_push(&n->sites, &s->node);
  return s;
}

static uint64_t local_now(const pl_site *s) {
  uint64_t passed = pl_net_now_us(s->net) - s->since_us;
  return s->local_us + (uint64_t)((unsigned __int128)passed * s->rate_ppm / PPM);
}

// When the net's clock shows it; never too early.
static uint64_t global_of(const pl_site *s, uint64_t local_us) {
  if (local_us <= s->local_us) return s->since_us;
  uint64_t ahead = local_us - s->local_us;
  return s->since_us + (uint64_t)(((unsigned __int128)ahead * PPM + s->rate_ppm - 1) / s->rate_ppm);
}

static void on_wake(pl_event *e) {
  pl_site_touch(pl_container(e, pl_site, wake));
}

static void become_ready(pl_site *s) {
  if (pl_list_empty(&s->in_ready)) pl_list_push(&s->net->ready, &s->in_ready);
}

static void on_noticed(pl_event *e) {
  become_ready(pl_container(e, pl_site, wake));
}

void pl_site_touch(pl_site *s) {
  if (s->loop == NULL || s->severed || s->running || s->paused) return;
  if (s->lag_us == 0) {
    become_ready(s);
    return;
  }
  uint64_t at_us = pl_net_now_us(s->net) + s->lag_us;
  bool sooner = pl_event_is_set(&s->wake) && s->wake.fire == on_noticed && s->wake.at_us <= at_us;
  if (!sooner) pl_agenda_set(&s->net->agenda, &s->wake, at_us, on_noticed);
}

pl_kernel *pl_site_enter(pl_site *s) {
  s->kernel.wall_us =
      start_wall_us + pl_net_now_us(s->net) - START_US + (uint64_t)s->wall_offset_us;
  pl_kernel *before = pl_kernel_enter(&s->kernel);
  s->running = true;
  if (!s->severed && !s->paused) pl_clock_advance(&s->loop->clock, local_now(s));
  return before;
}

void pl_site_leave(pl_site *s, pl_kernel *before) {
  pl_kernel_enter(before);
  s->running = false;
  pl_site_touch(s);
}

static void set_wake(pl_site *s) {
  uint64_t next = pl_clock_next_us(&s->loop->clock);
  if (next == PL_NEVER)
    pl_agenda_cancel(&s->net->agenda, &s->wake);
  else
    pl_agenda_set(&s->net->agenda, &s->wake, global_of(s, next), on_wake);
}

// Runs what is due at a machine.
static void run(pl_site *s) {
  if (s->paused || s->loop == NULL || s->severed) return;
  pl_kernel *before = pl_site_enter(s);
  bool used_up = false;
  while (!used_up && pl_loop_turn(s->loop))
    used_up = s->loop->turn_over;  // by a script that computes, which takes its time
  pl_kernel_enter(before);
  s->running = false;
  if (used_up)
    pl_agenda_set(&s->net->agenda, &s->wake, pl_net_now_us(s->net) + PL_TURN_US, on_wake);
  else
    set_wake(s);
}

void pl_net_run(pl_net *n, uint64_t until_us) {
  do {
    for (pl_list *at; (at = pl_list_pop(&n->ready)) != NULL;)
      run(pl_container(at, pl_site, in_ready));
  } while (pl_agenda_step(&n->agenda, until_us));
  if (until_us > n->agenda.now_us) n->agenda.now_us = until_us;
}

// Processes.

static void rebase(pl_site *s) {
  s->local_us = local_now(s);
  s->since_us = pl_net_now_us(s->net);
}

pl_loop *pl_site_boot(pl_site *s, pl_log *log) {
  assert(s->loop == NULL);
  if (s->dark) pl_site_light(s);
  s->paused = s->severed = false;
  pl_kernel *before = pl_kernel_enter(&s->kernel);
  s->loop = pl_loop_new_virtual(log, pl_random_u64(&s->kernel.secrets));
  pl_kernel_enter(before);
  s->loop->network = &s->scheme;
  s->since_us = pl_net_now_us(s->net);
  s->local_us = s->loop->clock.now_us;
  return s->loop;
}

static void leave_net(pl_site *s) {
  s->severed = true;
  pl_list_remove(&s->in_ready);
  pl_agenda_cancel(&s->net->agenda, &s->wake);
}

void pl_site_kill(pl_site *s, bool dark) {
  pl_conns_kill(s, dark);
  leave_net(s);
  s->dark = dark;
}

void pl_site_bury(pl_site *s, const bool *over) {
  assert(s->severed);
  pl_kernel *before = pl_kernel_enter(&s->kernel);
  while (!*over) {
    while (pl_loop_turn(s->loop)) {
    }
    uint64_t next = pl_clock_next_us(&s->loop->clock);
    assert(*over || next != PL_NEVER);
    if (!*over) pl_clock_advance(&s->loop->clock, next);
  }
  pl_kernel_enter(before);
}

void pl_site_close(pl_site *s) {
  pl_kernel *before = pl_kernel_enter(&s->kernel);
  while (pl_loop_turn(s->loop)) {
  }
  if (!s->severed) leave_net(s);
  pl_loop_free(s->loop);
  pl_kernel_enter(before);
  s->loop = NULL;
}

void pl_site_light(pl_site *s) {
  s->dark = false;
  pl_conns_resume(s->net, NULL, s);
}

// Troubles of one.

void pl_site_pause(pl_site *s, bool paused) {
  if (s->paused == paused) return;
  s->paused = paused;
  if (paused) {
    pl_list_remove(&s->in_ready);
    pl_agenda_cancel(&s->net->agenda, &s->wake);
  } else {
    pl_site_touch(s);
  }
}

static void adjusted(pl_site *s) {
  if (s->loop != NULL && !s->severed) pl_site_touch(s);
}

void pl_site_set_rate(pl_site *s, uint64_t ppm) {
  rebase(s);
  s->rate_ppm = ppm;
  adjusted(s);
}

void pl_site_leap(pl_site *s, uint64_t us) {
  rebase(s);
  s->local_us += us;
  adjusted(s);
}

void pl_site_set_wall_offset(pl_site *s, int64_t us) {
  s->wall_offset_us = us;
}
