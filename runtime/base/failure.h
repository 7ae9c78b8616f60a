// An error as it travels: from a handler over the wire to its caller, and to Lua.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"

// All views may be empty. They are borrowed unless pl_failure_keep made the copy.
typedef struct pl_failure {
  pl_err code;
  pl_outcome outcome;
  pl_bytes name;       // of a script's own code ("OUT_OF_STOCK"); empty: pl_err_name(code)
  pl_bytes message;    // empty: pl_err_text(code)
  pl_bytes action;     // that was called
  pl_bytes traceback;  // lines
  pl_bytes cause;      // the original error: one MessagePack value
  pl_bytes details;    // one MessagePack value
  pl_id node;          // where it arose; zero when unknown
  pl_id trace_id;      // of the call; zero when unknown. Does not travel: both ends know it
  uint32_t retry_after_ms;
} pl_failure;

// A failure with a literal or longer-lived message; NULL for the text of the code.
pl_failure pl_failure_of(pl_err code, pl_outcome outcome, const char *message);

// A copy that owns its bytes; what memory does not suffice for is left empty.
pl_failure pl_failure_keep(const pl_failure *f);
void pl_failure_drop(pl_failure *f);
