// The caller's end of calls and streams.
//
//   OPEN ---> SETTLED          RESULT, ERROR, path lost, deadline: on_end, items may still be read
//     |          |
//     +----------+---> freed   by the owner; an unsettled call is cancelled at the callee
//
// At its deadline a call asks the callee whether it began (CANCEL) and waits a moment for the
// answer, so that a request still queued there is reported as not executed.

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "service/passed.h"
#include "service/relay.h"
#include "service/span.h"

enum { TIMEOUT_GRACE_US = 10000 };  // within the accuracy promised for timeouts

pl_call *pl_call_of(pl_list *node) {
  return pl_container(node, pl_call, node);
}

// Memory.

enum { FREE_KEPT = 1024 };

pl_call *pl_call_new(pl_service *sv) {
  pl_list *n = pl_list_pop(&sv->free_calls);
  if (n == NULL) {
    pl_call *c = pl_new(pl_call);
    pl_list_init(&c->carried);
    return c;
  }
  pl_call *c = pl_call_of(n);
  memset(c, 0, offsetof(pl_call, node));
  sv->free_count--;
  return c;
}

static void call_recycle(pl_service *sv, pl_call *c) {
  if (sv->free_count >= FREE_KEPT) {
    pl_free(c);
    return;
  }
  sv->free_count++;
  pl_list_push_front(&sv->free_calls, &c->node);
}

void pl_calls_free_all(pl_service *sv) {
  for (pl_list *n; (n = pl_list_pop(&sv->free_calls)) != NULL;)
    pl_free(pl_call_of(n));
}

// Ending.

void pl_call_detach(pl_call *c) {
  pl_channel *ch = c->channel;
  if (ch == NULL) return;
  c->channel = NULL;
  pl_labels_remove(&ch->calls, c->flow.label);
  pl_list_remove(&c->node);
  ch->calls_open--;
  if (pl_call_flows(c)) ch->streams_out--;
  pl_flow_fini(&c->flow);
  pl_channel_ended(ch);
}

void pl_call_drop_intake(pl_call *c) {
  if (!c->has_intake) return;
  c->has_intake = false;
  pl_work_cancel(&c->tidy);
  pl_work_cancel(&c->granting);
  pl_intake_fini(&c->intake);
}

static bool is_unread(const pl_call *c) {
  return c->has_intake && c->intake.items > 0;
}

// One to this node may have begun in this turn; a result from elsewhere came when the clock says.
static void count_ok(pl_call *c) {
  pl_meter *m = c->meter;
  m->ok++;
  if (pl_call_flows(c)) return;
  pl_service *sv = c->service;
  uint64_t now_us = pl_now_us(sv->loop);
  if (c->opened_us == now_us) {
    pl_laps_add(&sv->laps, &m->took, c->opened_us);
  } else {
    pl_histogram_add(&m->took, now_us - c->opened_us);
  }
}

static void settle(pl_call *c) {
  assert(!c->settled);
  c->settled = true;
  pl_loop *loop = c->service->loop;
  const pl_failure *f = c->failure;
  if (f != NULL) {
    loop->metrics.calls_failed++;
    pl_meter_fail(c->meter, f->code, f->name.len > 0);
  } else {
    loop->metrics.calls_ok++;
    count_ok(c);
  }
  loop->metrics.calls_now--;
  pl_timer_stop(&c->timer);
  if (c->has_intake) pl_window_fini(&c->intake.window);  // nothing more can come
  pl_call_no_more_tries(c);
  if (c->input) pl_unsent_fini(&c->unsent);
  pl_verdict verdict = f != NULL ? pl_verdict_of(f->code, f->outcome) : PL_VERDICT_GOOD;
  pl_errand_end(&c->errand, pl_now_us(loop), verdict, !pl_call_flows(c),
                f != NULL ? f->retry_after_ms : 0);
  if (c->span != NULL) pl_span_end(c->service, &c->span, f);
  pl_call_detach(c);
  pl_carried_settle(&c->carried, f == NULL);
  if (is_unread(c)) pl_list_push(&c->service->unread, &c->node);
  if (c->ops->on_end != NULL) c->ops->on_end(c, c->user);
}

// All attempts are of one trace.
static pl_id trace_id_of(const pl_call *c) {
  if (c->traced) return c->trace_id;
  uint64_t first;
  pl_trace trace;
  if (pl_call_attempt(c, &first) == 0) first = c->call_id;
  pl_trace_of(&trace, &c->service->config.identity->id, first, NULL);
  return trace.id;
}

// Of the call as a whole.
static void keep_failure(pl_call *c, const pl_failure *f) {
  if (c->failure == NULL) c->failure = pl_new(pl_failure);
  *c->failure = pl_failure_keep(f);
  c->failure->outcome = pl_call_outcome(c, f->outcome);
  if (pl_id_is_zero(&c->failure->node)) c->failure->node = c->callee;
  c->failure->trace_id = trace_id_of(c);
}

void pl_call_settle(pl_call *c, const pl_failure *f) {
  keep_failure(c, f);
  settle(c);
}

void pl_call_fail(pl_call *c, const pl_failure *f) {
  if (!pl_call_repeat(c, f)) pl_call_settle(c, f);
}

static void send_cancel(pl_call *c, pl_err why, pl_bytes reason) {
  pl_buf *out = &c->channel->lanes.scratch;
  pl_buf_clear(out);
  pl_msg_cancel m = {.call_id = c->call_id, .code = why, .reason = reason};
  if (pl_msg_cancel_encode(out, &m) != PL_OK) return;
  pl_flow_control(&c->flow, PL_FRAME_CANCEL, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

void pl_call_sacrifice(pl_call *c, const pl_failure *why) {
  if (c->has_intake) pl_intake_drop(&c->intake);
  if (!c->settled) {
    if (!pl_flow_withdraw(&c->flow)) send_cancel(c, PL_CANCELLED, why->message);
    pl_call_settle(c, why);
    return;
  }
  pl_list_remove(&c->node);
  pl_bytes_drop(&c->result);
  if (c->failure != NULL) pl_failure_drop(c->failure);
  keep_failure(c, why);
}

static void fail_with(pl_call *c, pl_err code, pl_outcome outcome, const char *message) {
  pl_failure f = pl_failure_of(code, outcome, message);
  pl_call_fail(c, &f);
}

void pl_call_lost(pl_call *c, pl_err why, const char *detail) {
  if (why == PL_DRAINING) {  // it has answered all that it has begun
    fail_with(c, PL_DRAINING, c->flow.began ? PL_NOT_EXECUTED : PL_NOT_SENT, NULL);
    return;
  }
  if (why == PL_PROTOCOL || why == PL_NO_MEMORY) {
    fail_with(c, why, c->flow.began ? PL_UNKNOWN : PL_NOT_SENT, detail);
    return;
  }
  const char *message = detail != NULL && detail[0] != '\0' ? detail : NULL;
  fail_with(c, PL_PEER_LOST, c->flow.began ? PL_UNKNOWN : PL_NOT_SENT, message);
}

// Time.

static void on_grace_over(pl_timer *t) {
  pl_call *c = pl_container(t, pl_call, timer);
  fail_with(c, PL_TIMEOUT, PL_UNKNOWN, NULL);
}

void pl_call_on_deadline(pl_timer *t) {
  pl_call *c = pl_container(t, pl_call, timer);
  if (c->channel == NULL || pl_flow_withdraw(&c->flow)) {  // between two attempts, or in the first
    fail_with(c, PL_TIMEOUT, PL_NOT_SENT, "the deadline passed before the link took the call");
    return;
  }
  c->timing_out = true;
  send_cancel(c, PL_TIMEOUT, (pl_bytes){0});
  pl_timer_start(&c->service->loop->clock, t, TIMEOUT_GRACE_US, on_grace_over);
}

// Items that have come wait for the consumer here, and the producer with them. Who still may send
// does not wait for that, when this end waits until it takes what it was sent.
static bool waits_for_owner(const pl_call *c) {
  const pl_intake *in = &c->intake;
  if (!c->has_intake || in->items == 0) return false;
  return !c->credit_due || in->open_items == 0 || in->open_bytes == 0;
}

static void on_idle(pl_timer *t) {
  pl_call *c = pl_container(t, pl_call, timer);
  pl_clock *clock = &c->service->loop->clock;
  if (clock->now_us < c->moved_us + c->idle_us) {  // a timer for each item would cost more
    pl_timer_start(clock, t, c->moved_us + c->idle_us - clock->now_us, on_idle);
    return;
  }
  if (waits_for_owner(c)) {
    c->gap_waits = true;
    return;
  }
  pl_flow_withdraw(&c->flow);
  send_cancel(c, PL_TIMEOUT, (pl_bytes){0});
  fail_with(c, PL_TIMEOUT, PL_EXECUTED, "the stream was idle for too long");
}

void pl_call_progress(pl_call *c) {
  c->flowing = true;
  c->gap_waits = false;
  if (c->whole || c->timing_out) return;
  if (c->idle_us > 0) {
    c->moved_us = pl_now_us(c->service->loop);
    if (pl_timer_active(&c->timer) && c->timer.fire == on_idle) return;
    pl_timer_start(&c->service->loop->clock, &c->timer, c->idle_us, on_idle);
  } else {
    pl_timer_stop(&c->timer);
  }
}

// Frames.

static void run_grant(pl_work *w) {
  pl_call *c = pl_container(w, pl_call, granting);
  uint64_t items, bytes;
  uint64_t now = pl_now_us(c->service->loop);
  if (c->channel == NULL || !c->has_intake) return;
  if (!pl_intake_grant(&c->intake, now, &items, &bytes)) return;
  c->turned_us = now;
  pl_buf *out = &c->channel->lanes.scratch;
  pl_buf_clear(out);
  pl_msg_credit m = {.items = items, .bytes = bytes};
  if (pl_msg_credit_encode(out, &m) != PL_OK) return;
  pl_flow_control(&c->flow, PL_FRAME_CREDIT, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

static void grant_soon(pl_call *c) {
  pl_loop *loop = c->service->loop;
  if (c->has_intake && pl_intake_may_grant(&c->intake, pl_now_us(loop)))
    pl_loop_defer(loop, &c->granting, run_grant);
}

static void settle_slab(pl_work *w) {
  pl_call *c = pl_container(w, pl_call, tidy);
  if (!pl_intake_settle(&c->intake) && c->channel != NULL) {
    pl_session_abort(c->channel->session, PL_NO_MEMORY, "no memory for stream items");
  }
}

static void on_items(pl_call *c, unsigned items) {
  pl_loop *loop = c->service->loop;
  loop->metrics.chunks_received += items;
  c->meter->items_received += items;
  c->itemized = true;
  if (c->span != NULL) pl_span_chunks(c->service, c->span, items);
  pl_call_progress(c);
  if (c->intake.borrows) pl_loop_flush_later(loop, &c->tidy, settle_slab);
  if (c->intake.items == items) c->turned_us = pl_now_us(loop);
  if (!c->expecting) return;
  c->expecting = false;
  if (c->ops->on_items != NULL) c->ops->on_items(c, c->user);
}

static pl_err on_error(pl_call *c, const pl_frame *f) {
  pl_failure failure;
  pl_err err = pl_msg_error_decode(&failure, f->body);
  if (err != PL_OK) return err;
  if (c->timing_out) {
    bool began = failure.outcome == PL_UNKNOWN || failure.outcome == PL_EXECUTED;
    fail_with(c, PL_TIMEOUT, began ? PL_UNKNOWN : failure.outcome, NULL);
    return PL_OK;
  }
  if (c->left_open && pl_id_is_zero(&failure.node)) {  // a repeat might come to the same node
    pl_call_settle(c, &failure);
  } else {
    pl_call_fail(c, &failure);
  }
  return PL_OK;
}

static pl_err on_path_lost(pl_call *c, const pl_frame *f) {
  pl_msg_path_lost m;
  pl_err err = pl_msg_path_lost_decode(&m, f->body);
  if (err != PL_OK) return err;
  pl_failure failure = pl_failure_of(PL_PEER_LOST, PL_UNKNOWN, "the path broke behind a relay");
  failure.node = m.node;
  pl_call_fail(c, &failure);
  return PL_OK;
}

static void on_result(pl_call *c, pl_bytes body) {
  if (c->timing_out) {  // the caller has been told, or is about to be: too late is too late
    pl_bytes_drop(&body);
    c->service->loop->metrics.replies_late++;
    fail_with(c, PL_TIMEOUT, PL_UNKNOWN, NULL);
    return;
  }
  c->result = body;
  settle(c);
}

// As nearly every call has it.
static pl_err on_whole_result(pl_call *c, pl_bytes view) {
  pl_bytes body;
  if (view.len > c->service->config.message_max) return PL_TOO_LARGE;
  if (!pl_bytes_keep(&body, view)) return PL_NO_MEMORY;
  on_result(c, body);
  return PL_OK;
}

static pl_err on_body(pl_call *c, const pl_frame *f) {
  pl_service *sv = c->service;
  uint64_t now = pl_now_us(sv->loop);
  pl_intake_event event;
  uint8_t type;
  pl_bytes body;
  // A plain call gave no credit for items, so a chunk for it is a protocol error here.
  if (!c->has_intake) {
    if (f->type == PL_FRAME_RESULT && !(f->flags & PL_FLAG_MORE))
      return on_whole_result(c, f->body);
    c->has_intake = true;
    pl_intake_init(&c->intake, &sv->windows, &sv->memory.held, 0, PL_BODY_WINDOW,
                   sv->config.message_max, now);
  }
  pl_err err = pl_intake_frame(&c->intake, f, 0, c->expecting, now, &event, &type, &body);
  if (err != PL_OK) return err;
  switch (event) {
    case PL_INTAKE_NOTHING:
      if (pl_call_flows(c)) pl_call_progress(c);
      grant_soon(c);
      break;
    case PL_INTAKE_ITEMS: on_items(c, f->aux); break;
    case PL_INTAKE_BODY: on_result(c, body); break;
  }
  return PL_OK;
}

static pl_err take_frame(pl_call *c, const pl_frame *f) {
  switch (f->type) {
    case PL_FRAME_DATA:
    case PL_FRAME_BODY:
    case PL_FRAME_RESULT: return on_body(c, f);
    case PL_FRAME_ERROR: return on_error(c, f);
    case PL_FRAME_PATH_LOST: return on_path_lost(c, f);
    case PL_FRAME_CREDIT: return pl_call_take_credit(c, f);
    case PL_FRAME_STOP: return pl_call_take_stop(c);
    case PL_FRAME_INFO: return pl_call_take_info(c, f);
    default: return PL_PROTOCOL;
  }
}

// Who broke the protocol of a circuit over relays cannot be known here: the call ends, not the
// link.
static pl_err judge(pl_call *c, pl_err err) {
  if (err == PL_OK || !c->routed) return err;
  send_cancel(c, PL_CANCELLED, (pl_bytes){0});
  fail_with(c, err, PL_UNKNOWN, "an answer broke the protocol");
  return PL_OK;
}

pl_err pl_call_frame(pl_channel *ch, const pl_frame *f) {
  pl_call *c = pl_labels_find(&ch->calls, f->label);
  if (c != NULL) return judge(c, take_frame(c, f));
  pl_relay_frame(ch, f);
  return PL_OK;
}

// For the owner.

int pl_call_next(pl_call *c, pl_bytes *item) {
  if (c->has_intake && pl_intake_next(&c->intake, item)) {
    if (pl_intake_is_low(&c->intake)) grant_soon(c);
    if (c->gap_waits && c->intake.items == 0 && !c->settled) pl_call_progress(c);
    return 1;
  }
  return c->settled ? -1 : 0;
}

void pl_call_expect(pl_call *c) {
  c->turned_us = pl_now_us(c->service->loop);
  c->expecting = true;
  grant_soon(c);
}

bool pl_call_ended(const pl_call *c) {
  return c->settled;
}

const pl_failure *pl_call_failure(const pl_call *c) {
  return c->failure;
}

pl_bytes pl_call_result(const pl_call *c) {
  return c->result;
}

int pl_call_codec(const pl_call *c) {
  return c->codec;
}

void pl_call_free(pl_call *c, pl_err why) {
  pl_call_abort(c, why, (pl_bytes){0});
}

void pl_call_abort(pl_call *c, pl_err why, pl_bytes reason) {
  pl_service *sv = c->service;
  if (!c->settled) {
    if (reason.len > PL_NAME_MAX) reason.len = PL_NAME_MAX;
    if (c->channel != NULL && !pl_flow_withdraw(&c->flow)) send_cancel(c, why, reason);
    sv->loop->metrics.calls_failed++;
    sv->loop->metrics.calls_now--;
    pl_meter_fail(c->meter, why, false);
    const pl_failure f = pl_failure_of(why, PL_UNKNOWN, NULL);
    if (c->span != NULL) pl_span_end(sv, &c->span, &f);
    pl_errand_end(&c->errand, pl_now_us(sv->loop), PL_VERDICT_NONE, false, 0);
    pl_call_detach(c);
    pl_carried_settle(&c->carried, false);
  } else {
    pl_list_remove(&c->node);
  }
  pl_timer_stop(&c->timer);
  pl_call_drop_intake(c);
  pl_bytes_drop(&c->result);
  pl_call_drop_info(c);
  if (c->failure != NULL) pl_failure_drop(c->failure);
  pl_free(c->failure);
  pl_call_forget_tries(c);
  if (c->input) pl_unsent_fini(&c->unsent);
  if (c->repeatable) {
    pl_parts_drop(&c->order.args);
    pl_bytes_drop(&c->order.ancestors);
  }
  pl_free(c->owned);
  call_recycle(sv, c);
}
