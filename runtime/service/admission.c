#include "service/admission.h"

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/ancestry.h"
#include "service/span.h"

enum {
  SHED_AT_ONCE = 2,  // for one that comes or goes, so that no turn of the loop is long
  RETRY_MIN_MS = 10,
  RETRY_MAX_MS = 5000,
};

void pl_gates_init(pl_gates *g) {
  for (unsigned rank = 0; rank < PL_RANKS; rank++) {
    pl_list_init(&g->rings[rank]);
    pl_list_init(&g->queue[rank]);
  }
  pl_list_init(&g->busy);
}

static pl_line_kind line_kind(const pl_service *sv, const pl_action_options *o) {
  if (o->queue >= 0) return PL_LINE_PROMISED;
  bool bounded = o->concurrency > 0 || sv->config.max_concurrency > 0;
  return bounded ? PL_LINE_BOUNDED : PL_LINE_UNBOUNDED;
}

void pl_gate_init(pl_gate *g, const pl_service *sv, const pl_action_options *o) {
  pl_line_kind kind = line_kind(sv, o);
  for (unsigned rank = 0; rank < PL_RANKS; rank++) {
    pl_line_init(&g->lines[rank], kind);
    pl_list_init(&g->in_ring[rank]);
  }
  pl_list_init(&g->in_busy);
}

static pl_request *of_waiter(pl_waiter *w) {
  return pl_container(w, pl_request, wait);
}

static pl_request *of_queue(pl_list *node) {
  return pl_container(node, pl_request, in_queue);
}

static pl_action *of_ring(pl_list *node, unsigned rank) {
  return pl_container(node - rank, pl_action, gate.in_ring);
}

// Slots.

static bool node_has_slot(const pl_service *sv) {
  int64_t max = sv->config.max_concurrency;
  return max <= 0 || sv->gates.running < (size_t)max;
}

static bool has_own_slot(const pl_action *a) {
  return a->options.concurrency == 0 || a->gate.running < (size_t)a->options.concurrency;
}

// The processor gets round to it soon. Who computes little need not ask.
static bool has_time(const pl_action *a) {
  uint64_t ns = a->gate.cost.ns, pledged_ns = a->service->gates.pledged_ns;
  return ns < PL_PLEDGE_LEAST_NS || pledged_ns == 0 || pledged_ns + ns <= PL_PLEDGE_NS;
}

bool pl_admission_has_slot(const pl_action *a) {
  return has_own_slot(a) && node_has_slot(a->service) && has_time(a);
}

// Keeps the rings right when a slot of the action or one of its lines has changed.
static void place(pl_action *a) {
  bool open = has_own_slot(a);
  for (unsigned rank = 0; rank < PL_RANKS; rank++) {
    pl_list *node = &a->gate.in_ring[rank];
    bool wanted = open && a->gate.lines[rank].count > 0;
    if (wanted != pl_list_empty(node)) continue;
    if (wanted) {
      pl_list_push(&a->service->gates.rings[rank], node);
    } else {
      pl_list_remove(node);
    }
  }
}

static void pledge(pl_request *r) {
  if (pl_request_flows(r)) return;  // credit makes it wait soon
  r->pledge_ns = r->action->gate.cost.ns;
  r->service->gates.pledged_ns += r->pledge_ns;
}

static void redeem(pl_request *r) {
  r->service->gates.pledged_ns -= r->pledge_ns;
  r->pledge_ns = 0;
}

void pl_request_computed(pl_request *r, uint64_t cpu_us) {
  pl_gate *g = &r->action->gate;
  bool bounded = g->lines[0].kind != PL_LINE_UNBOUNDED;
  if (!bounded && !pl_request_flows(r)) pl_cost_hit(&g->cost, cpu_us);
}

static void start(pl_request *r) {
  pl_service *sv = r->service;
  pl_action *a = r->action;
  r->state = PL_REQUEST_RUNNING;
  r->started_us = pl_now_us(sv->loop);
  sv->gates.running++;
  a->gate.running++;
  if (a->gate.waiting > 0) place(a);
  if (!pl_request_flows(r)) pl_cost_begun(&a->gate.cost);
  if (a->gate.cost.ns >= PL_PLEDGE_LEAST_NS) pledge(r);
  sv->loop->metrics.requests_started++;
  if (r->span != NULL) pl_span_started(sv, r->span);
  r->handler = pl_handler_hold(a->handler);
  a->handler->ops->on_start(r, a->handler->user);
}

// Whether its calls may ever have to wait: else nobody asks how long that takes.
static bool may_fill(const pl_action *a) {
  return a->options.concurrency > 0 || a->service->config.max_concurrency > 0 ||
         a->gate.cost.ns >= PL_PLEDGE_LEAST_NS;
}

void pl_admission_release(pl_request *r) {
  pl_service *sv = r->service;
  pl_action *a = r->action;
  pl_ancestry_end(r);
  if (r->pledge_ns > 0) redeem(r);
  if (!pl_request_flows(r)) pl_cost_ended(&a->gate.cost);
  sv->gates.running--;
  a->gate.running--;
  if (a->gate.waiting > 0) place(a);
  if (!may_fill(a)) return;
  uint64_t now_us = pl_now_us(sv->loop), took_us = now_us - r->started_us;
  pl_pace_ended(&sv->gates.pace, now_us, took_us, sv->gates.waiting);
  pl_pace_ended(&a->gate.pace, now_us, took_us, a->gate.waiting);
}

uint32_t pl_admission_retry_after_ms(const pl_service *sv, const pl_action *a) {
  const pl_gates *all = &sv->gates;
  uint64_t us = a == NULL ? pl_pace_wait_us(&all->pace, all->running, all->waiting)
                          : pl_pace_wait_us(&a->gate.pace, a->gate.running, a->gate.waiting);
  uint64_t ms = us / 1000;
  return (uint32_t)(ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms);
}

static void refuse(pl_request *r, const char *message) {
  pl_request_refuse(r, PL_BUSY, message, pl_admission_retry_after_ms(r->service, r->action));
}

// Waiting.

static bool is_promised(const pl_request *r) {
  return r->action->options.queue >= 0;
}

// It is in its line no more.
static void left_line(pl_request *r) {
  pl_gates *all = &r->service->gates;
  pl_gate *g = &r->action->gate;
  pl_list_remove(&r->in_queue);
  if (!is_promised(r)) all->queued--;
  all->waiting--;
  if (--g->waiting == 0) pl_list_remove(&g->in_busy);
  r->service->loop->metrics.requests_queued_now--;
  r->wait.awaited = false;
  place(r->action);
}

void pl_admission_withdraw(pl_request *r) {
  pl_line_remove(&r->action->gate.lines[r->rank], &r->wait);
  left_line(r);
}

// The bytes of a request that waits must not pin the read slab they came in.
static bool own(pl_bytes *b) {
  pl_bytes view = pl_bytes_of(b->data, b->len), copy;
  if (!pl_bytes_keep(&copy, view)) return false;
  pl_bytes_drop(b);
  *b = copy;
  return true;
}

// Those who have waited for longer than a handler takes, in a line that is overloaded, learn it: so
// whoever is served then has his answer within twice that time.
static void shed(pl_service *sv, pl_action *a, unsigned rank) {
  pl_line *line = &a->gate.lines[rank];
  if (!line->surge.over) return;
  if (line->surge.fresh) sv->loop->metrics.overloads++;
  line->surge.fresh = false;
  uint64_t patience_us = a->gate.pace.run_us;
  if (patience_us < PL_QUEUE_TARGET_US) patience_us = PL_QUEUE_TARGET_US;
  for (int n = 0; n < SHED_AT_ONCE; n++) {
    pl_waiter *w = pl_line_overdue(line, pl_now_us(sv->loop), patience_us);
    if (w == NULL) return;
    pl_admission_withdraw(of_waiter(w));
    sv->loop->metrics.requests_shed++;
    refuse(of_waiter(w), "the call has waited too long, more come than can be served");
  }
}

static void join(pl_request *r) {
  pl_gates *all = &r->service->gates;
  pl_gate *g = &r->action->gate;
  pl_line_push(&g->lines[r->rank], &r->wait, pl_now_us(r->service->loop));
  if (!is_promised(r)) all->queued++;
  if (!is_promised(r) && !r->wait.awaited) pl_list_push(&all->queue[r->rank], &r->in_queue);
  all->waiting++;
  if (g->waiting++ == 0) pl_list_push(&all->busy, &g->in_busy);
  r->service->loop->metrics.requests_queued_now++;
  place(r->action);
}

static void enter_queue(pl_request *r) {
  pl_service *sv = r->service;
  if (r->args.len <= PL_COPY_MAX && !own(&r->args)) {
    pl_request_refuse(r, PL_NO_MEMORY, NULL, 0);
    return;
  }
  pl_action *a = r->action;
  pl_request_hold_args(r);
  r->state = PL_REQUEST_WAITING;
  r->wait.awaited = pl_ancestry_is_awaited(r);
  if (r->span != NULL) pl_span_queued(sv, r->span);
  join(r);
  shed(sv, a, r->rank);
}

// The one that is worth least of those with a lower priority than `rank`; NULL: none.
static pl_request *weakest(pl_service *sv, unsigned rank) {
  for (unsigned low = PL_RANK_LOW; low > rank; low--) {
    pl_list *queue = &sv->gates.queue[low];
    if (pl_list_empty(queue)) continue;
    pl_request *youngest = of_queue(queue->prev);
    return of_waiter(pl_line_last(&youngest->action->gate.lines[low]));
  }
  return NULL;
}

static bool is_full(const pl_service *sv) {
  int64_t max = sv->config.max_queue;
  return max > 0 && sv->gates.queued >= (size_t)max;
}

// Room in the node's queue, if need be at the expense of a lower priority.
static bool make_room(pl_service *sv, unsigned rank) {
  if (!is_full(sv)) return true;
  pl_request *r = weakest(sv, rank);
  if (r == NULL) return false;
  pl_admission_withdraw(r);
  sv->loop->metrics.requests_displaced++;
  refuse(r, "the call gave way to one of higher priority");
  return true;
}

// Anyone who waits for that action, which somebody does.
static pl_request *anyone(pl_action *a) {
  pl_line *line = a->gate.lines;
  while (line->count == 0)
    line++;
  return of_waiter(pl_line_last(line));
}

void pl_requests_refuse_waiting(pl_service *sv) {
  while (!pl_list_empty(&sv->gates.busy)) {
    pl_request *r = anyone(pl_container(sv->gates.busy.next, pl_action, gate.in_busy));
    pl_admission_withdraw(r);
    pl_request_refuse(r, PL_DRAINING, NULL, 0);
  }
}

// Turns.

// Of each rank the action that is next of those that have both a call and a slot, and time for it.
// Returns the ranks that have one.
static unsigned ready_ranks(const pl_gates *g, pl_action *ready[PL_RANKS]) {
  unsigned present = 0;
  for (unsigned rank = 0; rank < PL_RANKS; rank++) {
    const pl_list *ring = &g->rings[rank];
    pl_list *n = ring->next;
    while (n != ring && !has_time(of_ring(n, rank)))
      n = n->next;
    if (n == ring) continue;
    ready[rank] = of_ring(n, rank);
    present |= 1U << rank;
  }
  return present;
}

static unsigned waiting_ranks(const pl_gate *g) {
  unsigned present = 0;
  for (unsigned rank = 0; rank < PL_RANKS; rank++)
    present |= (unsigned)(g->lines[rank].count > 0) << rank;
  return present;
}

// Who is next, taken out of its line; NULL: nobody can start. The ranks have their turns, and
// within a rank the actions. An action that is served for a high rank again and again owes its low
// ones a turn, too, since it may be its own slots that they wait for.
static pl_request *next(pl_service *sv) {
  pl_gates *all = &sv->gates;
  pl_action *actions[PL_RANKS];
  unsigned ready = ready_ranks(all, actions);
  if (ready == 0) return NULL;
  unsigned rank = pl_turns_next(&all->turns, ready);
  pl_action *a = actions[rank];
  unsigned waiting = waiting_ranks(&a->gate);
  unsigned owed = pl_turns_overdue(&a->gate.turns, waiting);
  if (owed < PL_RANKS) rank = owed;
  pl_turns_took(&all->turns, ready, rank);
  pl_turns_took(&a->gate.turns, waiting, rank);

  pl_line *line = &a->gate.lines[rank];
  pl_request *r = of_waiter(pl_line_take(line, pl_now_us(sv->loop)));
  pl_list_remove(&a->gate.in_ring[rank]);  // behind the others
  left_line(r);
  shed(sv, a, rank);
  return r;
}

static void start_in_time(pl_request *r) {
  if (r->deadline_us <= pl_now_us(r->service->loop)) {
    pl_request_refuse(r, PL_TIMEOUT, NULL, 0);
  } else {
    start(r);
  }
}

void pl_admission_go_on(pl_service *sv) {
  if (sv->gates.waiting == 0 || sv->gates.going_on) return;
  sv->gates.going_on = true;
  for (pl_request *r; node_has_slot(sv) && (r = next(sv)) != NULL;)
    start_in_time(r);
  // Over the bound: who lends his slot only waits.
  for (pl_request *r; (r = pl_ancestry_next(sv)) != NULL;) {
    pl_admission_withdraw(r);
    start_in_time(r);
  }
  sv->gates.going_on = false;
}

// Other options.

// They were counted in the node's queue, or the other way round.
static void recount(pl_action *a, unsigned rank, pl_list *waiters, bool promised) {
  pl_gates *all = &a->service->gates;
  for (pl_list *at = waiters->next; at != waiters; at = at->next) {
    pl_request *r = of_waiter(pl_container(at, pl_waiter, in_line));
    if (promised) {
      pl_list_remove(&r->in_queue);
      all->queued--;
    } else {
      if (!r->wait.awaited) pl_list_push(&all->queue[rank], &r->in_queue);
      all->queued++;
    }
  }
}

static void run_go_on(pl_work *w) {
  pl_admission_go_on(pl_container(w, pl_service, go_on));
}

void pl_admission_begun(pl_request *r) {
  pl_service *sv = r->service;
  redeem(r);
  if (sv->gates.waiting > 0) pl_loop_defer(sv->loop, &sv->go_on, run_go_on);
}

void pl_admission_change(pl_action *a, const pl_action_options *o) {
  pl_service *sv = a->service;
  pl_line_kind kind = line_kind(sv, o);
  bool promised = kind == PL_LINE_PROMISED;
  for (unsigned rank = 0; rank < PL_RANKS; rank++) {
    pl_line *line = &a->gate.lines[rank];
    if (line->kind == kind) continue;
    bool changed = promised || line->kind == PL_LINE_PROMISED;
    if (changed) recount(a, rank, &line->waiters, promised);
    if (changed) recount(a, rank, &line->awaited, promised);
    pl_line_become(line, kind, pl_now_us(sv->loop));
  }
  if (kind != PL_LINE_UNBOUNDED) a->gate.cost = (pl_cost){0};
  a->options = *o;
  a->options.attributes = (pl_bytes){0};
  if (a->gate.waiting == 0) return;
  place(a);
  pl_loop_defer(sv->loop, &sv->go_on, run_go_on);
}

// Asking.

static bool has_room(const pl_request *r) {
  const pl_action *a = r->action;
  if (is_promised(r)) return a->gate.waiting < (size_t)a->options.queue;
  return make_room(r->service, r->rank);
}

// Nobody who waits for the processor is overtaken.
static bool finds_time(const pl_request *r) {
  const pl_gate *g = &r->action->gate;
  if (g->cost.ns < PL_PLEDGE_LEAST_NS || pl_request_flows(r)) return true;
  return g->waiting == 0 && has_time(r->action);
}

void pl_admission_ask(pl_request *r) {
  char why[PL_ERROR_TEXT_MAX / 4];
  bool slot = has_own_slot(r->action) && node_has_slot(r->service);
  // Who waits for the processor alone is within all bounds, so a full queue does not refuse it.
  if (slot && (finds_time(r) || is_full(r->service))) {
    start(r);
  } else if (!slot && pl_ancestry_hangs(r, why, sizeof why)) {
    pl_request_refuse(r, PL_BUSY, why, 0);
  } else if (!slot && pl_ancestry_borrow(r)) {
    start(r);
  } else if (has_room(r)) {
    enter_queue(r);
    pl_admission_go_on(r->service);
  } else {
    refuse(r, "too many calls run and wait");
  }
}
