#include "lua/workers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/replica.h"

enum {
  LOOK_US = 2 * PL_BEAT_US,     // between two looks at the threads
  STOP_GRACE_US = 1500 * 1000,  // for what is over to be freed
};

static pl_replica *from(pl_list *node) {
  return pl_container(node, pl_replica, node);
}

// Who lives on a thread of its own.

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

// A script is named by its path as it is run, or by its file's name.
static bool is_named(const char *word, size_t len, const char *path) {
  const char *base = base_of(path);
  return (strlen(path) == len && memcmp(path, word, len) == 0) ||
         (strlen(base) == len && memcmp(base, word, len) == 0);
}

// The script that "N" or "PATH=N" is about, of `len` bytes; 0: every one.
static size_t subject_len(const char *text) {
  const char *equals = strrchr(text, '=');
  return equals == NULL ? 0 : (size_t)(equals - text);
}

size_t pl_workers_replicas(const pl_options *o, const char *path) {
  size_t general = 0, own = 0;
  for (size_t i = 0; i < o->isolate.count; i++) {
    const char *word = o->isolate.items[i];
    if (strcmp(word, "all") == 0 || is_named(word, strlen(word), path)) general = 1;
  }
  for (size_t i = 0; i < o->replicas.count; i++) {
    const char *text = o->replicas.items[i];
    size_t len = subject_len(text);
    size_t n = strtoul(len == 0 ? text : text + len + 1, NULL, 10);
    if (len == 0) general = n;
    if (len > 0 && is_named(text, len, path)) own = n;
  }
  return own > 0 ? own : general;
}

static bool is_any(const char *word, size_t len, const char *const *paths, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (is_named(word, len, paths[i])) return true;
  }
  return false;
}

pl_err pl_workers_check(const pl_options *o, const char *const *paths, size_t count, char *detail) {
  const char *option = "isolate", *word = NULL;
  for (size_t i = 0; word == NULL && i < o->isolate.count; i++) {
    const char *text = o->isolate.items[i];
    bool known = strcmp(text, "all") == 0 || is_any(text, strlen(text), paths, count);
    if (!known) word = text;
  }
  for (size_t i = 0; word == NULL && i < o->replicas.count; i++) {
    const char *text = o->replicas.items[i];
    size_t len = subject_len(text);
    if (len == 0 || is_any(text, len, paths, count)) continue;
    option = "replicas";
    word = text;
  }
  if (word == NULL) return PL_OK;
  snprintf(detail, PL_URL_MAX, "%s: '%.200s' is none of the scripts that are run", option, word);
  return PL_INVALID;
}

// Making.

pl_workers *pl_workers_new(pl_host *h, pl_loop *loop, const pl_host_ops *ops, void *user) {
  pl_workers *ws = pl_new(pl_workers);
  ws->host = h;
  ws->loop = loop;
  ws->ops = ops;
  ws->user = user;
  pl_list_init(&ws->replicas);
  pl_list_init(&ws->asked);
  return ws;
}

void pl_workers_free(pl_workers *ws) {
  assert(ws->news == NULL);
  pl_work_cancel(&ws->end);
  pl_timer_stop(&ws->look);
  pl_timer_stop(&ws->stop_limit);
  while (!pl_list_empty(&ws->replicas))
    pl_replica_free(from(ws->replicas.next));
  pl_free(ws->seats);
  pl_free(ws);
}

pl_err pl_workers_add(pl_workers *ws, const char *path, const char *const *args, size_t count,
                      size_t replicas, char *detail) {
  const pl_options *o = pl_host_settings(ws->host);
  if (o->workers == 0) {
    snprintf(detail, PL_URL_MAX,
             "%.200s is to live on a worker thread, and none are allowed: give --workers N", path);
    return PL_INVALID;
  }
  if (!o->relay) {
    snprintf(detail, PL_URL_MAX, "workers: their calls pass through the node: not without relay");
    return PL_INVALID;
  }
  for (size_t i = 0; i < replicas; i++)
    pl_replica_new(ws, path, args, count, (unsigned)i + 1);
  return PL_OK;
}

void pl_workers_watch(pl_workers *ws) {
  ws->watches = true;
}

const char *pl_workers_path(const pl_workers *ws, size_t i) {
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    if (i-- == 0) return from(n)->path;
  }
  return NULL;
}

bool pl_workers_have(const pl_workers *ws, const char *path) {
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    if (strcmp(from(n)->path, path) == 0) return true;
  }
  return false;
}

pl_workers_state pl_workers_status(const pl_workers *ws) {
  bool alive = false, loading = false, given_up = false;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    const pl_replica *r = from(n);
    if (r->state == PL_REPLICA_FAILED) return PL_WORKERS_FAILED;
    alive |= pl_replica_lives(r) || r->state == PL_REPLICA_WAITING;
    loading |= !r->served && (pl_replica_lives(r) || r->state == PL_REPLICA_WAITING);
    given_up |= r->state == PL_REPLICA_GIVEN_UP;
  }
  if (loading) return PL_WORKERS_LOADING;
  if (alive) return PL_WORKERS_ALIVE;
  return given_up ? PL_WORKERS_GIVEN_UP : PL_WORKERS_ENDED;
}

// Reloads.

typedef struct asking {
  pl_list node;
  uint64_t token, life;
  pl_workers_reloaded *done;  // NULL: nobody waits
  void *user;
} asking;

static void answer(asking *a, pl_bytes report) {
  pl_list_remove(&a->node);
  if (a->done != NULL) a->done(report, a->user);
  pl_free(a);
}

static void ask(pl_workers *ws, pl_replica *r, pl_workers_reloaded *done, void *user) {
  asking *a = pl_new(asking);
  *a = (asking){.token = ++ws->tokens, .life = r->life, .done = done, .user = user};
  pl_list_push(&ws->asked, &a->node);
  pl_worker_reload(r->seat->worker, r->life, a->token);
}

size_t pl_workers_reload(pl_workers *ws, const char *path, pl_workers_reloaded *done, void *user) {
  size_t count = 0;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    pl_replica *r = from(n);
    if (!pl_replica_lives(r) || (path != NULL && strcmp(r->path, path) != 0)) continue;
    ask(ws, r, done, user);
    count++;
  }
  return count;
}

static void reload_others(pl_workers *ws, const pl_replica *first) {
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    pl_replica *r = from(n);
    bool same = r != first && strcmp(r->path, first->path) == 0;
    if (same && pl_replica_lives(r)) ask(ws, r, NULL, NULL);
  }
}

void pl_workers_forget(pl_workers *ws, const void *user) {
  for (pl_list *n = ws->asked.next; n != &ws->asked; n = n->next) {
    asking *a = pl_container(n, asking, node);
    if (a->user == user) a->done = NULL;
  }
}

static void answer_all(pl_workers *ws, uint64_t life, uint64_t token, pl_bytes report) {
  for (pl_list *n = ws->asked.next, *next; n != &ws->asked; n = next) {
    next = n->next;
    asking *a = pl_container(n, asking, node);
    if (a->life == life && (token == 0 || a->token == token)) answer(a, report);
  }
}

// News.

static pl_replica *find_life(pl_workers *ws, uint64_t life) {
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    pl_replica *r = from(n);
    if (r->life == life && pl_replica_lives(r)) return r;
  }
  return NULL;
}

static pl_seat *find_seat(pl_workers *ws, const pl_worker *w) {
  for (size_t i = 0; i < ws->seat_count; i++) {
    if (ws->seats[i].worker == w) return &ws->seats[i];
  }
  return NULL;
}

static void run_end(pl_work *w) {
  pl_workers *ws = pl_container(w, pl_workers, end);
  if (ws->over) return;
  ws->over = true;
  pl_host_workers_over(ws->host);
}

// While stopping: lets threads without a replica end, and tells when none is left.
static void finish(pl_workers *ws) {
  bool lives = false, threads = false;
  if (!ws->stopping) return;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next)
    lives |= pl_replica_lives(from(n));
  if (lives) return;
  for (size_t i = 0; i < ws->seat_count; i++)
    threads |= ws->seats[i].worker != NULL;
  if (threads) return;
  pl_timer_stop(&ws->look);
  pl_timer_stop(&ws->stop_limit);
  if (ws->news != NULL) pl_mailbox_close(ws->news);
  ws->news = NULL;
  pl_loop_defer(ws->loop, &ws->end, run_end);
}

static void quit_empty_seats(pl_workers *ws) {
  for (size_t i = 0; i < ws->seat_count; i++) {
    bool used = false;
    for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next)
      used |= from(n)->seat == &ws->seats[i] && pl_replica_lives(from(n));
    if (!used && ws->seats[i].worker != NULL) pl_worker_quit(ws->seats[i].worker);
  }
}

static void on_life_over(pl_workers *ws, const pl_news *n) {
  pl_replica *r = find_life(ws, n->life);
  if (r == NULL) return;
  if (ws->stopping || (n->code == 0 && n->text == NULL)) {
    pl_replica_end(r, PL_REPLICA_ENDED);
  } else if (!r->served) {
    pl_replica_end(r, PL_REPLICA_FAILED);
  } else {
    pl_replica_died(r, n->text != NULL ? n->text : "it could not be loaded");
  }
  answer_all(ws, n->life, 0, (pl_bytes){0});
  if (ws->stopping) {
    quit_empty_seats(ws);
    finish(ws);
  } else {
    pl_host_script_changed(ws->host);
  }
}

static void on_loaded(pl_workers *ws, const pl_news *n) {
  pl_replica *r = find_life(ws, n->life);
  if (r != NULL && !ws->stopping) pl_replica_loaded(r, n->offers);
}

static void on_thread_ended(pl_workers *ws, pl_worker *w) {
  pl_seat *seat = find_seat(ws, w);
  if (seat == NULL) return;  // it was given up
  seat->worker = NULL;
  pl_worker_join(w);
  pl_worker_drop(w);
  finish(ws);
}

static void on_news(pl_news *n, void *owner) {
  pl_workers *ws = owner;
  const pl_replica *r = find_life(ws, n->life);
  switch (n->kind) {
    case PL_NEWS_READY: on_loaded(ws, n); break;
    case PL_NEWS_OVER: on_life_over(ws, n); break;
    case PL_NEWS_EXIT:
      if (r != NULL) pl_host_exit_within(ws->host, n->code, n->drain_us);
      break;
    case PL_NEWS_RELOADS:
      if (r != NULL) reload_others(ws, r);
      break;
    case PL_NEWS_RELOADED:
      answer_all(ws, n->life, n->token,
                 pl_bytes_of(pl_buf_data(&n->report), pl_buf_len(&n->report)));
      break;
    case PL_NEWS_ENDED: on_thread_ended(ws, n->worker); break;
  }
  pl_news_free(n);
}

// Threads.

pl_worker *pl_workers_seat(pl_workers *ws, pl_seat *seat) {
  if (seat->worker != NULL || ws->news == NULL) return seat->worker;
  const pl_options *o = pl_host_settings(ws->host);
  pl_log_level level = PL_LOG_INFO;
  pl_log_level_parse(&level, o->log_level);
  char name[32];
  snprintf(name, sizeof name, "worker-%u", seat->number);
  seat->worker = pl_worker_new(name, level, strcmp(o->log_format, "json") == 0, ws->news, on_news);
  seat->silent = 0;
  return seat->worker;
}

// The replica is lost to its callers at once; what its thread may still do reaches nobody.
static void cut_off(pl_workers *ws, pl_replica *r) {
  pl_node *node = pl_host_node(ws->host);
  uint64_t life = r->life;
  if (node != NULL) pl_node_disconnect(node, &r->id, "its thread does not answer", false, true);
  pl_replica_died(r, "its thread does not answer");
  answer_all(ws, life, 0, (pl_bytes){0});
}

static void give_up(pl_workers *ws, pl_seat *seat) {
  pl_worker *w = seat->worker;
  pl_log_error(ws->loop->log, "a worker thread does not answer, it is given up",
               pl_f_text("thread", pl_worker_name(w)),
               pl_f_int("given_up", (int64_t)++ws->abandoned));
  ws->loop->metrics.workers_lost++;
  seat->worker = NULL;
  pl_worker_abandon(w);
  pl_worker_drop(w);
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    if (from(n)->seat == seat && pl_replica_lives(from(n))) cut_off(ws, from(n));
  }
  if (ws->stopping) {
    finish(ws);
  } else {
    pl_host_script_changed(ws->host);
  }
}

static unsigned most_silent(const pl_workers *ws) {
  const pl_options *o = pl_host_settings(ws->host);
  double us = o->heartbeat * (double)o->heartbeat_misses * 1e6;
  return (unsigned)(us / (double)LOOK_US) + 2;
}

// Looks count, not time: when this thread did not run, others may not have run either.
static void on_look(pl_timer *t) {
  pl_workers *ws = pl_container(t, pl_workers, look);
  unsigned most = most_silent(ws);
  pl_timer_start(&ws->loop->clock, t, LOOK_US, on_look);
  for (size_t i = 0; i < ws->seat_count; i++) {
    pl_seat *seat = &ws->seats[i];
    if (seat->worker == NULL) continue;
    uint64_t beats = pl_worker_beats(seat->worker);
    seat->silent = beats == seat->beats ? seat->silent + 1 : 0;
    seat->beats = beats;
    if (seat->silent >= most) give_up(ws, seat);
  }
}

static void make_seats(pl_workers *ws) {
  size_t replicas = 0;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next)
    replicas++;
  size_t most = (size_t)pl_host_settings(ws->host)->workers;
  ws->seat_count = replicas < most ? replicas : most;
  ws->seats = pl_alloc(ws->seat_count * sizeof *ws->seats);
  for (size_t i = 0; i < ws->seat_count; i++)
    ws->seats[i].number = (unsigned)i + 1;
}

pl_err pl_workers_start(pl_workers *ws, char *detail) {
  if (ws->started) return PL_OK;
  ws->started = true;
  ws->news = pl_mailbox_new(ws->loop, ws);
  if (ws->news == NULL) {
    snprintf(detail, PL_URL_MAX, "no descriptors for workers");
    return PL_IO_ERROR;
  }
  pl_id door;
  pl_id_random(&door);
  pl_id_format(&door, ws->door);
  pl_err err = pl_node_open_door(pl_host_node(ws->host), ws->door, detail);
  if (err != PL_OK) return err;
  make_seats(ws);
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    from(n)->seat = &ws->seats[ws->next_seat++ % ws->seat_count];
    pl_replica_start(from(n));
  }
  pl_timer_start(&ws->loop->clock, &ws->look, LOOK_US, on_look);
  return PL_OK;
}

// Stopping.

static void on_stop_limit(pl_timer *t) {
  pl_workers *ws = pl_container(t, pl_workers, stop_limit);
  for (size_t i = 0; i < ws->seat_count; i++) {
    if (ws->seats[i].worker != NULL) give_up(ws, &ws->seats[i]);
  }
}

void pl_workers_stop(pl_workers *ws, uint64_t drain_us) {
  const pl_options *o = pl_host_settings(ws->host);
  uint64_t limit_us = drain_us + (uint64_t)(o->cleanup_grace * 1e6) + STOP_GRACE_US;
  bool sooner =
      !pl_timer_active(&ws->stop_limit) || pl_now_us(ws->loop) + limit_us < ws->stop_limit.at_us;
  ws->stopping = true;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    pl_replica *r = from(n);
    pl_timer_stop(&r->again);
    pl_watch_cancel(&r->heard);
    if (r->state == PL_REPLICA_WAITING) r->state = PL_REPLICA_ENDED;
    if (pl_replica_lives(r)) pl_worker_stop(r->seat->worker, r->life, drain_us);
  }
  if (sooner) pl_timer_start(&ws->loop->clock, &ws->stop_limit, limit_us, on_stop_limit);
  quit_empty_seats(ws);
  finish(ws);
}

// Showing.

static const char *state_name(pl_replica_state s) {
  switch (s) {
    case PL_REPLICA_WAITING: return "waiting";
    case PL_REPLICA_LOADING: return "loading";
    case PL_REPLICA_SERVING: return "serving";
    case PL_REPLICA_ENDED: return "ended";
    case PL_REPLICA_GIVEN_UP: return "given up";
    case PL_REPLICA_FAILED: return "failed";
  }
  return "?";
}

void pl_workers_pack(const pl_workers *ws, pl_pack *k) {
  size_t count = 0;
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next)
    count++;
  pl_pack_array(k, count);
  for (pl_list *n = ws->replicas.next; n != &ws->replicas; n = n->next) {
    const pl_replica *r = from(n);
    pl_pack_map(k, r->why != NULL ? 6 : 5);
    pl_pack_text(k, "script");
    pl_pack_text(k, r->path);
    pl_pack_text(k, "name");
    pl_pack_text(k, r->name);
    pl_pack_text(k, "state");
    pl_pack_text(k, state_name(r->state));
    pl_pack_text(k, "thread");
    pl_pack_uint(k, r->seat != NULL ? r->seat->number : 0);
    pl_pack_text(k, "restarts");
    pl_pack_uint(k, r->restarts);
    if (r->why == NULL) continue;
    pl_pack_text(k, "died_of");
    pl_pack_text(k, r->why);
  }
}
