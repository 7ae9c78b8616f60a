// Where a call stands among the calls that led to it, as in W3C Trace Context: a trace is all that
// one first call caused, a span is one call in it.
//
// Nothing is drawn or sent for it: a first call's trace and every call's span follow from the id of
// the node that calls and the id of the call, which both ends know (docs/protocol.md, 5.10). Only a
// call that is made within another carries the trace of that one.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/id.h"

// Flags (docs/protocol.md, 5.10).
enum {
  PL_TRACE_SAMPLED = 0x01,  // the nodes it comes to remember what they see of it
  PL_TRACE_QUIET = 0x80,    // it is the doing of a monitor, which others are not told of
};

// In this order also on the wire.
typedef struct pl_trace {
  pl_id id;
  uint8_t span[8];  // zeros in the trace that a first call is given: of no call
  uint8_t flags;
} pl_trace;
enum { PL_TRACE_BYTES = 25 };
_Static_assert(sizeof(pl_trace) == PL_TRACE_BYTES, "a trace is its bytes on the wire");

// The trace that the call `call_id` of `source` begins. With `outer`, the trace of the call in
// which it was made, it goes on instead, with the span of this call.
void pl_trace_of(pl_trace *out, const pl_id *source, uint64_t call_id, const pl_trace *outer);

// Reads a `traceparent` as of W3C Trace Context; of its flags only PL_TRACE_SAMPLED counts. False
// when it is none: who gets one from elsewhere has to go on without.
bool pl_trace_parse(pl_trace *out, const char *text, size_t len);

// A span as 16 lower-case hexadecimal digits: what a call is called in events and traces.
enum { PL_SPAN_HEX = 17 };  // with the terminating NUL
void pl_span_format(const uint8_t span[8], char out[PL_SPAN_HEX]);
// False when `text` is not exactly that.
bool pl_span_parse(uint8_t out[8], const char *text, size_t len);
