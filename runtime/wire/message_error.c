#include <string.h>

#include "base/limits.h"
#include "wire/fields.h"
#include "wire/message.h"

// A failure with its numbers as wide as on the wire.
typedef struct wire_error {
  int64_t code;
  uint64_t outcome;
  pl_bytes message;
  pl_bytes name;
  pl_bytes action;
  pl_id node;
  pl_bytes traceback;
  pl_bytes cause;
  pl_bytes details;
  uint32_t retry_after_ms;
} wire_error;

static const pl_wire_field error_fields[] = {
    PL_WIRE_FIELD(1, wire_error, code, I64),
    PL_WIRE_FIELD(2, wire_error, outcome, U64),
    PL_WIRE_FIELD(3, wire_error, message, PROSE),
    PL_WIRE_FIELD(4, wire_error, name, NAME),
    PL_WIRE_FIELD(5, wire_error, action, NAME),
    PL_WIRE_FIELD(6, wire_error, node, ID),
    PL_WIRE_FIELD(7, wire_error, traceback, PROSE),
    PL_WIRE_FIELD(8, wire_error, cause, RAW),
    PL_WIRE_FIELD(9, wire_error, details, RAW),
    PL_WIRE_FIELD(10, wire_error, retry_after_ms, U32),
};
static const pl_wire_map error_map = {
    .fields = error_fields,
    .count = sizeof error_fields / sizeof *error_fields,
    .required = PL_WIRE_KEY(1),
    .size = sizeof(wire_error),
};

// Cuts between characters, so that UTF-8 stays UTF-8.
static pl_bytes cut(pl_bytes text, size_t max) {
  if (text.len <= max) return text;
  size_t len = max;
  while (len > max - 4 && (text.data[len] & 0xc0) == 0x80)
    len--;
  return pl_bytes_of(text.data, len);
}

// What the encoding takes at most.
static size_t bound(const wire_error *e) {
  size_t heads = PL_MP_TOKEN_MAX + 10 * (1 + PL_MP_TOKEN_MAX) + sizeof(pl_id);
  return heads + e->message.len + e->name.len + e->action.len + e->traceback.len + e->cause.len +
         e->details.len;
}

pl_err pl_msg_error_encode(pl_buf *out, const pl_failure *f) {
  wire_error e = {
      .code = f->code,
      .outcome = f->outcome,
      .message = cut(f->message, PL_ERROR_TEXT_MAX),
      .name = cut(f->name, PL_NAME_MAX),
      .action = cut(f->action, PL_NAME_MAX),
      .node = f->node,
      .traceback = cut(f->traceback, PL_TRACEBACK_MAX),
      .cause = f->cause,
      .details = f->details,
      .retry_after_ms = f->retry_after_ms,
  };
  pl_bytes *expendable[] = {&e.traceback, &e.details, &e.cause};
  for (size_t i = 0; i < 3 && bound(&e) > PL_FRAGMENT_MAX; i++)
    *expendable[i] = (pl_bytes){0};
  return pl_wire_encode(out, &error_map, &e);
}

pl_err pl_msg_error_decode(pl_failure *out, pl_bytes src) {
  wire_error e;
  pl_err err = pl_wire_decode(&e, &error_map, src);
  if (err != PL_OK) return err;
  if (e.code >= 0 || e.code < INT32_MIN) return PL_PROTOCOL;
  *out = (pl_failure){
      .code = (pl_err)e.code,
      .outcome = e.outcome <= PL_EXECUTED ? (pl_outcome)e.outcome : PL_UNKNOWN,
      .message = e.message,
      .name = e.name,
      .action = e.action,
      .node = e.node,
      .traceback = e.traceback,
      .cause = e.cause,
      .details = e.details,
      .retry_after_ms = e.retry_after_ms,
  };
  return PL_OK;
}
