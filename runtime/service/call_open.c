// Opening a call: who takes it, and its first frame.

#include <stdio.h>

#include "base/limits.h"
#include "service/call_impl.h"

enum { BUSY_RETRY_MS = 100 };  // when the link may have room again: nobody knows

static pl_err refuse(pl_failure *why, pl_err code, pl_outcome outcome, const char *message,
                     pl_bytes action) {
  *why = pl_failure_of(code, outcome, message);
  why->action = action;
  if (code == PL_BUSY) why->retry_after_ms = BUSY_RETRY_MS;
  return code;
}

static pl_err nobody_there(pl_service *sv, const pl_call_options *o, pl_failure *why) {
  const pl_provider *p = o->node != NULL ? pl_service_provider(sv, o->node) : NULL;
  if (o->node != NULL && (p == NULL || !p->reachable)) {
    return refuse(why, PL_NO_ROUTE, PL_NOT_SENT, "no path to the given node", o->action);
  }
  int len = (int)(o->action.len < PL_NAME_MAX ? o->action.len : PL_NAME_MAX);
  const char *who =
      o->node == NULL ? "no reachable node provides" : "the given node does not provide";
  snprintf(sv->why_text, sizeof sv->why_text, "%s the action '%.*s'", who, len,
           (const char *)o->action.data);
  return refuse(why, PL_NOT_FOUND, PL_NOT_SENT, sv->why_text, o->action);
}

static pl_err choose(pl_service *sv, const pl_call_options *o, pl_offer **out, pl_failure *why) {
  pl_entry *e = pl_directory_find(&sv->directory, o->action);
  *out = e == NULL ? NULL : pl_directory_choose(e, o->node);
  if (*out != NULL) return PL_OK;
  if (e != NULL && pl_directory_drains(e, o->node))
    return refuse(why, PL_DRAINING, PL_NOT_EXECUTED, NULL, o->action);
  return nobody_there(sv, o, why);
}

static pl_err admit(const pl_channel *ch, const pl_call_options *o, pl_bytes args,
                    pl_failure *why) {
  size_t max = pl_session_message_max(ch->session);
  if (max > 0 && args.len > max) {
    return refuse(why, PL_TOO_LARGE, PL_NOT_SENT, "the arguments are larger than max_message",
                  o->action);
  }
  if (ch->calls_open >= PL_CALLS_PER_LINK) {
    return refuse(why, PL_BUSY, PL_NOT_EXECUTED, "too many calls in flight on the link", o->action);
  }
  if (o->stream && ch->streams_out >= PL_STREAMS_PER_PEER) {
    return refuse(why, PL_BUSY, PL_NOT_EXECUTED, "too many streams open to the node", o->action);
  }
  return PL_OK;
}

static uint32_t next_label(pl_channel *ch) {
  do {
    ch->next_label += 2;
    if (ch->next_label >= UINT32_MAX - 2) ch->next_label = ch->next_label % 2 == 1 ? 1 : 2;
  } while (pl_labels_find(&ch->calls, ch->next_label) != NULL);
  return ch->next_label;
}

// Remaining time in whole milliseconds, at least 1; 0 = none.
static uint64_t remaining_ms(const pl_loop *loop, uint64_t deadline_us) {
  if (deadline_us == PL_NEVER) return 0;
  uint64_t now = pl_now_us(loop);
  return deadline_us <= now + 1000 ? 1 : (deadline_us - now) / 1000;
}

static void attach(pl_call *c, pl_channel *ch) {
  c->channel = ch;
  pl_flow_init(&c->flow, &ch->lanes, next_label(ch), PL_LANE_NORMAL);
  c->flow.credit_bytes = pl_session_body_window(ch->session);
  pl_labels_put(&ch->calls, c->flow.label, c);
  pl_list_push(&ch->call_list, &c->node);
  ch->calls_open++;
  if (c->stream) ch->streams_out++;
}

pl_err pl_service_call(pl_call **out, pl_service *sv, const pl_call_options *o, pl_bytes args,
                       const pl_call_ops *ops, void *user, pl_failure *why) {
  pl_offer *offer;
  pl_err err = choose(sv, o, &offer, why);
  if (err != PL_OK) return err;
  pl_channel *ch = offer->provider->channel;
  if ((err = admit(ch, o, args, why)) != PL_OK) return err;
  if (o->deadline_us <= pl_now_us(sv->loop)) {
    return refuse(why, PL_TIMEOUT, PL_NOT_SENT, "the deadline had passed before the call",
                  o->action);
  }

  pl_call *c = pl_call_new(sv);
  c->service = sv;
  c->ops = ops;
  c->user = user;
  c->call_id = ++sv->next_call_id;
  c->idle_us = o->idle_us;
  c->codec = o->codec;
  c->stream = o->stream;
  c->callee = offer->provider->id;
  pl_intake_init(&c->intake, o->stream ? PL_WINDOW_ITEMS : 0,
                 o->stream ? PL_WINDOW_BYTES : PL_BODY_WINDOW, sv->config.message_max);
  pl_trace_of(&c->trace, &sv->config.identity->id, c->call_id, o->outer);
  attach(c, ch);

  pl_msg_call m = {
      .call_id = c->call_id,
      .action = o->action,
      .timeout_ms = remaining_ms(sv->loop, o->deadline_us),
      .stream = o->stream,
      .window_items = o->stream ? PL_WINDOW_ITEMS : 0,
      .window_bytes = o->stream ? PL_WINDOW_BYTES : 0,
      .trace = pl_bytes_of(o->outer, o->outer != NULL ? PL_TRACE_BYTES : 0),
      .meta = o->meta,
      .codec = (uint64_t)o->codec,
      .idle_ms = o->idle_us / 1000,
  };
  pl_flow_call(&c->flow, &m, args);
  if (o->deadline_us != PL_NEVER) {
    pl_timer_start(&sv->loop->clock, &c->timer, o->deadline_us - pl_now_us(sv->loop),
                   pl_call_on_deadline);
  }
  sv->loop->metrics.calls_opened++;
  sv->loop->metrics.calls_now++;
  *out = c;
  return PL_OK;
}
