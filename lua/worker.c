#include "lua/worker.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/script.h"
#include "lua/watchdog.h"

struct pl_worker {
  atomic_uint refs;  // the supervisor, the thread, and news that are under way
  char name[PL_NAME_MAX + 16];
  pthread_t thread;
  _Atomic uint64_t beats;
  pl_mailbox *in;   // of the thread; held for the supervisor
  pl_mailbox *out;  // held
  void (*on_news)(pl_news *n, void *owner);
  // Of the thread alone.
  pl_loop *loop;
  pl_mailbox *inbox;  // its own reference of `in`
  pl_list residents;
  pl_timer beat;
  bool quits;
};

// A replica.
typedef struct resident {
  pl_list node;
  pl_worker *worker;
  uint64_t life;
  pl_host *host;
  const pl_host_ops *ops;
  void *user;
  pl_work gone;
  int code;
  const char *why;      // it had to be ended
  unsigned full_beats;  // for how many the memory has been full
} resident;

typedef enum order_kind { ORDER_START, ORDER_STOP, ORDER_RELOAD, ORDER_QUIT } order_kind;

typedef struct order {
  pl_mail mail;
  order_kind kind;
  uint64_t life, token, drain_us;
  // of ORDER_START
  char *path;
  pl_texts args;
  pl_options options;
  pl_host_home home;
  const pl_host_ops *ops;
  void *user;
  bool watches;
} order;

// News.

void pl_news_free(pl_news *n) {
  pl_buf_fini(&n->report);
  pl_worker_drop(n->worker);
  pl_free(n);
}

static void run_news(pl_mail *m, void *owner) {
  pl_news *n = pl_container(m, pl_news, mail);
  n->worker->on_news(n, owner);
}

static void drop_news(pl_mail *m) {
  pl_news_free(pl_container(m, pl_news, mail));
}

static pl_news *news_of(pl_worker *w, pl_news_kind kind, uint64_t life) {
  pl_news *n = pl_new(pl_news);
  atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
  n->mail = (pl_mail){.run = run_news, .drop = drop_news};
  n->kind = kind;
  n->worker = w;
  n->life = life;
  return n;
}

static void tell(pl_news *n) {
  pl_mailbox_post(n->worker->out, &n->mail);
}

// Residents. Everything from here to the supervisor's side is on the thread.

static void end_if_done(pl_worker *w) {
  if (!w->quits || !pl_list_empty(&w->residents)) return;
  pl_timer_stop(&w->beat);
  if (w->inbox != NULL) pl_mailbox_close(w->inbox);
  w->inbox = NULL;
}

static void run_gone(pl_work *work) {
  resident *r = pl_container(work, resident, gone);
  pl_worker *w = r->worker;
  pl_host_free(r->host);
  pl_list_remove(&r->node);
  pl_news *n = news_of(w, PL_NEWS_OVER, r->life);
  n->code = r->code;
  n->text = r->why;
  tell(n);
  pl_free(r);
  end_if_done(w);
}

static void on_over(pl_host *h, int code, void *user) {
  (void)h;
  resident *r = user;
  r->code = code;
  pl_loop_defer(r->worker->loop, &r->gone, run_gone);
}

static void count_own(const pl_action_info *info, void *user) {
  if (info->hops == 0) ++*(size_t *)user;
}

static void on_ready(pl_host *h, void *user) {
  resident *r = user;
  pl_news *n = news_of(r->worker, PL_NEWS_READY, r->life);
  pl_node_each_action(pl_host_node(h), count_own, &n->offers);
  tell(n);
}

static void on_reload(pl_host *h, const pl_reload_report *report, void *user) {
  const resident *r = user;
  if (r->ops->on_reload != NULL) r->ops->on_reload(h, report, r->user);
}

static void on_exit_wanted(pl_host *h, int code, uint64_t drain_us, void *user) {
  (void)h;
  resident *r = user;
  pl_news *n = news_of(r->worker, PL_NEWS_EXIT, r->life);
  n->code = code;
  n->drain_us = drain_us;
  tell(n);
}

static void on_reload_wanted(pl_host *h, void *user) {
  (void)h;
  const resident *r = user;
  tell(news_of(r->worker, PL_NEWS_RELOADS, r->life));
}

static const pl_host_ops resident_ops = {.on_ready = on_ready,
                                         .on_reload = on_reload,
                                         .on_exit = on_exit_wanted,
                                         .on_reload_wanted = on_reload_wanted,
                                         .on_over = on_over};

static void start(pl_worker *w, const order *o) {
  resident *r = pl_new(resident);
  r->worker = w;
  r->life = o->life;
  r->ops = o->ops;
  r->user = o->user;
  pl_list_push(&w->residents, &r->node);
  r->host = pl_host_new(w->loop, &o->options, &resident_ops, r);
  pl_host_house(r->host, &o->home);
  char detail[PL_URL_MAX] = "";
  pl_err err = pl_host_add(r->host, o->path, (pl_bytes){0}, (const char *const *)o->args.items,
                           o->args.count, false, detail);
  if (err != PL_OK) {
    pl_err_print(err, detail);
    pl_host_stop(r->host, 1);
    return;
  }
  if (o->watches) pl_host_watch(r->host);
  pl_host_run(r->host);
}

static resident *find(pl_worker *w, uint64_t life) {
  for (pl_list *n = w->residents.next; n != &w->residents; n = n->next) {
    if (pl_container(n, resident, node)->life == life) return pl_container(n, resident, node);
  }
  return NULL;
}

typedef struct asking {
  pl_reload_wait wait;
  pl_worker *worker;
  uint64_t life, token;
} asking;

static void on_reloaded(pl_reload_wait *wait, pl_reload_report *report) {
  asking *a = pl_container(wait, asking, wait);
  pl_news *n = news_of(a->worker, PL_NEWS_RELOADED, a->life);
  n->token = a->token;
  pl_reload_report_encode(report, &n->report);
  tell(n);
  pl_free(a);
}

typedef struct asker {
  pl_worker *worker;
  const order *order;
} asker;

static void ask(pl_script *s, void *user) {
  const asker *k = user;
  asking *a = pl_new(asking);
  a->wait.done = on_reloaded;
  a->worker = k->worker;
  a->life = k->order->life;
  a->token = k->order->token;
  pl_reload_ask(pl_script_reload(s), &a->wait);
}

static void quit(pl_worker *w, const order *o) {
  w->quits = true;
  for (pl_list *n = w->residents.next; o->drain_us == 0 && n != &w->residents; n = n->next)
    pl_host_stop_within(pl_container(n, resident, node)->host, 0, 0);
  end_if_done(w);
}

static void order_free(order *o) {
  pl_free(o->path);
  pl_texts_free(&o->args);
  if (o->kind == ORDER_START) pl_options_free(&o->options);
  pl_store_drop(o->home.own);
  pl_store_drop(o->home.shared);
  pl_free(o);
}

static void run_order(pl_mail *m, void *owner) {
  pl_worker *w = owner;
  order *o = pl_container(m, order, mail);
  resident *r = find(w, o->life);
  asker a = {w, o};
  switch (o->kind) {
    case ORDER_START: start(w, o); break;
    case ORDER_STOP:
      if (r != NULL) pl_host_stop_within(r->host, 0, o->drain_us);
      break;
    case ORDER_RELOAD:
      if (r != NULL) pl_host_each_file(r->host, NULL, ask, &a);
      break;
    case ORDER_QUIT: quit(w, o); break;
  }
  order_free(o);
}

static void drop_order(pl_mail *m) {
  order_free(pl_container(m, order, mail));
}

// A VM whose memory stays full after a collection serves nobody any more.
static void check_memory(resident *r) {
  pl_vm *vm = pl_host_vm(r->host);
  if (vm == NULL || r->why != NULL || !pl_vm_is_full(vm)) {
    r->full_beats = 0;
    return;
  }
  if (++r->full_beats < PL_MEMORY_FULL_BEATS) return;
  r->full_beats = 0;
  pl_vm_collect(vm);
  if (!pl_vm_is_full(vm)) return;
  r->why = "its memory is full";
  pl_host_stop_within(r->host, 1, 0);
}

static void on_beat(pl_timer *t) {
  pl_worker *w = pl_container(t, pl_worker, beat);
  atomic_fetch_add_explicit(&w->beats, 1, memory_order_relaxed);
  for (pl_list *n = w->residents.next; n != &w->residents; n = n->next)
    check_memory(pl_container(n, resident, node));
  pl_timer_start(&w->loop->clock, t, PL_BEAT_US, on_beat);
}

static void *run(void *user) {
  pl_worker *w = user;
  pl_watchdog_join(w->loop->log, w->name);
  pl_timer_start(&w->loop->clock, &w->beat, PL_BEAT_US, on_beat);
  pl_loop_run(w->loop);
  pl_watchdog_part();
  pl_loop_free(w->loop);
  tell(news_of(w, PL_NEWS_ENDED, 0));
  pl_worker_drop(w);
  return NULL;
}

// The supervisor's side.

static void free_worker(pl_worker *w) {
  pl_mailbox_drop(w->in);
  pl_mailbox_drop(w->out);
  pl_free(w);
}

// The signals of a process are for its main thread; that of the governor is sent to a thread.
static bool start_thread(pl_worker *w) {
  sigset_t most, before;
  sigfillset(&most);
  sigdelset(&most, PL_TICK_SIGNAL);
  pthread_sigmask(SIG_SETMASK, &most, &before);
  bool ok = pthread_create(&w->thread, NULL, run, w) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

pl_worker *pl_worker_new(const char *name, pl_log_level level, bool json, pl_mailbox *out,
                         void (*on_news)(pl_news *n, void *owner)) {
  pl_worker *w = pl_new(pl_worker);
  pl_list_init(&w->residents);
  snprintf(w->name, sizeof w->name, "%s", name);
  atomic_init(&w->refs, 2);
  pl_log *log = pl_log_new();
  pl_log_set_level(log, level);
  pl_log_set_json(log, json);
  w->loop = pl_loop_new(log);
  w->inbox = pl_mailbox_new(w->loop, w);
  if (w->inbox == NULL) {
    pl_loop_free(w->loop);
    pl_free(w);
    return NULL;
  }
  w->in = pl_mailbox_hold(w->inbox);
  w->out = pl_mailbox_hold(out);
  w->on_news = on_news;
  if (start_thread(w)) return w;
  pl_mailbox_close(w->inbox);
  pl_loop_run(w->loop);
  pl_loop_free(w->loop);
  free_worker(w);
  return NULL;
}

const char *pl_worker_name(const pl_worker *w) {
  return w->name;
}

uint64_t pl_worker_beats(const pl_worker *w) {
  return atomic_load_explicit(&w->beats, memory_order_relaxed);
}

void pl_worker_drop(pl_worker *w) {
  if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) == 1) free_worker(w);
}

void pl_worker_join(pl_worker *w) {
  pthread_join(w->thread, NULL);
}

static order *order_of(order_kind kind, uint64_t life) {
  order *o = pl_new(order);
  o->mail = (pl_mail){.run = run_order, .drop = drop_order};
  o->kind = kind;
  o->life = life;
  return o;
}

void pl_worker_start(pl_worker *w, const pl_replica_plan *plan) {
  order *o = order_of(ORDER_START, plan->life);
  o->path = pl_strdup(plan->path);
  for (size_t i = 0; i < plan->args->count; i++)
    pl_texts_add(&o->args, plan->args->items[i]);
  pl_options_copy(&o->options, plan->options);
  o->home = plan->home;
  pl_store_hold(o->home.own);
  pl_store_hold(o->home.shared);
  o->ops = plan->ops;
  o->user = plan->user;
  o->watches = plan->watches;
  pl_mailbox_post(w->in, &o->mail);
}

void pl_worker_stop(pl_worker *w, uint64_t life, uint64_t drain_us) {
  order *o = order_of(ORDER_STOP, life);
  o->drain_us = drain_us;
  pl_mailbox_post(w->in, &o->mail);
}

void pl_worker_reload(pl_worker *w, uint64_t life, uint64_t token) {
  order *o = order_of(ORDER_RELOAD, life);
  o->token = token;
  pl_mailbox_post(w->in, &o->mail);
}

void pl_worker_quit(pl_worker *w) {
  order *o = order_of(ORDER_QUIT, 0);
  o->drain_us = PL_NEVER;
  pl_mailbox_post(w->in, &o->mail);
}

void pl_worker_abandon(pl_worker *w) {
  pthread_detach(w->thread);
  pl_mailbox_post(w->in, &order_of(ORDER_QUIT, 0)->mail);
}
