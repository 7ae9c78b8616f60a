// A call whose attempt has failed, or waits for a link that is away, and that may have better luck
// another time: with another provider, or on another path. The rules are in docs/protocol.md, 5.9.
//
//   attempt --fails--> another provider ---------------> attempt
//                 +--> the same, its path was lost: pause ^
//
// A provider that refused is not asked again. To one whose path was lost another path may be found,
// once that has got around; an idempotent call may run there still, so it is asked before others.

#include <string.h>

#include "base/mem.h"
#include "service/call_impl.h"
#include "service/choose.h"
#include "service/span.h"

enum { PAUSE_US = 25000, PAUSE_FACTOR = 4 };  // for the news of a lost path to spread

typedef struct pl_tries {
  pl_call *call;
  pl_timer pause;      // before the next attempt
  uint64_t pause_us;   // the next one
  pl_failure failure;  // of the last attempt; kept
  pl_outcome worst;    // of all of them
  uint64_t first_call_id;
  unsigned count;  // of repeats
  bool direct;     // no relay chooses any more
  pl_turn_down down;
} pl_tries;

unsigned pl_call_attempt(const pl_call *c, uint64_t *first_call_id) {
  *first_call_id = c->tries != NULL ? c->tries->first_call_id : 0;
  return c->tries != NULL ? c->tries->count : 0;
}

bool pl_call_may_be_left_open(const pl_call *c) {
  return c->tries == NULL || !c->tries->direct;
}

const pl_id *pl_call_refused(const pl_call *c, unsigned *count) {
  *count = c->tries != NULL ? c->tries->down.refused_count : 0;
  return c->tries != NULL ? c->tries->down.refused : NULL;
}

pl_outcome pl_call_outcome(const pl_call *c, pl_outcome last) {
  return c->tries != NULL && c->tries->worst > last ? c->tries->worst : last;
}

void pl_call_no_more_tries(pl_call *c) {
  if (c->tries != NULL) pl_timer_stop(&c->tries->pause);
}

void pl_call_forget_tries(pl_call *c) {
  pl_tries *t = c->tries;
  if (t == NULL) return;
  c->tries = NULL;
  pl_timer_stop(&t->pause);
  pl_failure_drop(&t->failure);
  pl_free(t);
}

// What may go better elsewhere or another time.
static bool is_passing(pl_err code) {
  switch (code) {
    case PL_NOT_FOUND:  // withdrawn a moment ago
    case PL_NO_ROUTE:
    case PL_BUSY:
    case PL_DRAINING:
    case PL_CANCELLED:  // by the callee, which stops
    case PL_PEER_LOST:
    case PL_CLOSED:
    case PL_NO_MEMORY: return true;
    default: return false;
  }
}

static bool is_lost_path(pl_err code) {
  return code == PL_PEER_LOST || code == PL_NO_ROUTE;
}

static bool may_repeat(const pl_call *c, const pl_failure *f) {
  if (!c->repeatable || c->flowing || c->timing_out) return false;
  if ((c->tries != NULL ? c->tries->count : 0) >= pl_order_retries(&c->order)) return false;
  if (c->order.deadline_us <= pl_now_us(c->service->loop)) return false;
  switch (f->outcome) {
    case PL_NOT_SENT:
    case PL_NOT_EXECUTED: return is_passing(f->code);
    case PL_UNKNOWN: return c->idempotent && is_passing(f->code);
    case PL_EXECUTED: break;
  }
  return false;
}

static pl_tries *tries_of(pl_call *c) {
  if (c->tries == NULL) {
    c->tries = pl_new(pl_tries);
    c->tries->call = c;
    c->tries->first_call_id = c->call_id;
    c->tries->pause_us = PAUSE_US;
  }
  return c->tries;
}

static bool is_among(const pl_id *id, const pl_id *list, unsigned count) {
  while (count > 0 && !pl_id_equal(id, &list[count - 1]))
    count--;
  return count > 0;
}

static bool provides(const pl_call *c, const pl_id *node) {
  pl_service *sv = c->service;
  const pl_provider *p = pl_service_provider(sv, node);
  return p != NULL && pl_directory_own(&sv->directory, p, c->order.action) != NULL;
}

// Whom a relay has chosen is known when that node says why it refuses. Where it is the relay, or
// the path, that fails, this node chooses itself from now on.
static bool note_chosen(pl_call *c, const pl_failure *f) {
  pl_tries *t = c->tries;
  t->direct = is_lost_path(f->code) || !provides(c, &f->node);
  if (t->direct) return false;
  t->down.refused[t->down.refused_count++] = f->node;
  return true;
}

// Notes how the callee failed; one to which the path was lost twice is not asked a third time.
static void turn_down(pl_turn_down *d, const pl_id *callee, const pl_failure *f) {
  bool path = is_lost_path(f->code) && !is_among(callee, d->tried, d->tried_count);
  if (path) {
    d->tried[d->tried_count++] = *callee;
  } else {
    d->refused[d->refused_count++] = *callee;
  }
}

static pl_choice choose(pl_call *c, pl_outcome outcome) {
  pl_tries *t = c->tries;
  pl_failure why;
  if (outcome == PL_UNKNOWN && is_among(&c->callee, t->down.tried, t->down.tried_count)) {
    pl_order same = c->order;
    same.bound = true;
    same.only = c->callee;
    pl_choice to = pl_call_choose(c->service, &same, pl_call_flows(c), &t->down, 0, &why);
    if (to.offer != NULL) return to;
  }
  return pl_call_choose(c->service, &c->order, pl_call_flows(c), &t->down, 0, &why);
}

static void attempt(pl_call *c, pl_choice to) {
  c->tries->count++;
  c->service->loop->metrics.calls_repeated++;
  pl_call_dispatch(c, to, &c->order);
  if (c->span != NULL) pl_span_attempt(c);
}

static void on_pause_over(pl_timer *timer) {
  pl_tries *t = pl_container(timer, pl_tries, pause);
  pl_choice to = choose(t->call, t->failure.outcome);
  if (to.offer != NULL) {
    attempt(t->call, to);
  } else {
    pl_call_settle(t->call, &t->failure);
  }
}

static void take_back(pl_call *c) {
  if (c->input && c->channel != NULL) pl_unsent_take(&c->unsent, &c->flow);
  pl_call_detach(c);
  pl_call_drop_intake(c);
  pl_call_drop_info(c);
}

// The attempt is over; what follows is another one.
static void leave(pl_call *c, const pl_failure *f) {
  pl_tries *t = tries_of(c);
  pl_failure_drop(&t->failure);
  t->failure = pl_failure_keep(f);
  if (f->outcome > t->worst) t->worst = f->outcome;
  if (!c->left_open || !note_chosen(c, f)) turn_down(&t->down, &c->callee, f);
  uint64_t now_us = pl_now_us(c->service->loop);
  pl_errand_end(&c->errand, now_us, pl_verdict_of(f->code, f->outcome), false, f->retry_after_ms);
  take_back(c);
  c->call_id = 0;
}

bool pl_call_repeat(pl_call *c, const pl_failure *f) {
  pl_service *sv = c->service;
  if (!may_repeat(c, f)) return false;
  leave(c, f);
  pl_tries *t = c->tries;
  pl_choice to = choose(c, f->outcome);
  bool again = t->down.tried_count > 0 &&
               (to.offer == NULL || (c->left_open && is_lost_path(f->code)) ||
                is_among(&to.offer->provider->id, t->down.tried, t->down.tried_count));
  if (to.offer == NULL && !again) return false;
  if (!pl_budget_take(&sv->budget, pl_now_us(sv->loop))) {
    sv->loop->metrics.repeats_refused++;
    return false;
  }
  if (again) {
    pl_timer_start(&sv->loop->clock, &t->pause, t->pause_us, on_pause_over);
    t->pause_us *= PAUSE_FACTOR;
  } else {
    attempt(c, to);
  }
  return true;
}

// Nothing of it was sent, so this is no other attempt.
static void go_another_way(pl_call *c) {
  pl_service *sv = c->service;
  if (!c->repeatable || c->timing_out || c->flow.began) return;
  pl_turn_down down = {0};
  if (c->tries != NULL) down = c->tries->down;
  pl_failure why;
  pl_choice to = pl_call_choose(sv, &c->order, pl_call_flows(c), &down, 0, &why);
  if (to.offer == NULL || pl_channel_is_away(to.way)) return;
  pl_errand_end(&c->errand, pl_now_us(sv->loop), PL_VERDICT_NONE, false, 0);
  take_back(c);
  pl_call_dispatch(c, to, &c->order);
  if (c->span != NULL) pl_span_way(c);
}

void pl_calls_go_round(pl_service *sv) {
  for (pl_list *at = sv->neighbours.next; at != &sv->neighbours; at = at->next) {
    pl_channel *ch = pl_container(at, pl_neighbour, node)->channel;
    if (ch == NULL || !pl_channel_is_away(ch)) continue;
    pl_list waiting;
    pl_list_take(&waiting, &ch->call_list);
    for (pl_list *n; (n = pl_list_pop(&waiting)) != NULL;) {
      pl_list_push(&ch->call_list, n);
      go_another_way(pl_call_of(n));
    }
  }
}
