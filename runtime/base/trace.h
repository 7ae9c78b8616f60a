// Where a call stands among the calls that led to it, as in W3C Trace Context: a trace is all that
// one first call caused, a span is one call in it.
//
// Nothing is drawn or sent for it: a first call's trace and every call's span follow from the id of
// the node that calls and the id of the call, which both ends know (docs/protocol.md, 5.10). Only a
// call that is made within another carries the trace of that one.
#pragma once

#include "base/id.h"

// In this order also on the wire.
typedef struct pl_trace {
  pl_id id;
  uint8_t span[8];
  uint8_t flags;
} pl_trace;
enum { PL_TRACE_BYTES = 25 };
_Static_assert(sizeof(pl_trace) == PL_TRACE_BYTES, "a trace is its bytes on the wire");

// The trace that the call `call_id` of `source` begins. With `outer`, the trace of the call in
// which it was made, it goes on instead, with the span of this call.
void pl_trace_of(pl_trace *out, const pl_id *source, uint64_t call_id, const pl_trace *outer);
