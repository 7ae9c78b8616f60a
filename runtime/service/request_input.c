// The caller's stream to a handler, at the callee. The caller may not send before the handler asks
// for input, and then a window of it: who never reads holds nothing.

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/request_impl.h"

// Credit.

static void send_credit(pl_request *r, uint64_t items, uint64_t bytes) {
  if (r->channel == NULL) return;
  pl_buf *out = &r->channel->lanes.scratch;
  pl_buf_clear(out);
  pl_msg_credit m = {.items = items, .bytes = bytes};
  if (pl_msg_credit_encode(out, &m) != PL_OK) return;
  pl_flow_control(&r->flow, PL_FRAME_CREDIT, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

static void run_grant(pl_work *w) {
  pl_request *r = pl_container(w, pl_request, granting);
  bool comes = r->state == PL_REQUEST_ARRIVING || (r->input == PL_INPUT_OPEN && r->reading);
  if (!comes) return;
  uint64_t items, bytes;
  uint64_t now = pl_now_us(r->service->loop);
  if (pl_intake_grant(&r->intake, now, &items, &bytes)) send_credit(r, items, bytes);
}

void pl_request_grant_soon(pl_request *r) {
  pl_loop *loop = r->service->loop;
  if (pl_intake_may_grant(&r->intake, pl_now_us(loop)))
    pl_loop_defer(loop, &r->granting, run_grant);
}

static void begin_reading(pl_request *r) {
  if (r->reading) return;
  r->reading = true;
  pl_request_unwatch(r);  // the deadline bounds its start
  if (r->input != PL_INPUT_OPEN) return;
  pl_service *sv = r->service;
  uint64_t items, bytes;
  pl_intake_begin(&r->intake, &sv->windows, pl_now_us(sv->loop), &items, &bytes);
  send_credit(r, items, bytes);
}

// Frames.

static void settle_slab(pl_work *w) {
  pl_request *r = pl_container(w, pl_request, tidy);
  if (!pl_intake_settle(&r->intake) && r->channel != NULL) {
    pl_session_abort(r->channel->session, PL_NO_MEMORY, "no memory for stream items");
  }
}

static void tell_handler(pl_request *r) {
  if (!r->expecting) return;
  r->expecting = false;
  r->handler->ops->on_items(r);
}

static pl_err take_end(pl_request *r, const pl_frame *f) {
  if (f->body.len > 0 || (f->flags & PL_FLAG_MORE) || r->intake.partial_type != 0)
    return PL_PROTOCOL;
  r->input = PL_INPUT_ENDED;
  pl_intake_ended(&r->intake);
  tell_handler(r);
  return PL_OK;
}

static pl_err take_data(pl_request *r, const pl_frame *f) {
  pl_intake_event event;
  uint8_t type;
  pl_bytes body;
  uint64_t now = pl_now_us(r->service->loop);
  pl_err err = pl_intake_frame(&r->intake, f, 0, r->expecting, now, &event, &type, &body);
  if (err == PL_TOO_LARGE) {
    pl_request_break(r, err, "a chunk is larger than max_message");
    return PL_OK;
  }
  if (err != PL_OK) return err;
  if (event == PL_INTAKE_NOTHING) {
    pl_request_grant_soon(r);
    return PL_OK;
  }
  pl_loop *loop = r->service->loop;
  loop->metrics.chunks_received += f->aux;
  if (r->action != NULL) r->action->meter->items_received += f->aux;
  if (r->intake.borrows) pl_loop_flush_later(loop, &r->tidy, settle_slab);
  tell_handler(r);
  return PL_OK;
}

pl_err pl_request_take_input(pl_request *r, const pl_frame *f) {
  if (r->state == PL_REQUEST_SENDING || r->input == PL_INPUT_STOPPED) {
    r->service->loop->metrics.frames_stale++;  // the caller does not know yet
    return PL_OK;
  }
  if (r->input != PL_INPUT_OPEN) return PL_PROTOCOL;
  return f->type == PL_FRAME_END ? take_end(r, f) : take_data(r, f);
}

void pl_request_drop_input(pl_request *r) {
  if (r->input == PL_INPUT_NONE || r->input == PL_INPUT_STOPPED) return;
  bool told = r->input == PL_INPUT_ENDED || r->given_up || r->channel == NULL;
  r->input = PL_INPUT_STOPPED;
  pl_work_cancel(&r->tidy);
  pl_work_cancel(&r->granting);
  pl_intake_fini(&r->intake);
  pl_intake_init(&r->intake, NULL, NULL, 0, 0, 0, 0);
  if (!told) pl_flow_control(&r->flow, PL_FRAME_STOP, (pl_bytes){0});
}

// For the handler.

bool pl_request_has_input(const pl_request *r) {
  return r->input != PL_INPUT_NONE;
}

int pl_request_next(pl_request *r, pl_bytes *item) {
  assert(r->state == PL_REQUEST_RUNNING);
  if (r->cancelled) return 0;
  if (r->input == PL_INPUT_NONE || r->input == PL_INPUT_STOPPED) return -1;
  begin_reading(r);
  if (!pl_intake_next(&r->intake, item)) return r->input == PL_INPUT_ENDED ? -1 : 0;
  if (r->input != PL_INPUT_OPEN) return 1;
  if (pl_intake_is_low(&r->intake)) pl_request_grant_soon(r);
  return 1;
}

void pl_request_expect(pl_request *r) {
  assert(r->state == PL_REQUEST_RUNNING);
  if (r->input != PL_INPUT_OPEN) return;
  r->expecting = true;
  pl_request_grant_soon(r);
}

void pl_request_stop_input(pl_request *r) {
  assert(r->state == PL_REQUEST_RUNNING);
  pl_request_drop_input(r);
}
