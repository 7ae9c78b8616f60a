// Deadlines of requests. Nearly all end in the turn in which they came, and need no timer.

#include "base/limits.h"
#include "base/mem.h"
#include "service/request_impl.h"

void pl_request_unwatch(pl_request *r) {
  pl_list_remove(&r->untimed);
  pl_timer_stop(&r->timer);
}

void pl_request_watch(pl_request *r) {
  pl_request_unwatch(r);
  if (r->deadline_us == PL_NEVER) return;
  pl_loop *loop = r->service->loop;
  uint64_t now = pl_now_us(loop);
  uint64_t left = r->deadline_us > now ? r->deadline_us - now : 0;
  pl_timer_start(&loop->clock, &r->timer, left, pl_request_on_deadline);
}

bool pl_request_is_late(const pl_request *r) {
  enum { SOON_US = 2 * PL_TURN_US };  // the clock of the turn is behind by less
  const pl_loop *loop = r->service->loop;
  if (r->deadline_us > pl_now_us(loop) + SOON_US) return false;
  return r->deadline_us <= pl_now_precise_us(loop);
}

static void watch_all(pl_work *w) {
  pl_service *sv = pl_container(w, pl_service, watch_work);
  while (!pl_list_empty(&sv->untimed))
    pl_request_watch(pl_container(sv->untimed.next, pl_request, untimed));
}

void pl_request_watch_later(pl_request *r) {
  pl_service *sv = r->service;
  pl_list_push(&sv->untimed, &r->untimed);
  if (!pl_work_queued(&sv->watch_work)) pl_loop_flush_later(sv->loop, &sv->watch_work, watch_all);
}
