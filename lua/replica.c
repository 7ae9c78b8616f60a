// One replica of a script on a worker thread: its lives, and the pauses between them.

#include "lua/replica.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

pl_replica *pl_replica_new(pl_workers *ws, const char *path, const char *const *args, size_t count,
                           unsigned index) {
  pl_replica *r = pl_new(pl_replica);
  r->workers = ws;
  r->path = pl_strdup(path);
  for (size_t i = 0; i < count; i++)
    pl_texts_add(&r->args, args[i]);
  r->index = index;
  pl_list_init(&r->heard.node);
  pl_list_push(&ws->replicas, &r->node);
  return r;
}

void pl_replica_free(pl_replica *r) {
  pl_timer_stop(&r->again);
  pl_watch_cancel(&r->heard);
  pl_list_remove(&r->node);
  pl_texts_free(&r->args);
  pl_free(r->deaths_us);
  pl_free(r->path);
  pl_free(r);
}

// Its node: a neighbour of the node alone, through the door.

static void reset(pl_options *o, const char *name) {
  const pl_option *opt = pl_option_find(name);
  pl_option_reset(o, opt);
  o->source[opt - pl_option_list] = PL_SOURCE_ARGUMENTS;  // no script changes it
}

static void set(pl_options *o, const char *name, const char *text) {
  char why[PL_URL_MAX];
  const pl_option_value v = {.given = PL_GIVEN_TEXT, .text = text};
  reset(o, name);
  pl_option_set(o, PL_SOURCE_ARGUMENTS, pl_option_find(name), &v, why);
}

// "shop" and "lib/heavy.lua" make "shop/heavy-1".
static void name_node(pl_replica *r) {
  const char *slash = strrchr(r->path, '/');
  const char *base = slash == NULL ? r->path : slash + 1;
  const char *dot = strrchr(base, '.');
  size_t len = dot == NULL || dot == base ? strlen(base) : (size_t)(dot - base);
  const char *of = pl_node_name(pl_host_node(r->workers->host));
  snprintf(r->name, sizeof r->name, "%.120s/%.*s-%u", of, (int)(len < 100 ? len : 100), base,
           r->index);
}

static void make_options(const pl_replica *r, pl_options *o) {
  static const char *const of_the_node[] = {"listen",    "mesh",     "advertise", "workers",
                                            "isolate",   "replicas", "state_dir", "http",
                                            "link_cost", "insecure", "admin"};
  char id[PL_ID_HEX], door[PL_URL_MAX];
  pl_options_copy(o, pl_node_options(pl_host_node(r->workers->host)));
  for (size_t i = 0; i < sizeof of_the_node / sizeof *of_the_node; i++)
    reset(o, of_the_node[i]);
  pl_id_format(&r->id, id);
  snprintf(door, sizeof door, "door://%s", r->workers->door);
  set(o, "id", id);
  set(o, "name", r->name);
  set(o, "peers", door);
  set(o, "relay", "false");  // it has but one link
}

// Lives.

void pl_replica_start(pl_replica *r) {
  pl_workers *ws = r->workers;
  pl_worker *w = pl_workers_seat(ws, r->seat);
  if (w == NULL) {
    pl_replica_died(r, "there is no thread for it");
    return;
  }
  pl_id_random(&r->id);
  name_node(r);
  pl_options options;
  make_options(r, &options);
  pl_replica_plan plan = {
      .life = r->life = ++ws->lives,
      .path = r->path,
      .args = &r->args,
      .options = &options,
      .home = {.id = *pl_node_id(pl_host_node(ws->host))},
      .ops = ws->ops,
      .user = ws->user,
      .watches = ws->watches,
  };
  pl_host_home_stores(ws->host, r->path, &plan.home);
  pl_worker_start(w, &plan);
  pl_options_free(&options);
  r->state = PL_REPLICA_LOADING;
}

typedef struct census {
  const pl_id *id;
  size_t offers;
} census;

static void count_offer(const pl_action_info *info, void *user) {
  census *c = user;
  if (pl_id_equal(&info->provider, c->id)) c->offers++;
}

static void look_for_offers(pl_replica *r);
static void on_told(pl_timer *t);

static void on_heard(pl_watch *w) {
  look_for_offers(pl_container(w, pl_replica, heard));
}

static void look_for_offers(pl_replica *r) {
  pl_workers *ws = r->workers;
  census c = {.id = &r->id};
  pl_node_each_action(pl_host_node(ws->host), count_offer, &c);
  if (c.offers < r->offers) {
    pl_host_on_change(ws->host, &r->heard, on_heard);
    return;
  }
  // Others know the way there when the record of the node with its link has been told.
  pl_timer_start(&ws->loop->clock, &r->again, 3 * PL_RECORD_PACE_US, on_told);
}

static void on_told(pl_timer *t) {
  pl_replica *r = pl_container(t, pl_replica, again);
  const pl_workers *ws = r->workers;
  r->state = PL_REPLICA_SERVING;
  r->served = true;
  if (r->restarts > 0)
    pl_log_info(ws->loop->log, "a replica serves again", pl_f_text("script", r->path),
                pl_f_text("node", r->name), pl_f_int("restarts", (int64_t)r->restarts));
  pl_host_script_changed(ws->host);
}

void pl_replica_loaded(pl_replica *r, size_t offers) {
  r->offers = offers;
  look_for_offers(r);
}

void pl_replica_end(pl_replica *r, pl_replica_state state) {
  pl_timer_stop(&r->again);
  pl_watch_cancel(&r->heard);
  r->state = state;
}

static void on_again(pl_timer *t) {
  pl_replica *r = pl_container(t, pl_replica, again);
  r->restarts++;
  r->workers->loop->metrics.worker_restarts++;
  pl_replica_start(r);
}

// How many deaths count now; the others are forgotten.
static size_t count_deaths(pl_replica *r, uint64_t now_us, const pl_options *o) {
  size_t most = (size_t)o->max_restarts + 1;
  uint64_t window_us = (uint64_t)(o->restart_window * 1e6);
  if (r->deaths_us == NULL) r->deaths_us = pl_alloc(most * sizeof *r->deaths_us);
  size_t old = 0;
  while (old < r->deaths && now_us - r->deaths_us[old] > window_us)
    old++;
  r->deaths -= old;
  memmove(r->deaths_us, r->deaths_us + old, r->deaths * sizeof *r->deaths_us);
  r->deaths_us[r->deaths++] = now_us;
  return r->deaths;
}

static uint64_t pause_us(pl_replica *r) {
  uint64_t us = PL_RESTART_MIN_US;
  for (size_t n = 1; n < r->deaths && us < PL_RESTART_MAX_US; n++)
    us *= 2;
  if (us > PL_RESTART_MAX_US) us = PL_RESTART_MAX_US;
  return us + pl_random_below(&r->workers->loop->random, us / 4 + 1);
}

void pl_replica_died(pl_replica *r, const char *why) {
  pl_workers *ws = r->workers;
  pl_log *log = ws->loop->log;
  r->why = why;
  pl_timer_stop(&r->again);
  pl_watch_cancel(&r->heard);
  if (ws->stopping) {
    r->state = PL_REPLICA_ENDED;
    return;
  }
  const pl_options *o = pl_node_options(pl_host_node(ws->host));
  if (count_deaths(r, pl_now_us(ws->loop), o) > (size_t)o->max_restarts) {
    r->state = PL_REPLICA_GIVEN_UP;
    pl_log_error(log, "a replica died too often, it is given up", pl_f_text("script", r->path),
                 pl_f_text("node", r->name), pl_f_text("why", why),
                 pl_f_int("restarts", (int64_t)r->restarts),
                 pl_f_float("window_s", o->restart_window));
    return;
  }
  uint64_t us = pause_us(r);
  r->state = PL_REPLICA_WAITING;
  pl_log_error(log, "a replica died, it will be started again", pl_f_text("script", r->path),
               pl_f_text("node", r->name), pl_f_text("why", why),
               pl_f_int("in_ms", (int64_t)(us / 1000)));
  pl_timer_start(&ws->loop->clock, &r->again, us, on_again);
}
