#include "service/admission.h"

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/ancestry.h"

static void start(pl_request *r) {
  pl_service *sv = r->service;
  pl_action *a = r->action;
  r->state = PL_REQUEST_RUNNING;
  r->started_us = pl_now_us(sv->loop);
  a->running++;
  sv->running++;
  sv->loop->metrics.requests_started++;
  a->ops->on_start(r, a->user);
}

// Waiting.

void pl_admission_withdraw(pl_request *r) {
  pl_action *a = r->action;
  pl_list_remove(&r->in_wait);
  a->waiting_count--;
  r->service->waiting--;
  r->service->loop->metrics.requests_queued_now--;
  pl_ancestry_waited(r);
  if (pl_list_empty(&a->waiting)) pl_list_remove(&a->in_busy);
}

// The bytes of a request that waits must not pin the read slab they came in.
static bool own(pl_bytes *b) {
  pl_bytes view = pl_bytes_of(b->data, b->len), copy;
  if (!pl_bytes_keep(&copy, view)) return false;
  pl_bytes_drop(b);
  *b = copy;
  return true;
}

static void enter_queue(pl_request *r) {
  if (r->args.len <= PL_COPY_MAX && !own(&r->args)) {
    pl_request_refuse(r, PL_NO_MEMORY, NULL, 0);
    return;
  }
  pl_action *a = r->action;
  r->state = PL_REQUEST_WAITING;
  if (pl_list_empty(&a->waiting)) pl_list_push(&r->service->busy_actions, &a->in_busy);
  pl_list_push(&a->waiting, &r->in_wait);
  a->waiting_count++;
  r->service->waiting++;
  r->service->loop->metrics.requests_queued_now++;
  pl_ancestry_waits(r);
}

void pl_requests_refuse_waiting(pl_service *sv) {
  while (!pl_list_empty(&sv->busy_actions)) {
    pl_action *a = pl_container(sv->busy_actions.next, pl_action, in_busy);
    pl_request *r = pl_container(a->waiting.next, pl_request, in_wait);
    pl_admission_withdraw(r);
    pl_request_refuse(r, PL_DRAINING, NULL, 0);
  }
}

// Slots.

static pl_action *next_startable(pl_service *sv) {
  for (pl_list *n = sv->busy_actions.next; n != &sv->busy_actions; n = n->next) {
    pl_action *a = pl_container(n, pl_action, in_busy);
    if (pl_action_has_slot(a)) return a;
  }
  return NULL;
}

// Over the bound: what has the slots only waits for those that wait.
static void start_stuck(pl_service *sv) {
  for (pl_request *r; (r = pl_ancestry_stuck(sv)) != NULL;) {
    pl_admission_withdraw(r);
    start(r);
  }
}

void pl_admission_go_on(pl_service *sv) {
  if (sv->waiting == 0) return;
  // Actions with waiting requests take turns.
  for (pl_action *a; (a = next_startable(sv)) != NULL;) {
    pl_list_remove(&a->in_busy);
    pl_list_push(&sv->busy_actions, &a->in_busy);
    pl_request *r = pl_container(a->waiting.next, pl_request, in_wait);
    pl_admission_withdraw(r);
    start(r);
  }
  start_stuck(sv);
}

void pl_admission_release(pl_request *r) {
  pl_service *sv = r->service;
  pl_ancestry_end(r);
  r->action->running--;
  sv->running--;
  uint64_t took = pl_now_us(sv->loop) - r->started_us;
  sv->run_us += (took > sv->run_us ? took - sv->run_us : 0) / 8;
  sv->run_us -= (took < sv->run_us ? sv->run_us - took : 0) / 8;
}

// Asking.

// From how long handlers took lately.
uint32_t pl_admission_retry_after_ms(const pl_service *sv) {
  uint64_t slots = sv->running > 0 ? sv->running : 1;
  uint64_t us = sv->run_us * (sv->waiting + 1) / slots;
  uint64_t ms = us / 1000;
  return (uint32_t)(ms < 10 ? 10 : ms > 5000 ? 5000 : ms);
}

void pl_admission_ask(pl_request *r) {
  char why[PL_ERROR_TEXT_MAX / 4];
  if (pl_action_has_slot(r->action)) {
    start(r);
  } else if (pl_ancestry_hangs(r, why, sizeof why)) {
    pl_request_refuse(r, PL_BUSY, why, 0);
  } else if (pl_action_has_room(r->action)) {
    enter_queue(r);
    start_stuck(r->service);
  } else {
    pl_request_refuse(r, PL_BUSY, "too many calls run and wait",
                      pl_admission_retry_after_ms(r->service));
  }
}
