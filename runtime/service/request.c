// The callee's end of calls and streams: the one dispatcher. Who may start when: admission.c.
//
//   ARRIVING --> WAITING --> RUNNING --> SENDING --> freed
//    arguments    for a       handler     result or error
//    not whole    free slot               not all written
//       |                                   ^
//       +--> JOINED: a repeat (repeat.c) ---+
//
// A request that the caller gave up, or whose deadline passed, is ended at once while it waits; a
// running one is cancelled and keeps its slot until its handler has really ended.

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/admission.h"
#include "service/ancestry.h"
#include "service/passed.h"
#include "service/relay.h"
#include "service/request_impl.h"
#include "service/span.h"
#include "service/system.h"
#include "wire/msgpack.h"

pl_request *pl_request_of(pl_list *node) {
  return pl_container(node, pl_request, node);
}

// Memory.

enum { FREE_KEPT = 1024 };

pl_request *pl_request_new(pl_service *sv) {
  pl_list *n = pl_list_pop(&sv->free_requests);
  pl_request *r;
  if (n == NULL) {
    r = pl_new(pl_request);
    pl_list_init(&r->untimed);
    pl_list_init(&r->carried);
    return r;
  }
  r = pl_request_of(n);
  memset(r, 0, offsetof(pl_request, node));
  sv->free_count--;
  // For the next one: calls come in rows.
  if (!pl_list_empty(&sv->free_requests))
    pl_prefetch(pl_request_of(sv->free_requests.next), offsetof(pl_request, mark));
  return r;
}

static void request_recycle(pl_service *sv, pl_request *r) {
  if (sv->free_count >= FREE_KEPT) {
    pl_free(r);
    return;
  }
  sv->free_count++;
  pl_list_push_front(&sv->free_requests, &r->node);
}

void pl_requests_free_all(pl_service *sv) {
  for (pl_list *n; (n = pl_list_pop(&sv->free_requests)) != NULL;)
    pl_free(pl_request_of(n));
}

// Ending.

static void detach(pl_request *r) {
  pl_channel *ch = r->channel;
  if (ch == NULL) return;
  r->channel = NULL;
  pl_labels_remove(&ch->requests, r->flow.label);
  pl_list_remove(&r->node);
  if (pl_request_flows(r)) ch->streams_in--;
  pl_flow_fini(&r->flow);
  pl_channel_ended(ch);
}

static void drop_intake(pl_request *r) {
  pl_work_cancel(&r->tidy);
  pl_work_cancel(&r->granting);
  pl_intake_fini(&r->intake);
}

static void request_free(pl_request *r) {
  pl_service *sv = r->service;
  detach(r);
  pl_list_remove(&r->node);
  pl_carried_settle(&r->carried, false);
  pl_request_unwatch(r);
  pl_timer_stop(&r->stall);
  if (r->has_intake) drop_intake(r);
  pl_request_drop_args(r);
  pl_bytes_drop(&r->meta);
  pl_bytes_drop(&r->identity);
  pl_bytes_drop(&r->name);
  pl_ancestry_drop(r);
  if (r->action != NULL) pl_action_drop(r->action);
  if (r->handler != NULL) pl_handler_drop(r->handler);
  sv->requests--;
  sv->loop->metrics.requests_now--;
  request_recycle(sv, r);
  pl_service_check_drained(sv);
}

static void on_sent(pl_flow *f) {
  pl_request *r = pl_container(f, pl_request, flow);
  if (r->state == PL_REQUEST_SENDING) {
    request_free(r);
  } else if (r->credit_due) {
    r->credit_due = false;
    pl_request_stall_over(r);
    r->handler->ops->on_credit(r);
  }
}

// Tracebacks are for those who may be trusted with the inside of this node.
static bool send_error(pl_request *r, const pl_failure *failure) {
  if (pl_channel_is_trusted(r->channel)) return pl_flow_error(&r->flow, failure);
  pl_failure shown = *failure;
  pl_buf room = {0};
  pl_msg_error_blind(&shown, &room);
  bool written = pl_flow_error(&r->flow, &shown);
  pl_buf_fini(&room);
  return written;
}

// Instead of what would wait for ever: nobody grants credit for it any more.
static bool send_unwanted(pl_request *r, const pl_failure *failure) {
  pl_failure unwanted = pl_failure_of(PL_CANCELLED, PL_EXECUTED, NULL);
  pl_flow_fini(&r->flow);
  return send_error(r, failure != NULL ? failure : &unwanted);
}

// The neighbour said how long a value it takes; 0: it did not. Of others that is not known.
static bool is_too_large(const pl_request *r, size_t len) {
  if (r->channel == NULL || r->relayed) return false;
  uint64_t max = pl_session_message_max(r->channel->session);
  return max > 0 && len > max;
}

// A run that answers several requests is none itself.
static void count_end(pl_request *r, const pl_failure *failure) {
  if (r->action == NULL || r->shared) return;
  pl_meter *m = r->action->meter;
  if (failure != NULL) {
    pl_meter_fail(m, failure->code, failure->name.len > 0);
    return;
  }
  m->ok++;
  if (!pl_request_flows(r)) pl_laps_add(&r->service->laps, &m->took, r->turned_us);
}

// Sends the last frame of the circuit; the request lives until it is written.
void pl_request_answer(pl_request *r, const pl_parts *result, const pl_failure *failure) {
  if (r->entry != NULL) pl_repeat_settle(r, result, failure);
  pl_failure too_large;
  if (failure == NULL && is_too_large(r, pl_parts_len(result))) {
    too_large =
        pl_failure_of(PL_TOO_LARGE, PL_EXECUTED, "the result is larger than the caller takes");
    too_large.node = r->service->config.identity->id;
    failure = &too_large;
  }
  if (r->state != PL_REQUEST_SENDING) count_end(r, failure);
  if (r->span != NULL) pl_span_end(r->service, &r->span, failure);
  r->state = PL_REQUEST_SENDING;
  pl_request_unwatch(r);
  if (r->channel == NULL) {
    request_free(r);
    return;
  }
  pl_carried_settle(&r->carried, failure == NULL);
  bool needs_credit =
      !pl_flow_idle(&r->flow) || (failure == NULL && pl_parts_len(result) > PL_FRAGMENT_MAX);
  bool written = r->given_up && needs_credit ? send_unwanted(r, failure)
                 : failure != NULL           ? send_error(r, failure)
                                             : pl_flow_result(&r->flow, result);
  if (written) {
    request_free(r);
  } else {
    pl_request_stall_watch(r);
    if (r->started_us > 0) pl_request_drop_input(r);  // the answer may be long in coming
  }
}

static void count_refusal(pl_service *sv, const pl_failure *f) {
  if (f->outcome != PL_NOT_EXECUTED) return;
  if (f->code == PL_BUSY) sv->loop->metrics.requests_busy++;
  if (f->code == PL_TIMEOUT) sv->loop->metrics.requests_expired++;
}

void pl_request_refuse(pl_request *r, pl_err code, const char *message, uint32_t retry_after_ms) {
  pl_failure f = pl_failure_of(code, PL_NOT_EXECUTED, message);
  f.node = r->service->config.identity->id;
  f.retry_after_ms = retry_after_ms;
  if (r->action != NULL) f.action = pl_bytes_of(r->action->name, r->action->name_len);
  count_refusal(r->service, &f);
  pl_request_answer(r, NULL, &f);
}

// Breaking off.

void pl_request_cancel(pl_request *r, const pl_failure *why) {
  switch (r->state) {
    case PL_REQUEST_ARRIVING: pl_request_refuse(r, why->code, NULL, 0); return;
    case PL_REQUEST_WAITING:
      pl_admission_withdraw(r);
      pl_request_refuse(r, why->code, NULL, 0);
      return;
    case PL_REQUEST_JOINED: {
      pl_outcome outcome = pl_repeat_leave(r, why) ? PL_NOT_EXECUTED : PL_UNKNOWN;
      pl_failure f = pl_failure_of(why->code, outcome, NULL);
      f.node = r->service->config.identity->id;
      pl_request_answer(r, NULL, &f);
      return;
    }
    case PL_REQUEST_RUNNING:
      if (r->cancelled) return;
      r->cancelled = true;
      r->credit_due = false;
      pl_request_unwatch(r);
      pl_timer_stop(&r->stall);
      if (r->channel != NULL) pl_flow_withdraw(&r->flow);
      pl_request_drop_input(r);
      r->handler->ops->on_cancel(r, why);
      return;
    case PL_REQUEST_SENDING:
      if (r->channel == NULL) {
        request_free(r);
      } else if (r->given_up && r->started_us > 0) {  // its answer may wait for credit
        pl_request_answer(r, NULL, why);
      }
      return;
  }
}

static void break_for(pl_request *r, pl_err code, pl_bytes message) {
  pl_outcome outcome = r->started_us > 0 ? PL_EXECUTED : PL_NOT_EXECUTED;
  pl_failure why = pl_failure_of(code, outcome, NULL);
  if (message.len > 0) why.message = message;
  pl_request_cancel(r, &why);
}

void pl_request_break(pl_request *r, pl_err code, const char *message) {
  break_for(r, code, pl_bytes_of(message, message != NULL ? strlen(message) : 0));
}

void pl_request_on_deadline(pl_timer *t) {
  pl_request *r = pl_container(t, pl_request, timer);
  if (pl_repeat_is_orphan(r)) {
    pl_request_break(r, PL_PEER_LOST, "the caller was lost");
  } else {
    pl_request_break(r, PL_TIMEOUT, NULL);
  }
}

void pl_request_lost(pl_request *r, pl_err why, const char *detail) {
  (void)why;
  detach(r);
  if (pl_repeat_linger(r)) return;
  pl_request_break(r, PL_PEER_LOST,
                   detail != NULL && detail[0] != '\0' ? detail : "the caller was lost");
}

// Arriving.

// The arguments are whole: start, wait, or be refused.
static void admit(pl_request *r, const pl_bytes *name) {
  pl_service *sv = r->service;
  pl_action *a = pl_request_find_action(r, *name);
  if (a == NULL) {
    pl_request_refuse(r, PL_NOT_FOUND, "the node does not provide the action", 0);
    return;
  }
  pl_request_count(r, a);
  uint64_t usual = a->options.timeout_us;
  bool flows = pl_request_flows(r);
  // Callers that know of it have said so: a longer one is what they want.
  bool unsaid = usual > 0 && !flows && r->deadline_us == PL_NEVER;
  if (unsaid) r->deadline_us = pl_now_us(sv->loop) + usual;
  if (r->deadline_us != PL_NEVER) pl_request_watch_later(r);
  if (a->system) {
    pl_system_admit(r);
    return;
  }
  if (a->options.share && !flows && (r = pl_share_admit(r)) == NULL) return;
  if (a->options.idempotent && !flows && !r->shared && pl_repeat_admit(r)) return;
  pl_admission_ask(r);
}

// The gaps that its caller bears with, if that is longer; for ever if it is live.
static uint64_t stall_of(const pl_service *sv, const pl_msg_call *m) {
  enum { GAP_MAX_MS = 1000000000 };
  uint64_t longest = sv->config.stall_us;
  uint64_t gap = (m->idle_ms < GAP_MAX_MS ? m->idle_ms : GAP_MAX_MS) * 1000;
  if (longest == 0 || (m->stream && gap == 0)) return 0;
  return m->stream && gap > longest ? gap : longest;
}

static pl_request *open_request(pl_channel *ch, const pl_frame *f, const pl_msg_call *m) {
  pl_service *sv = ch->service;
  pl_request *r = pl_request_new(sv);
  r->service = sv;
  r->channel = ch;
  r->started_us = 0;
  r->call_id = m->call_id;
  r->repeated = m->first_call_id != 0;
  r->first_call_id = r->repeated ? m->first_call_id : m->call_id;
  r->stream = m->stream;
  r->input = m->input ? PL_INPUT_OPEN : PL_INPUT_NONE;
  r->codec = m->codec == 1 ? 1 : 0;
  r->rank = (uint8_t)pl_rank_of(m->priority);
  r->caller = *pl_session_peer_id(ch->session);
  r->relayed = m->source.len > 0 && pl_channel_may_relay(ch);
  if (r->relayed) memcpy(r->caller.bytes, m->source.data, sizeof r->caller.bytes);
  r->has_outer = m->trace.len > 0;
  if (r->has_outer) memcpy(&r->trace, m->trace.data, sizeof r->trace);
  r->deadline_us = m->timeout_ms == 0 ? PL_NEVER : pl_now_us(sv->loop) + m->timeout_ms * 1000;
  pl_list_init(&r->wait.in_line);
  pl_list_init(&r->in_queue);
  r->turned_us = pl_now_us(sv->loop);
  r->stall_us = stall_of(sv, m);
  pl_flow_init(&r->flow, &ch->lanes, f->label, PL_FLAG_CALLEE | PL_LANE_NORMAL);
  r->flow.on_empty = on_sent;
  r->flow.credit_items = m->window_items;
  bool routed = m->destination.len > 0 || m->hops_left > 0;
  r->flow.credit_bytes = m->stream ? m->window_bytes
                         : routed  ? PL_BODY_WINDOW
                                   : pl_session_body_window(ch->session);
  pl_labels_put(&ch->requests, f->label, r);
  pl_list_push(&ch->request_list, &r->node);
  if (pl_request_flows(r)) ch->streams_in++;
  sv->requests++;
  pl_load_note(sv);
  sv->loop->metrics.requests_received++;
  sv->loop->metrics.requests_now++;
  if (pl_span_is_wanted(sv, r->has_outer ? &r->trace : NULL)) pl_span_request(r, m);
  return r;
}

static pl_err refuse_large(pl_request *r, const char *message) {
  pl_request_refuse(r, PL_TOO_LARGE, message, 0);
  return PL_OK;
}

static const char args_too_large[] = "the arguments are larger than max_message";

// All of the arguments, as nearly every call has them.
static pl_err take_whole(pl_request *r, const pl_bytes *name, pl_bytes args) {
  if (args.len > r->service->config.message_max) return refuse_large(r, args_too_large);
  if (!pl_bytes_keep(&r->args, args)) return PL_NO_MEMORY;
  admit(r, name);
  return PL_OK;
}

static pl_err take_piece(pl_request *r, const pl_frame *f, uint64_t total) {
  pl_intake_event event;
  uint8_t type;
  uint64_t now = pl_now_us(r->service->loop);
  pl_err err = pl_intake_frame(&r->intake, f, total, true, now, &event, &type, &r->args);
  if (err == PL_TOO_LARGE) return refuse_large(r, args_too_large);
  if (err != PL_OK) return err;
  if (event == PL_INTAKE_BODY) {
    pl_request_hold_args(r);
    pl_intake_ended(&r->intake);
    admit(r, &r->name);
  } else {
    pl_request_grant_soon(r);
  }
  return PL_OK;
}

// Who broke the protocol of a circuit that was relayed cannot be known here: the request ends, not
// the link.
static pl_err judge(pl_request *r, pl_err err) {
  if (err == PL_OK || !r->relayed) return err;
  r->given_up = true;
  pl_request_break(r, err, "a frame of the call broke the protocol");
  return PL_OK;
}

pl_err pl_request_arrive(pl_channel *ch, const pl_frame *f) {
  pl_msg_call m;
  ptrdiff_t head = pl_msg_call_decode(&m, f->body);
  if (head < 0) return (pl_err)head;
  if (!pl_channel_takes_label(ch, f->label) || (f->flags & PL_FLAG_CALLEE)) return PL_PROTOCOL;
  if (m.window_items > PL_CREDIT_MAX || m.window_bytes > PL_CREDIT_MAX) return PL_PROTOCOL;
  if (pl_relay_call(ch, f, &m, (size_t)head)) return PL_OK;

  pl_request *r = open_request(ch, f, &m);
  bool whole = (f->flags & PL_FLAG_MORE) == 0;  // then the name is needed only until we return
  bool system = pl_system_find(ch->service, m.action) != NULL;
  if (pl_request_refused(ch, r, &m, system)) return PL_OK;
  if (system && !whole) return refuse_large(r, "the arguments do not fit one frame");
  pl_bytes args = {f->body.data + head, f->body.len - (size_t)head, f->body.owner};
  if (!whole && !pl_bytes_keep(&r->name, m.action)) return PL_NO_MEMORY;
  if (m.meta.len > 0 && !pl_bytes_keep(&r->meta, m.meta)) return PL_NO_MEMORY;
  if (!pl_request_stamp(r, &m) || !pl_ancestry_take(r, &m)) return PL_NO_MEMORY;
  r->has_intake = !whole || m.input;
  if (r->has_intake) {
    pl_service *sv = r->service;
    pl_intake_init(&r->intake, whole ? NULL : &sv->windows, &sv->memory.held, 0, PL_BODY_WINDOW,
                   sv->config.message_max, pl_now_us(sv->loop));
  }
  if (whole) return judge(r, take_whole(r, &m.action, args));
  pl_frame rest = *f;
  rest.body = args;
  return judge(r, take_piece(r, &rest, m.body_len));
}

static pl_err take_frame(pl_request *r, const pl_frame *f) {
  switch (f->type) {
    case PL_FRAME_BODY:
      return r->state == PL_REQUEST_ARRIVING ? take_piece(r, f, 0) : pl_request_take_input(r, f);
    case PL_FRAME_DATA:
    case PL_FRAME_END: return pl_request_take_input(r, f);
    case PL_FRAME_CREDIT: {
      pl_msg_credit m;
      pl_err err = pl_msg_credit_decode(&m, f->body);
      if (err == PL_OK) err = pl_flow_grant(&r->flow, m.items, m.bytes);
      if (err == PL_OK && pl_timer_active(&r->stall)) pl_request_stall_watch(r);
      return err;
    }
    case PL_FRAME_CANCEL: {
      pl_msg_cancel m;
      pl_err err = pl_msg_cancel_decode(&m, f->body);
      if (err != PL_OK) return err;
      r->given_up = true;
      break_for(r, m.code == PL_TIMEOUT ? PL_TIMEOUT : PL_CANCELLED, m.reason);
      return PL_OK;
    }
    case PL_FRAME_PATH_LOST: pl_request_lost(r, PL_PEER_LOST, NULL); return PL_OK;
    default: return PL_PROTOCOL;
  }
}

pl_err pl_request_frame(pl_channel *ch, const pl_frame *f) {
  pl_request *r = pl_labels_find(&ch->requests, f->label);
  if (r != NULL) return judge(r, take_frame(r, f));
  pl_relay_frame(ch, f);
  return PL_OK;
}

// For the handler.

pl_err pl_request_chunk(pl_request *r, const pl_parts *item) {
  assert(r->state == PL_REQUEST_RUNNING);
  if (r->cancelled) return PL_CLOSED;
  if (!r->stream) return PL_STREAM_EXPECTED;
  if (r->channel == NULL) return PL_CLOSED;
  if (is_too_large(r, pl_parts_len(item))) return PL_TOO_LARGE;
  pl_request_unwatch(r);  // the deadline of a stream bounds its start
  r->itemized = true;
  r->service->loop->metrics.chunks_sent++;
  r->action->meter->items_sent++;
  if (r->span != NULL) pl_span_chunks(r->service, r->span, 1);
  if (pl_flow_item(&r->flow, item)) return PL_OK;
  r->credit_due = true;
  pl_request_stall_watch(r);
  r->service->loop->metrics.credit_waits++;
  return PL_BUSY;
}

void pl_request_end(pl_request *r, const pl_parts *result, const pl_failure *failure) {
  assert(r->state == PL_REQUEST_RUNNING);
  pl_service *sv = r->service;
  if (r->action->system) {
    pl_system_release(r);
  } else {
    pl_admission_release(r);
  }
  if (failure != NULL) count_refusal(sv, failure);
  pl_request_answer(r, result, failure);
  pl_admission_go_on(sv);
}
