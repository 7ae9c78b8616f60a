// What this node sees of calls, for monitors and traces (perilune_monitor.h). A call, request or
// relay has a span only while somebody wants to know of it; where nobody does, all of this costs a
// look at `taps` and one at each end whether there is a span.
#pragma once

#include "service/channel.h"

struct pl_order;
struct pl_relay;

// Hardly ever called: it must not cost those who do not call it a register.
#define PL_COLD __attribute__((cold))

enum {
  PL_TAP_MONITOR = 1,  // there are monitors
  PL_TAP_SAMPLE = 2,   // some of the calls that begin here are traced
};

// `one_in`: of so many calls that begin a trace one is sampled; 0: none.
void pl_spans_init(pl_service *sv, uint64_t one_in);
void pl_spans_fini(pl_service *sv);

void pl_service_monitor(pl_service *sv, pl_monitor *m);
void pl_service_unmonitor(pl_service *sv, pl_monitor *m);
void pl_service_tell(pl_service *sv, pl_notice *e);
// Of links, if there is a monitor. `code`: see pl_notice.
void pl_span_link(pl_service *sv, pl_notice_kind kind, const pl_provider *neighbour,
                  const char *code);

// Walks those of traces that are remembered: first those that have ended, the oldest first, then
// those under way.
void pl_spans_each(const pl_service *sv, void (*fn)(const pl_span *s, void *user), void *user);

// Whether one is to be made for a call that came with `outer`, NULL: with none.
static inline bool pl_span_is_wanted(const pl_service *sv, const pl_trace *outer) {
  return (sv->taps & PL_TAP_MONITOR) != 0 ||
         (outer != NULL && (outer->flags & PL_TRACE_SAMPLED) != 0);
}

// A call that is to be made may begin a trace that is sampled.
PL_COLD void pl_span_sample(pl_service *sv, struct pl_order *o);
// It has begun;
PL_COLD void pl_span_call(pl_call *c, const struct pl_order *o);
// or it could not;
PL_COLD void pl_span_refused(pl_service *sv, const struct pl_order *o, const pl_failure *why);
// or it has begun again,
PL_COLD void pl_span_attempt(pl_call *c);
// or goes another way than it was to.
PL_COLD void pl_span_way(pl_call *c);
PL_COLD void pl_span_request(pl_request *r, const pl_msg_call *m);
// `m`: the head as it goes on.
PL_COLD void pl_span_relay(struct pl_relay *r, const pl_msg_call *m);

// Of one that is there.
PL_COLD void pl_span_queued(pl_service *sv, const pl_span *s);
PL_COLD void pl_span_started(const pl_service *sv, pl_span *s);
PL_COLD void pl_span_chunks(pl_service *sv, pl_span *s, uint64_t count);
// What it will have ended with, unless that is known already;
PL_COLD void pl_span_failed(pl_span *s, const pl_failure *f);
// and the end: *s is NULL. `f` NULL: nothing but that.
PL_COLD void pl_span_end(pl_service *sv, pl_span **s, const pl_failure *f);
