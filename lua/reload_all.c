#include "lua/reload_all.h"

#include "base/mem.h"
#include "lua/script.h"
#include "lua/workers.h"

typedef struct round_all round_all;

typedef struct item {
  pl_reload_wait wait;
  round_all *round;
} item;

// Freed with the last answer.
struct round_all {
  void (*done)(void *user);
  void *user;
  size_t left;  // answers to come
  size_t count;
  pl_work nothing;  // to do, which is told from the loop as well
  item items[];
};

static void answered(round_all *r) {
  if (--r->left > 0) return;
  void (*done)(void *user) = r->done;
  void *user = r->user;
  pl_free(r);
  done(user);
}

static void on_script(pl_reload_wait *w, pl_reload_report *report) {
  (void)report;
  answered(pl_container(w, item, wait)->round);
}

static void on_replica(pl_bytes report, void *user) {
  (void)report;
  answered(user);
}

static void on_nothing(pl_work *w) {
  answered(pl_container(w, round_all, nothing));
}

static void ask(pl_script *s, void *user) {
  round_all *r = user;
  item *i = &r->items[r->count++];
  i->round = r;
  i->wait.done = on_script;
  r->left++;
  pl_reload_ask(pl_script_reload(s), &i->wait);
}

void pl_reload_all(pl_host *h, pl_loop *loop, void (*done)(void *user), void *user) {
  size_t count = pl_host_each_file(h, NULL, NULL, NULL);
  round_all *r = pl_alloc(sizeof *r + count * sizeof r->items[0]);
  r->done = done;
  r->user = user;
  pl_host_each_file(h, NULL, ask, r);
  pl_workers *workers = pl_host_workers(h);
  if (workers != NULL) r->left += pl_workers_reload(workers, NULL, on_replica, r);
  if (r->left > 0) return;
  r->left = 1;
  pl_loop_defer(loop, &r->nothing, on_nothing);
}
