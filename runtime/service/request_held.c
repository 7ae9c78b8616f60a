// What a request holds for its caller, and ending it for that.

#include "service/admission.h"

void pl_request_hold_args(pl_request *r) {
  if (r->held > 0) return;
  r->held = r->args.len + sizeof *r;
  r->service->memory.held += r->held;
}

void pl_request_drop_args(pl_request *r) {
  pl_bytes_drop(&r->args);
  r->service->memory.held -= r->held;
  r->held = 0;
}

static void forget_args(pl_request *r) {
  if (!r->shared) pl_request_drop_args(r);  // others are compared with them
}

void pl_request_begun(pl_request *r) {
  forget_args(r);
  if (r->pledge_ns > 0) pl_admission_begun(r);
}

size_t pl_request_held(const pl_request *r) {
  size_t pieces = r->has_intake ? r->intake.counted : 0;
  return r->held + pieces + (r->channel != NULL ? r->flow.queued : 0);
}

void pl_request_drop(pl_request *r, const pl_failure *why) {
  r->given_up = true;
  forget_args(r);
  if (r->channel != NULL) pl_flow_fini(&r->flow);
  if (r->state == PL_REQUEST_SENDING) {
    pl_request_answer(r, NULL, why);
  } else {
    pl_request_cancel(r, why);
  }
}

// What has not begun is refused like new work.
void pl_request_sacrifice(pl_request *r, const pl_failure *why) {
  pl_failure f = *why;
  f.outcome = PL_EXECUTED;
  switch (r->state) {
    case PL_REQUEST_ARRIVING:
    case PL_REQUEST_WAITING:
      if (r->state == PL_REQUEST_WAITING) pl_admission_withdraw(r);
      pl_request_refuse(r, PL_BUSY, PL_MEMORY_TEXT, PL_MEMORY_RETRY_MS);
      return;
    case PL_REQUEST_JOINED: pl_request_cancel(r, &f); return;
    case PL_REQUEST_RUNNING:
    case PL_REQUEST_SENDING: pl_request_drop(r, &f); return;
  }
}
