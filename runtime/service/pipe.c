#include "service/pipe.h"

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"

typedef struct joint {
  pl_call *call;
  pl_request *request;
  bool informed;     // what the handler says of its stream has passed, or there is nothing
  bool chunk_waits;  // for credit of who takes
  bool input_waits;  // for that of the handler
  bool input_ended;
} joint;

static void finish(joint *p, const pl_parts *result, const pl_failure *failure) {
  pl_request *r = p->request;
  pl_call *c = p->call;
  pl_free(p);
  pl_request_set_user(r, NULL);
  pl_request_end(r, result, failure);
  pl_call_free(c, PL_CANCELLED);
}

// A short item must not pin what was read with it.
static pl_parts item_of(pl_bytes item) {
  return pl_parts_of(item.len > PL_FRAGMENT_MAX ? item : pl_bytes_of(item.data, item.len));
}

// To whom takes.

static bool pass_info(joint *p) {
  pl_bytes info;
  int there = pl_call_info(p->call, &info);
  if (there == 0) return false;
  p->informed = true;
  if (there > 0) pl_request_tell_info(p->request, info);
  return true;
}

static void end(joint *p) {
  const pl_parts result = pl_parts_of(pl_call_result(p->call));
  const pl_failure *failure = pl_call_failure(p->call);
  finish(p, failure == NULL ? &result : NULL, failure);
}

static void refuse_large(joint *p, pl_err err) {
  const pl_failure f = pl_failure_of(err, PL_EXECUTED, "a chunk cannot be passed on");
  finish(p, NULL, &f);
}

static void pump_out(joint *p) {
  pl_bytes item;
  int more = 0;
  if (!p->informed && !pass_info(p)) return;
  while (!p->chunk_waits && (more = pl_call_next(p->call, &item)) == 1) {
    const pl_parts parts = item_of(item);
    pl_err err = pl_request_chunk(p->request, &parts);
    p->chunk_waits = err == PL_BUSY;
    if (err == PL_CLOSED) return;  // on_cancel follows
    if (err != PL_OK && err != PL_BUSY) {
      refuse_large(p, err);
      return;
    }
  }
  if (p->chunk_waits) return;
  if (more < 0) {
    end(p);
  } else {
    pl_call_expect(p->call);
  }
}

void pl_pipe_on_credit(pl_request *r) {
  joint *p = pl_request_user(r);
  if (p == NULL) return;
  p->chunk_waits = false;
  pump_out(p);
}

static void on_call_items(pl_call *c, void *user) {
  (void)c;
  joint *p = user;
  if (!p->chunk_waits) pump_out(p);
}

// To the handler.

static void end_input(joint *p, bool finished) {
  p->input_ended = true;
  if (finished) {
    pl_call_finish(p->call);
  } else {
    pl_request_stop_input(p->request);
  }
}

static void pump_in(joint *p) {
  pl_bytes item;
  int more = 0;
  if (p->input_ended || p->input_waits) return;
  if (!pl_call_takes_items(p->call)) {
    end_input(p, false);
    return;
  }
  while (!p->input_waits && (more = pl_request_next(p->request, &item)) == 1) {
    const pl_parts parts = item_of(item);
    pl_err err = pl_call_send(p->call, &parts);
    p->input_waits = err == PL_BUSY;
    if (err != PL_OK && err != PL_BUSY) {
      end_input(p, false);
      return;
    }
  }
  if (p->input_waits) return;
  if (more < 0) {
    end_input(p, true);
  } else {
    pl_request_expect(p->request);
  }
}

void pl_pipe_on_items(pl_request *r) {
  joint *p = pl_request_user(r);
  if (p != NULL) pump_in(p);
}

static void on_call_credit(pl_call *c, void *user) {
  (void)c;
  joint *p = user;
  p->input_waits = false;
  pump_in(p);
}

// The end.

static void on_call_end(pl_call *c, void *user) {
  (void)c;
  joint *p = user;
  if (!p->chunk_waits) pump_out(p);
}

void pl_pipe_on_cancel(pl_request *r, const pl_failure *why) {
  joint *p = pl_request_user(r);
  pl_call *c = p->call;
  pl_free(p);
  pl_request_set_user(r, NULL);
  pl_call_abort(c, why->code == PL_TIMEOUT ? PL_TIMEOUT : PL_CANCELLED, why->message);
  pl_request_end(r, NULL, why);
}

void pl_pipe_open(pl_request *r, pl_call *c) {
  static const pl_call_ops ops = {
      .on_items = on_call_items, .on_credit = on_call_credit, .on_end = on_call_end};
  joint *p = pl_new(joint);
  p->call = c;
  p->request = r;
  p->input_ended = !pl_request_has_input(r);
  pl_request_set_user(r, p);
  pl_call_hand_over(c, &ops, p);
  pump_in(p);
  pump_out(p);
}
