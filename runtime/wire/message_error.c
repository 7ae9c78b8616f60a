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

// Blinding. A cause is an error as scripts have it: a map with text as keys. Anything else stays as
// it is.

typedef enum part { PART_KEPT, PART_CAUSE, PART_TRACEBACK } part;

static part part_of(const pl_mp_token *key) {
  static const char traceback[] = "traceback", cause[] = "cause";
  if (key->kind != PL_MP_STR && key->kind != PL_MP_BIN) return PART_KEPT;
  pl_bytes text = pl_bytes_of(key->data, key->len);
  if (text.len == sizeof traceback - 1 && memcmp(text.data, traceback, text.len) == 0)
    return PART_TRACEBACK;
  return text.len == sizeof cause - 1 && memcmp(text.data, cause, text.len) == 0 ? PART_CAUSE
                                                                                 : PART_KEPT;
}

static bool skip(pl_mp_reader *r) {
  return pl_mp_skip(r, PL_DEPTH_MAX) == PL_OK;
}

// A key, which may be any value.
static bool read_key(pl_mp_reader *r, part *out) {
  pl_mp_reader key = *r;
  pl_mp_token t;
  if (pl_mp_read(&key, &t) != PL_OK) return false;
  *out = part_of(&t);
  return skip(r);
}

static bool count_kept(pl_mp_reader r, uint32_t pairs, uint32_t *kept) {
  part key;
  *kept = 0;
  for (; pairs > 0; pairs--) {
    if (!read_key(&r, &key) || !skip(&r)) return false;
    *kept += key != PART_TRACEBACK;
  }
  return true;
}

static bool copy(pl_buf *out, const uint8_t *from, const pl_mp_reader *to) {
  return pl_buf_append(out, from, (size_t)(to->at - from));
}

static bool copy_head(pl_buf *out, uint32_t pairs) {
  uint8_t head[PL_MP_TOKEN_MAX];
  return pl_buf_append(out, head, (size_t)(pl_mp_put_map(head, pairs) - head));
}

static bool copy_blind(pl_buf *out, pl_mp_reader *r, unsigned depth) {
  const uint8_t *start = r->at;
  pl_mp_token map;
  uint32_t kept;
  if (pl_mp_read(r, &map) != PL_OK) return false;
  if (map.kind != PL_MP_MAP || depth == 0) {
    r->at = start;
    return skip(r) && copy(out, start, r);
  }
  if (!count_kept(*r, map.len, &kept) || !copy_head(out, kept)) return false;
  for (uint32_t pairs = map.len; pairs > 0; pairs--) {
    const uint8_t *pair = r->at;
    part key;
    if (!read_key(r, &key)) return false;
    if (key == PART_CAUSE) {
      if (!copy(out, pair, r) || !copy_blind(out, r, depth - 1)) return false;
    } else if (!skip(r) || (key == PART_KEPT && !copy(out, pair, r))) {
      return false;
    }
  }
  return true;
}

void pl_msg_error_blind(pl_failure *f, pl_buf *room) {
  f->traceback = (pl_bytes){0};
  if (f->cause.len == 0) return;
  pl_mp_reader r = {f->cause.data, f->cause.data + f->cause.len};
  bool whole = copy_blind(room, &r, PL_DEPTH_MAX);
  f->cause = whole ? pl_bytes_of(pl_buf_data(room), pl_buf_len(room)) : (pl_bytes){0};
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
