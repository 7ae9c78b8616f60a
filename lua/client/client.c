#include "lua/client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { KEEP_MS = 3600 * 1000 };

// Holding.

void pl_client_hold(pl_client *c) {
  pthread_mutex_lock(&c->lock);
  sigset_t all, pending;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &c->before);
  sigpending(&pending);
  c->pending = sigismember(&pending, SIGPIPE) == 1;
}

void pl_client_drop(pl_client *c) {
  static const struct timespec now = {0};
  sigset_t pipe, before = c->before;
  if (!c->pending) {
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR) {
    }
  }
  c->left_us = uv_hrtime() / 1000;
  if (c->sleeps) {
    c->sleeps = false;
    uint64_t one = 1;
    ssize_t wrote = write(c->bell, &one, sizeof one);  // of an eventfd: cannot fail
    (void)wrote;
  }
  pthread_mutex_unlock(&c->lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// Turning.

// How long to sleep; NULL: until something comes in.
static const struct timespec *sleep_of(const pl_client *c, uint64_t until_us,
                                       struct timespec *room) {
  int ms = uv_backend_timeout(c->loop->uv);
  uint64_t us = ms < 0 ? PL_NEVER : (uint64_t)ms * 1000;
  if (until_us != PL_NEVER) {
    uint64_t now_us = uv_hrtime() / 1000;
    uint64_t left_us = until_us > now_us ? until_us - now_us : 0;
    if (left_us < us) us = left_us;
  }
  if (us == PL_NEVER) return NULL;
  room->tv_sec = (time_t)(us / 1000000);
  room->tv_nsec = (long)(us % 1000000) * 1000;
  return room;
}

void pl_client_flush(pl_client *c) {
  uv_run(c->loop->uv, UV_RUN_NOWAIT);
}

// Signals come while it sleeps and not before, when nobody would notice.
bool pl_client_turn(pl_client *c, pl_client_done *done, void *user, uint64_t until_us) {
  pl_client_flush(c);
  if (done(user)) return true;
  struct pollfd p = {.fd = uv_backend_fd(c->loop->uv), .events = POLLIN};
  struct timespec room;
  sigset_t mask = c->before;
  sigaddset(&mask, SIGPIPE);
  return ppoll(&p, 1, sleep_of(c, until_us, &room), &mask) >= 0 || errno != EINTR;
}

typedef struct look {
  pl_node *node;
  bool reached;
} look;

static void look_at(const pl_node_info *info, void *user) {
  look *l = user;
  bool up = info->hops == 1 && strcmp(info->state, "up") == 0;
  l->reached |= up && pl_node_knows(l->node, &info->id);
}

bool pl_client_reaches(pl_client *c) {
  if (c->reached && c->seen == c->changes) return true;
  look l = {.node = c->node};
  pl_node_each(c->node, look_at, &l);
  c->seen = c->changes;
  return c->reached = l.reached;
}

// Life.

static void on_change(pl_node *n, void *user) {
  (void)n;
  ((pl_client *)user)->changes++;
}

static const pl_node_ops node_ops = {.on_change = on_change};

static void on_joined(void *user) {
  ((pl_client *)user)->joined = true;
}

// The loop, which is about to sleep, has no reason to any more.
static void on_stopped(void *user) {
  pl_client *c = user;
  c->stopped = true;
  uv_close((uv_handle_t *)&c->alive, NULL);
}

static void on_alive(uv_timer_t *t) {
  (void)t;
}

static void set_log(pl_log *log, const pl_options *o) {
  pl_log_level level;
  if (pl_log_level_parse(&level, o->log_level)) pl_log_set_level(log, level);
  pl_log_set_json(log, strcmp(o->log_format, "json") == 0);
}

static pl_err begin(pl_client *c, const pl_options *options, char *why) {
  pl_err err = pl_node_new(&c->node, c->loop, options, &node_ops, c, why);
  if (err != PL_OK) return err;
  uv_timer_init(c->loop->uv, &c->alive);
  uv_timer_start(&c->alive, on_alive, KEEP_MS, KEEP_MS);
  err = pl_node_start(c->node, on_joined, c, why);
  if (err == PL_OK) return PL_OK;
  uv_close((uv_handle_t *)&c->alive, NULL);
  pl_node_free(c->node);
  c->node = NULL;
  return err;
}

// What a loop cannot do without is not to be found missing half-way.
static pl_err check_descriptors(char *why) {
  enum { NEEDED = 12 };
  int fds[NEEDED], n = 0;
  while (n < NEEDED && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
    n++;
  bool enough = n == NEEDED;
  while (n > 0)
    close(fds[--n]);
  if (enough) return PL_OK;
  snprintf(why, PL_URL_MAX, "the process has hardly any file descriptors left");
  return PL_IO_ERROR;
}

// Signals are not held back: neighbours may be waited for.
static void say_goodbye(pl_client *c) {
  pl_client_hold(c);
  sigset_t mask = c->before;
  sigaddset(&mask, SIGPIPE);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  pl_node_stop(c->node, 0, on_stopped, c);
  while (!c->stopped)
    uv_run(c->loop->uv, UV_RUN_ONCE);
  pl_node_free(c->node);
  c->node = NULL;
  pl_client_drop(c);
}

pl_err pl_client_open(pl_client **out, const pl_options *options, char *why) {
  pl_err err = check_descriptors(why);
  if (err != PL_OK) return err;
  pl_client *c = pl_new(pl_client);
  pl_list_init(&c->asks);
  c->bell = -1;
  c->loop = pl_loop_new(pl_log_new());
  set_log(c->loop->log, options);
  pthread_mutex_init(&c->lock, NULL);
  pl_client_hold(c);
  err = begin(c, options, why);
  pl_client_drop(c);
  if (err == PL_OK) {
    err = pl_keeper_start(c);
    if (err == PL_OK) {
      *out = c;
      return PL_OK;
    }
    say_goodbye(c);
  }
  pl_loop_free(c->loop);
  pthread_mutex_destroy(&c->lock);
  pl_free(c);
  return err;
}

void pl_client_close(pl_client *c) {
  if (c->node == NULL) return;
  pl_keeper_stop(c);
  say_goodbye(c);
  pl_loop_free(c->loop);
  c->loop = NULL;
}

void pl_client_free(pl_client *c) {
  pl_client_close(c);
  pthread_mutex_destroy(&c->lock);
  pl_free(c);
}
