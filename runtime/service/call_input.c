// The stream that a call sends to its handler, at the caller. Items that the callee has no credit
// for wait here; a call that is repeated takes them along, because none has been sent before there
// is credit.

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"

static void tell_owner(pl_call *c) {
  if (!c->credit_due) return;
  c->credit_due = false;
  c->ops->on_credit(c, c->user);
}

static void on_low(pl_flow *f) {
  pl_call *c = pl_container(f, pl_call, flow);
  if (c->flowing) pl_call_progress(c);
  tell_owner(c);
}

void pl_call_watch_flow(pl_call *c) {
  c->flow.low = PL_SEND_LOW;
  c->flow.on_low = on_low;
}

pl_err pl_call_take_credit(pl_call *c, const pl_frame *f) {
  pl_msg_credit m;
  pl_err err = pl_msg_credit_decode(&m, f->body);
  if (err == PL_OK) err = pl_flow_grant(&c->flow, m.items, m.bytes);
  if (err == PL_OK && c->input && m.items > 0) pl_call_progress(c);
  return err;
}

pl_err pl_call_take_stop(pl_call *c) {
  if (!c->input) return PL_PROTOCOL;
  c->stopped = true;
  pl_call_progress(c);  // what it drops cannot be sent to another
  pl_flow_drop_items(&c->flow);
  tell_owner(c);
  return PL_OK;
}

// For the owner.

bool pl_call_takes_items(const pl_call *c) {
  return c->input && !c->finished && !c->stopped && !c->settled;
}

size_t pl_call_unsent(const pl_call *c) {
  return c->channel != NULL ? pl_flow_waiting(&c->flow) : c->unsent.waiting;
}

bool pl_call_drained(pl_call *c) {
  c->flow.low = PL_SEND_LOW;
  c->credit_due = pl_call_unsent(c) > PL_SEND_LOW;
  return !c->credit_due;
}

static bool is_too_large(const pl_call *c, size_t len) {
  if (c->channel == NULL || c->routed) return false;
  uint64_t max = pl_session_message_max(c->channel->session);
  return max > 0 && len > max;
}

// Takes an item. True: it waits here, behind others or for credit.
static pl_err take(pl_call *c, const pl_parts *item, bool *waits) {
  assert(!c->finished);
  *waits = false;
  if (c->timing_out && !c->settled) {  // it is about to end, and the owner may wait for that
    *waits = true;
    return PL_OK;
  }
  if (!pl_call_takes_items(c)) return PL_CLOSED;
  if (is_too_large(c, pl_parts_len(item))) return PL_TOO_LARGE;
  c->service->loop->metrics.chunks_sent++;
  c->meter->items_sent++;
  if (c->channel == NULL) {
    if (!pl_unsent_add(&c->unsent, item)) return PL_NO_MEMORY;
  } else if (pl_flow_item(&c->flow, item)) {
    if (c->idle_us > 0) pl_call_progress(c);
    return PL_OK;
  }
  *waits = true;
  return PL_OK;
}

// The owner is told when no more than `low` wait.
static pl_err await(pl_call *c, size_t low) {
  c->flow.low = low;
  c->credit_due = true;
  if (c->gap_waits) pl_call_progress(c);
  c->service->loop->metrics.credit_waits++;
  return PL_BUSY;
}

// Before the first item is sent it is the handler who is not ready yet; from then on each that
// waits costs more than to wait with it.
pl_err pl_call_send(pl_call *c, const pl_parts *item) {
  bool waits;
  pl_err err = take(c, item, &waits);
  if (err != PL_OK || !waits) return err;
  bool flows = c->channel != NULL && c->flow.sent_items > 0;
  if (c->timing_out || flows) return await(c, 0);
  return pl_call_unsent(c) > PL_SEND_HIGH ? await(c, PL_SEND_LOW) : PL_OK;
}

pl_err pl_call_post(pl_call *c, const pl_parts *item) {
  bool waits;
  pl_err err = take(c, item, &waits);
  if (err != PL_OK || !waits) return err;
  return c->timing_out || pl_call_unsent(c) > PL_SEND_HIGH ? await(c, PL_SEND_LOW) : PL_OK;
}

void pl_call_finish(pl_call *c) {
  if (!pl_call_takes_items(c)) return;
  c->finished = true;
  if (c->channel != NULL) pl_flow_end(&c->flow);
}
