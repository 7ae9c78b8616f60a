#include "peer/pings.h"

#include "base/mem.h"

typedef struct ping {
  pl_list node;
  pl_timer timer;
  pl_pings *pings;
  uint64_t token;
  uint64_t sent_us;
  uint64_t absent_us;  // of the loop when it was sent
  pl_pong_fn *done;
  void *user;
} ping;

void pl_pings_init(pl_pings *p, pl_loop *loop) {
  *p = (pl_pings){.loop = loop};
  pl_list_init(&p->waiting);
}

// Frees it before the callback, which may do anything.
static void finish(ping *g, pl_err err, uint64_t rtt_us) {
  pl_list_remove(&g->node);
  pl_timer_stop(&g->timer);
  g->pings->count--;
  pl_pong_fn *done = g->done;
  void *user = g->user;
  pl_free(g);
  if (done != NULL) done(err, rtt_us, user);
}

static void on_timeout(pl_timer *t) {
  finish(pl_container(t, ping, timer), PL_TIMEOUT, 0);
}

pl_err pl_pings_add(pl_pings *p, uint64_t timeout_us, pl_pong_fn *done, void *user,
                    uint64_t *token) {
  if (p->count >= PL_PINGS_MAX) {
    p->loop->metrics.pings_refused++;
    return PL_BUSY;
  }
  ping *g = pl_new(ping);
  g->pings = p;
  g->token = *token = ++p->last;
  g->sent_us = pl_now_precise_us(p->loop);
  g->absent_us = pl_loop_absent_us(p->loop);
  g->done = done;
  g->user = user;
  pl_list_push(&p->waiting, &g->node);
  p->count++;
  if (timeout_us != PL_NEVER) {
    pl_timer_start(&p->loop->clock, &g->timer, timeout_us, on_timeout);
  }
  return PL_OK;
}

// Pongs come in the order of the pings, so the one asked for is the first, but for those that
// timed out.
uint64_t pl_pings_answer(pl_pings *p, uint64_t token) {
  for (pl_list *n = p->waiting.next; n != &p->waiting; n = n->next) {
    ping *g = pl_container(n, ping, node);
    if (g->token > token) break;
    if (g->token != token) continue;
    uint64_t rtt_us = pl_now_precise_us(p->loop) - g->sent_us;
    if (rtt_us == 0) rtt_us = 1;
    bool stood_still = g->absent_us != pl_loop_absent_us(p->loop);
    finish(g, PL_OK, rtt_us);
    return stood_still ? 0 : rtt_us;
  }
  return 0;
}

void pl_pings_again(pl_pings *p, void (*send)(uint64_t token, void *user), void *user) {
  for (pl_list *n = p->waiting.next, *next; n != &p->waiting; n = next) {
    next = n->next;
    ping *g = pl_container(n, ping, node);
    if (g->done == NULL) {
      finish(g, PL_OK, 0);
      continue;
    }
    g->sent_us = pl_now_precise_us(p->loop);
    send(g->token, user);
  }
}

void pl_pings_fail(pl_pings *p, pl_err why) {
  while (!pl_list_empty(&p->waiting)) {
    finish(pl_container(p->waiting.next, ping, node), why, 0);
  }
}
