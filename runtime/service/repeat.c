// Repeats of calls to idempotent actions, at the callee.
//
// A repeat joins the request that it repeats while that one waits or runs, and gets its answer:
//
//   request -----------------------> handler -----> answer, kept
//      | path lost: an orphan, it lingers ^            |
//      +----------------------------------+            v
//   repeat ------> JOINED ---------------------------> the same

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/balance.h"
#include "service/request_impl.h"

static void on_expire(pl_timer *t) {
  pl_service *sv = pl_container(t, pl_service, expiry);
  uint64_t now_us = pl_now_us(sv->loop);
  uint64_t at_us = pl_dedup_expire(&sv->dedup, now_us);
  if (at_us != PL_NEVER) pl_timer_start(&sv->loop->clock, t, at_us - now_us, on_expire);
}

static pl_request *follower(const pl_dedup_entry *e) {
  return pl_container(e->followers.next, pl_request, wait.in_line);
}

void pl_repeat_run_until(pl_request *r, uint64_t deadline_us) {
  bool runs = r->state == PL_REQUEST_RUNNING && !r->cancelled;
  if (r->state != PL_REQUEST_WAITING && !runs) return;
  r->deadline_us = deadline_us;
  pl_request_watch(r);
  if (runs && r->handler->ops->on_deadline != NULL) r->handler->ops->on_deadline(r);
}

void pl_repeat_join(pl_request *r, pl_dedup_entry *e) {
  r->entry = e;
  r->state = PL_REQUEST_JOINED;
  pl_bytes_drop(&r->args);
  pl_list_push(&e->followers, &r->wait.in_line);
}

bool pl_repeat_admit(pl_request *r) {
  pl_service *sv = r->service;
  uint64_t of = pl_balance_hash(pl_bytes_of(r->action->name, r->action->name_len));
  pl_dedup_entry *e =
      r->repeated ? pl_dedup_find(&sv->dedup, &r->caller, r->first_call_id, of) : NULL;
  if (e == NULL) {
    r->entry = pl_dedup_open(&sv->dedup, &r->caller, r->first_call_id, of, r);
    return false;
  }
  sv->loop->metrics.requests_repeated++;
  if (e->owner == NULL) {
    const pl_parts result = pl_parts_of(e->result);
    pl_request_answer(r, &result, e->failed ? &e->failure : NULL);
    return true;
  }
  pl_repeat_join(r, e);
  pl_repeat_run_until(e->owner, r->deadline_us);  // the latest of its callers knows best
  return true;
}

// Only what the handler said is worth keeping; what was refused or broken off may run another time.
static bool is_answer(const pl_failure *failure) {
  return failure == NULL || failure->outcome == PL_EXECUTED;
}

void pl_repeat_settle(pl_request *r, const pl_parts *result, const pl_failure *failure) {
  pl_service *sv = r->service;
  pl_dedup_entry *e = r->entry;
  assert(e->owner == r);
  r->entry = NULL;
  while (!pl_list_empty(&e->followers)) {
    pl_request *f = follower(e);
    pl_list_remove(&f->wait.in_line);
    f->entry = NULL;
    pl_request_answer(f, result, failure);
  }
  if (r->shared || !is_answer(failure)) {
    pl_dedup_forget(r->shared ? &sv->shared : &sv->dedup, e);
    return;
  }
  uint64_t now_us = pl_now_us(sv->loop);
  sv->loop->metrics.answers_forgotten += pl_dedup_finish(&sv->dedup, e, result, failure, now_us);
  if (!pl_timer_active(&sv->expiry))
    pl_timer_start(&sv->loop->clock, &sv->expiry, PL_DEDUP_US, on_expire);
}

static void linger(pl_request *r) {
  if (!pl_list_empty(&r->untimed)) pl_request_watch(r);
  uint64_t now_us = pl_now_us(r->service->loop);
  bool sooner = pl_timer_active(&r->timer) && r->timer.at_us < now_us + PL_LINGER_US;
  if (!sooner)
    pl_timer_start(&r->service->loop->clock, &r->timer, PL_LINGER_US, pl_request_on_deadline);
}

bool pl_repeat_leave(pl_request *r, const pl_failure *why) {
  pl_dedup_entry *e = r->entry;
  pl_request *runner = e->owner;
  r->entry = NULL;
  pl_list_remove(&r->wait.in_line);
  if (!pl_repeat_is_orphan(runner) || runner->cancelled) return false;
  if (why->code == PL_PEER_LOST && r->action->options.idempotent && !r->service->draining) {
    linger(runner);
    return false;
  }
  bool waits = runner->state == PL_REQUEST_WAITING;
  pl_request_cancel(runner, why);
  return waits;
}

bool pl_repeat_linger(pl_request *r) {
  bool under_way = r->state == PL_REQUEST_WAITING || r->state == PL_REQUEST_RUNNING;
  if (r->entry == NULL || !under_way || r->cancelled || r->service->draining) return false;
  pl_list_push(&r->service->orphans, &r->node);
  if (pl_repeat_is_orphan(r)) linger(r);
  return true;
}

bool pl_repeat_is_orphan(const pl_request *r) {
  return r->channel == NULL && r->entry != NULL && r->entry->owner == r &&
         pl_list_empty(&r->entry->followers);
}
