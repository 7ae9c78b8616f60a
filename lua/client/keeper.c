// The thread that turns the loop while the program is away. As long as the program comes back all
// the time it leaves that alone, because to be woken for each answer would slow both down.

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lua/client/client.h"

enum { AWAY_US = 50000 };  // without the program, before the keeper takes over

static void rest(pl_client *c, uint64_t us) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  uint64_t ns = (uint64_t)until.tv_nsec + us * 1000;
  until.tv_sec += (time_t)(ns / 1000000000);
  until.tv_nsec = (long)(ns % 1000000000);
  pthread_cond_timedwait(&c->wake, &c->lock, &until);
}

// Until something comes in, the next timer is due, or the bell rings.
static void sleep_on(pl_client *c) {
  struct pollfd fds[] = {
      {.fd = uv_backend_fd(c->loop->uv), .events = POLLIN},
      {.fd = c->bell, .events = POLLIN},
  };
  int ms = uv_backend_timeout(c->loop->uv);
  c->sleeps = true;
  pthread_mutex_unlock(&c->lock);
  poll(fds, 2, ms);
  pthread_mutex_lock(&c->lock);
  c->sleeps = false;
  uint64_t rung;
  ssize_t got = read(c->bell, &rung, sizeof rung);  // does not wait
  (void)got;
}

static void *keep(void *arg) {
  pl_client *c = arg;
  pthread_mutex_lock(&c->lock);
  while (!c->over) {
    uint64_t away_us = uv_hrtime() / 1000 - c->left_us;
    if (away_us < AWAY_US) {
      rest(c, AWAY_US - away_us);
      continue;
    }
    uv_run(c->loop->uv, UV_RUN_NOWAIT);
    sleep_on(c);
  }
  pthread_mutex_unlock(&c->lock);
  return NULL;
}

// Signals are for the program; those of a write to a peer that is gone stay blocked.
pl_err pl_keeper_start(pl_client *c) {
  c->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (c->bell < 0) return pl_err_from_uv(-errno);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&c->wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&c->keeper, NULL, keep, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed == 0) return PL_OK;
  pthread_cond_destroy(&c->wake);
  close(c->bell);
  return pl_err_from_uv(-failed);
}

void pl_keeper_stop(pl_client *c) {
  pl_client_hold(c);
  c->over = true;
  pthread_cond_signal(&c->wake);
  pl_client_drop(c);
  pthread_join(c->keeper, NULL);
  pthread_cond_destroy(&c->wake);
  close(c->bell);
}
