// Opening a call: who takes it, and its first frame.

#include <string.h>

#include "base/limits.h"
#include "service/ancestry.h"
#include "service/call_impl.h"
#include "service/choose.h"
#include "service/span.h"
#include "service/system.h"

enum { BUSY_RETRY_MS = 100 };  // when the link may have room again: nobody knows

static pl_err refuse(pl_failure *why, pl_err code, pl_outcome outcome, const char *message,
                     pl_bytes action) {
  *why = pl_failure_of(code, outcome, message);
  why->action = action;
  if (code == PL_BUSY) why->retry_after_ms = BUSY_RETRY_MS;
  return code;
}

// How large a value a node takes is known of neighbours only.
static pl_err admit(const pl_channel *ch, bool routed, const pl_order *o, bool flows,
                    pl_failure *why) {
  if (ch == NULL) return refuse(why, PL_NO_ROUTE, PL_NOT_SENT, NULL, o->action);
  size_t max = routed ? 0 : pl_session_message_max(ch->session);
  if (max > 0 && pl_parts_len(&o->args) > max) {
    return refuse(why, PL_TOO_LARGE, PL_NOT_SENT, "the arguments are larger than max_message",
                  o->action);
  }
  if (ch->calls_open >= PL_CALLS_PER_LINK) {
    return refuse(why, PL_BUSY, PL_NOT_EXECUTED, "too many calls in flight on the link", o->action);
  }
  if (flows && pl_memory_refuses(&ch->service->memory)) {
    ch->service->loop->metrics.memory_refused++;
    return refuse(why, PL_BUSY, PL_NOT_EXECUTED, PL_MEMORY_TEXT, o->action);
  }
  if (flows && ch->streams_out >= PL_STREAMS_PER_PEER) {
    return refuse(why, PL_BUSY, PL_NOT_EXECUTED, "too many streams open to the node", o->action);
  }
  return PL_OK;
}

pl_choice pl_call_choose(pl_service *sv, const pl_order *order, bool flows, pl_turn_down *out,
                         unsigned room, pl_failure *why) {
  pl_query q = {
      .action = order->action,
      .only = order->bound ? &order->only : NULL,
      .policy = order->policy,
      .args = order->args,
      .refused = out->refused,
      .tried = out->tried,
      .tried_count = out->tried_count,
  };
  bool failed = false;
  for (;; room--) {
    pl_failure other;
    q.refused_count = out->refused_count;
    pl_offer *offer = pl_choose(sv, &q, failed ? &other : why);
    if (offer == NULL) return (pl_choice){0};
    const pl_provider *to = offer->provider;
    pl_channel *ch = pl_service_path_to(sv, to);
    pl_err err = admit(ch, ch != to->channel, order, flows, why);
    if (err == PL_OK) return (pl_choice){offer, ch};
    if (err == PL_TOO_LARGE || room == 0) return (pl_choice){0};
    failed = true;
    out->refused[out->refused_count++] = offer->provider->id;
  }
}

// Remaining time in whole milliseconds, at least 1; 0 = none.
static uint64_t remaining_ms(const pl_loop *loop, uint64_t deadline_us) {
  if (deadline_us == PL_NEVER) return 0;
  uint64_t now = pl_now_us(loop);
  return deadline_us <= now + 1000 ? 1 : (deadline_us - now) / 1000;
}

static void attach(pl_call *c, pl_channel *ch) {
  c->channel = ch;
  pl_flow_init(&c->flow, &ch->lanes, pl_channel_next_label(ch), PL_LANE_NORMAL);
  if (c->input) pl_call_watch_flow(c);
  c->flow.credit_bytes = c->routed ? PL_BODY_WINDOW : pl_session_body_window(ch->session);
  pl_labels_put(&ch->calls, c->flow.label, c);
  pl_list_push(&ch->call_list, &c->node);
  ch->calls_open++;
  if (pl_call_flows(c)) ch->streams_out++;
}

// The keys that a relay needs. `room` is for what they refer to.
static void set_out(pl_msg_call *m, const pl_call *c, uint8_t room[PL_MSG_EXCLUDE_ROOM]) {
  m->hops_left = PL_HOPS_MAX;
  if (!c->left_open) {
    m->destination = pl_msg_destination(room, &c->callee);
    return;
  }
  unsigned count;
  const pl_id *refused = pl_call_refused(c, &count);
  if (count > 0)
    m->exclude = pl_bytes_of(room, (size_t)(pl_msg_exclude_put(room, refused, count) - room));
}

// There is nothing to tell but what the head of a usual call says.
static bool is_usual(const pl_call *c, const pl_order *o) {
  bool carries = pl_call_flows(c) || c->codec != 0 || c->idle_us != 0 || c->tries != NULL;
  bool ordinary = o->priority == 0 || o->priority == PL_PRIORITY_NORMAL;
  return !carries && ordinary && !c->left_open && !o->traced && o->via == NULL &&
         o->meta.len == 0 && o->ancestors.len == 0;
}

static bool send_usual(pl_call *c, const pl_order *order) {
  pl_msg_call_usual m = {
      .call_id = c->call_id,
      .action = order->action,
      .timeout_ms = remaining_ms(c->service->loop, order->deadline_us),
      .to = c->routed ? &c->callee : NULL,
  };
  return pl_flow_call_usual(&c->flow, &m, &order->args);
}

static void dispatch(pl_call *c, pl_channel *ch, const pl_order *order) {
  pl_service *sv = c->service;
  if (c->call_id == 0) c->call_id = ++sv->next_call_id;
  c->has_intake = c->stream;
  uint64_t window_bytes = 0;
  if (pl_call_flows(c)) {
    c->action = order->action;
    c->turned_us = pl_now_us(sv->loop);
  }
  if (c->stream) {
    window_bytes = pl_windows_first(&sv->windows);
    pl_intake_init(&c->intake, &sv->windows, &sv->memory.held, PL_WINDOW_ITEMS, window_bytes,
                   sv->config.message_max, pl_now_us(sv->loop));
  }
  attach(c, ch);
  if (is_usual(c, order) && send_usual(c, order)) return;

  uint8_t room[PL_MSG_EXCLUDE_ROOM];
  pl_msg_call m = {
      .call_id = c->call_id,
      .action = order->action,
      .timeout_ms = remaining_ms(sv->loop, order->deadline_us),
      .stream = c->stream,
      .window_items = c->stream ? PL_WINDOW_ITEMS : 0,
      .window_bytes = window_bytes,
      .trace = pl_bytes_of(&order->outer, order->traced ? PL_TRACE_BYTES : 0),
      .priority = order->priority == PL_PRIORITY_NORMAL ? 0 : (uint64_t)order->priority,
      .meta = order->meta,
      .ancestors = order->ancestors,
      .codec = (uint64_t)c->codec,
      .idle_ms = c->idle_us / 1000,
      .input = c->input,
  };
  m.attempt = pl_call_attempt(c, &m.first_call_id);
  if (c->routed) set_out(&m, c, room);
  if (order->via != NULL) m.via = pl_bytes_of(order->via->bytes, sizeof order->via->bytes);
  pl_flow_call(&c->flow, &m, &order->args);
  if (!c->input) return;
  pl_unsent_send(&c->unsent, &c->flow);
  if (c->finished) pl_flow_end(&c->flow);
}

static bool is_left_open(const pl_call *c, const pl_offer *offer, const pl_order *order) {
  if (offer->entry->count < 2) return false;  // as nearly always
  pl_query q = {
      .action = order->action, .only = order->bound ? &order->only : NULL, .policy = order->policy};
  return pl_call_may_be_left_open(c) && pl_choose_is_left_open(c->service, &q);
}

void pl_call_dispatch(pl_call *c, pl_choice to, const pl_order *order) {
  const pl_provider *p = to.offer->provider;
  c->routed = to.way != p->channel;
  c->left_open = c->routed && is_left_open(c, to.offer, order);
  c->callee = c->left_open ? *pl_session_peer_id(to.way->session) : p->id;
  dispatch(c, to.way, order);
  if (!c->left_open)
    pl_errand_begin(&c->errand, pl_offer_tally(to.offer), pl_now_us(c->service->loop));
}

// Whether there may be another attempt, or another way than the link that is away.
static bool may_go_on(const pl_choice *to, const pl_order *order) {
  if (pl_channel_is_away(to->way)) return true;
  if (pl_order_retries(order) == 0) return false;
  const pl_offer *offer = to->offer;
  bool far = offer->provider->channel == NULL;
  return offer->entry->count > 1 || offer->idempotent || far;
}

// Keeps what that would need.
static void prepare_repeat(pl_call *c, const pl_choice *to, const pl_order *order) {
  c->idempotent = to->offer->idempotent;
  if (!may_go_on(to, order)) return;
  c->order = *order;
  const pl_parts *args = &order->args;
  if (args->head.owner == NULL && pl_parts_len(args) <= PL_ORDER_ROOM) {
    pl_parts_copy(args, c->room, PL_ORDER_ROOM);
    c->order.args.head.data = c->room;
    c->repeatable = true;
  } else {
    c->repeatable = pl_parts_keep(&c->order.args, args);
  }
  if (c->repeatable && order->ancestors.len > 0)
    pl_bytes_keep(&c->order.ancestors, order->ancestors);
}

// The request for which it is made may make no more.
static pl_err refuse_descendant(pl_failure *why, pl_err code, pl_bytes action) {
  const char *message = code == PL_TOO_LARGE ? "the call is nested in too many others" : NULL;
  return refuse(why, code, PL_NOT_SENT, message, action);
}

static void fill_order(pl_order *order, const pl_call_options *o, const pl_parts *args) {
  order->action = o->action;
  order->meta = o->meta;
  order->ancestors = (pl_bytes){0};
  order->args = *args;
  order->policy = o->policy;
  order->deadline_us = o->deadline_us;
  order->priority = o->priority;
  order->via = NULL;
  order->bound = o->node != NULL;
  order->traced = o->outer != NULL;
  if (o->node != NULL) order->only = *o->node;
  if (o->outer != NULL) order->outer = *o->outer;
}

static pl_call *new_call(pl_service *sv, const pl_call_ops *ops, void *user) {
  pl_call *c = pl_call_new(sv);
  c->service = sv;
  c->ops = ops;
  c->user = user;
  return c;
}

static void opened(pl_call *c, uint64_t deadline_us) {
  pl_loop *loop = c->service->loop;
  if (deadline_us != PL_NEVER)
    pl_timer_start(&loop->clock, &c->timer, deadline_us - pl_now_us(loop), pl_call_on_deadline);
  c->opened_us = pl_now_us(loop);
  c->meter->begun++;
  if (pl_call_flows(c)) c->meter->streams++;
  loop->metrics.calls_opened++;
  loop->metrics.calls_now++;
}

// What the caller wants of it, however it goes.
static pl_call *make(pl_service *sv, const pl_call_options *o, const pl_call_ops *ops, void *user) {
  pl_call *c = new_call(sv, ops, user);
  c->idle_us = o->idle_us;
  c->codec = o->codec;
  c->stream = o->stream;
  c->input = o->input;
  if (c->input) pl_unsent_init(&c->unsent);
  c->whole = o->whole;
  c->traced = o->outer != NULL;
  if (c->traced) c->trace_id = o->outer->id;
  c->call_id = 0;
  return c;
}

static pl_err refuse_late(pl_failure *why, pl_bytes action) {
  return refuse(why, PL_TIMEOUT, PL_NOT_SENT, "the deadline had passed before the call", action);
}

static pl_channel *path_to(pl_service *sv, const pl_id *node) {
  const pl_provider *p = pl_service_provider(sv, node);
  return p != NULL ? pl_service_path_to(sv, p)
                   : pl_service_path(sv, pl_router_node(sv->router, node), NULL);
}

// What a node serves itself is told to nobody, so nothing is chosen.
static pl_err open_at(pl_call **out, pl_service *sv, const pl_call_options *o, pl_order *order,
                      const pl_id *via, const pl_call_ops *ops, void *user, pl_failure *why) {
  pl_channel *ch = path_to(sv, o->node);
  if (ch == NULL && via != NULL) {
    ch = path_to(sv, via);
    order->via = via;
  }
  bool routed = ch != NULL && !pl_id_equal(pl_session_peer_id(ch->session), o->node);
  pl_err err = admit(ch, routed, order, o->stream || o->input, why);
  if (err != PL_OK) return err;
  if (o->deadline_us <= pl_now_us(sv->loop)) return refuse_late(why, o->action);
  pl_call *c = make(sv, o, ops, user);
  c->meter = &sv->directory.meters.unlisted;
  c->idempotent = c->left_open = false;
  c->callee = *o->node;
  c->routed = routed;
  dispatch(c, ch, order);
  opened(c, o->deadline_us);
  *out = c;
  return PL_OK;
}

pl_err pl_call_open_at(pl_call **out, pl_service *sv, const pl_call_options *o,
                       const pl_parts *args, const pl_id *via, const pl_call_ops *ops, void *user,
                       pl_failure *why) {
  pl_order order;
  fill_order(&order, o, args);
  return open_at(out, sv, o, &order, via, ops, user, why);
}

static pl_err open_call(pl_call **out, pl_service *sv, const pl_call_options *o, pl_order *order,
                        const pl_call_ops *ops, void *user, pl_failure *why) {
  pl_err err = o->within != NULL ? pl_ancestry_line(o->within, &order->ancestors) : PL_OK;
  if (err != PL_OK) return refuse_descendant(why, err, o->action);
  if (o->node != NULL && pl_system_is_known(sv, o->action))
    return open_at(out, sv, o, order, NULL, ops, user, why);
  if (sv->taps != 0) pl_span_sample(sv, order);
  pl_turn_down none;
  none.refused_count = none.tried_count = 0;
  pl_choice to =
      pl_call_choose(sv, order, o->stream || o->input, &none, pl_order_retries(order), why);
  if (to.offer == NULL) return why->code;
  if (o->deadline_us <= pl_now_us(sv->loop)) return refuse_late(why, o->action);

  pl_call *c = make(sv, o, ops, user);
  c->meter = pl_entry_meter(&sv->directory, to.offer->entry);
  prepare_repeat(c, &to, order);
  pl_call_dispatch(c, to, order);
  opened(c, o->deadline_us);
  if (sv->taps != 0 || order->traced) pl_span_call(c, order);
  pl_budget_earn(&sv->budget);
  *out = c;
  return PL_OK;
}

// What is not known by name has no figures: nobody provides it.
static void count_refused(pl_service *sv, pl_bytes action, pl_err code) {
  sv->loop->metrics.calls_refused++;
  pl_entry *e = pl_directory_find(&sv->directory, action);
  if (e == NULL) return;
  pl_meter *m = pl_entry_meter(&sv->directory, e);
  m->begun++;
  pl_meter_fail(m, code, false);
}

pl_err pl_service_call(pl_call **out, pl_service *sv, const pl_call_options *o,
                       const pl_parts *args, const pl_call_ops *ops, void *user, pl_failure *why) {
  pl_order order;
  fill_order(&order, o, args);
  pl_err err = open_call(out, sv, o, &order, ops, user, why);
  if (err == PL_OK) return PL_OK;
  count_refused(sv, o->action, err);
  if (sv->taps != 0 || order.traced) pl_span_refused(sv, &order, why);
  return err;
}

void pl_service_explain(pl_service *sv, const pl_call_options *o, const pl_parts *args,
                        pl_explanation *out, pl_standing_fn *fn, void *user) {
  pl_query q = {.action = o->action, .only = o->node, .policy = o->policy, .args = *args};
  pl_choose_explain(sv, &q, out, fn, user);
}
