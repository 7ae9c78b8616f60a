// Consumers that take nothing while their producer waits. They are not late: the gaps of a stream
// do not count while its consumer makes it wait. But what was made for them is held meanwhile, and
// a slot is taken.

#include "base/mem.h"
#include "service/request_impl.h"

static void on_stall(pl_timer *t) {
  pl_request *r = pl_container(t, pl_request, stall);
  if (!pl_flow_is_held_back(&r->flow)) {  // it is the link that is slow: others watch that
    pl_request_stall_watch(r);
    return;
  }
  r->service->loop->metrics.streams_stalled++;
  pl_failure why = pl_failure_of(PL_TIMEOUT, PL_EXECUTED, "the consumer took nothing for too long");
  why.node = r->service->config.identity->id;
  pl_request_drop(r, &why);
}

void pl_request_stall_watch(pl_request *r) {
  pl_loop *loop = r->service->loop;
  r->turned_us = pl_now_us(loop);
  if (r->stall_us > 0 && r->channel != NULL)
    pl_timer_start(&loop->clock, &r->stall, r->stall_us, on_stall);
}

void pl_request_stall_over(pl_request *r) {
  r->turned_us = pl_now_us(r->service->loop);
  pl_timer_stop(&r->stall);
}
