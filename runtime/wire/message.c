#include "wire/message.h"

#include "wire/fields.h"

static const pl_wire_field hello_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_hello, id, ID),
    PL_WIRE_FIELD(2, pl_msg_hello, epoch, U64),
    PL_WIRE_FIELD(3, pl_msg_hello, name, NAME),
    PL_WIRE_FIELD(4, pl_msg_hello, role, U64),
    PL_WIRE_FIELD(5, pl_msg_hello, nonce, ID),
    PL_WIRE_FIELD(6, pl_msg_hello, methods, TEXTS),
    PL_WIRE_FIELD(7, pl_msg_hello, addresses, TEXTS),
    PL_WIRE_FIELD(8, pl_msg_hello, features, U64),
    PL_WIRE_FIELD(9, pl_msg_hello, body_window, U64),
    PL_WIRE_FIELD(10, pl_msg_hello, message_max, U64),
    PL_WIRE_FIELD(11, pl_msg_hello, heartbeat_ms, U64),
    PL_WIRE_FIELD(12, pl_msg_hello, payload, RAW),
    PL_WIRE_FIELD(13, pl_msg_hello, resume, ID),
    PL_WIRE_FIELD(14, pl_msg_hello, version, NAME),
    PL_WIRE_FIELD(15, pl_msg_hello, compressions, ARRAY),
    PL_WIRE_FIELD(16, pl_msg_hello, mesh, NAME),
    PL_WIRE_FIELD(17, pl_msg_hello, draining, FLAG),
};
static const pl_wire_map hello_map = {
    .fields = hello_fields,
    .count = sizeof hello_fields / sizeof *hello_fields,
    .required = PL_WIRE_KEY(1) | PL_WIRE_KEY(2) | PL_WIRE_KEY(5),
    .size = sizeof(pl_msg_hello),
};

pl_err pl_msg_hello_encode(pl_buf *out, const pl_msg_hello *m) {
  return pl_wire_encode(out, &hello_map, m);
}

pl_err pl_msg_hello_decode(pl_msg_hello *out, pl_bytes src) {
  return pl_wire_decode(out, &hello_map, src);
}

static const pl_wire_field ready_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_ready, secret, ID),
    [2] = {.kind = PL_WIRE_BIN, .len = 32, .at = offsetof(pl_msg_ready, seal)},
};
static const pl_wire_map ready_map = {
    .fields = ready_fields,
    .count = sizeof ready_fields / sizeof *ready_fields,
    .size = sizeof(pl_msg_ready),
};

pl_err pl_msg_ready_encode(pl_buf *out, const pl_msg_ready *m) {
  return pl_wire_encode(out, &ready_map, m);
}

pl_err pl_msg_ready_decode(pl_msg_ready *out, pl_bytes src) {
  return pl_wire_decode(out, &ready_map, src);
}

static const pl_wire_field resume_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_resume, session, ID),
    PL_WIRE_FIELD(2, pl_msg_resume, position, U64),
    [3] = {.kind = PL_WIRE_BIN, .len = 32, .at = offsetof(pl_msg_resume, proof)},
};
static const pl_wire_map resume_map = {
    .fields = resume_fields,
    .count = sizeof resume_fields / sizeof *resume_fields,
    .required = PL_WIRE_KEY(1) | PL_WIRE_KEY(3),
    .size = sizeof(pl_msg_resume),
};

pl_err pl_msg_resume_encode(pl_buf *out, const pl_msg_resume *m) {
  return pl_wire_encode(out, &resume_map, m);
}

pl_err pl_msg_resume_decode(pl_msg_resume *out, pl_bytes src) {
  return pl_wire_decode(out, &resume_map, src);
}

static const pl_wire_field goodbye_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_goodbye, code, I64),
    PL_WIRE_FIELD(2, pl_msg_goodbye, reason, PROSE),
    PL_WIRE_FIELD(3, pl_msg_goodbye, allow_reconnect, UNFLAG),
    PL_WIRE_FIELD(4, pl_msg_goodbye, retry_after_ms, U64),
    PL_WIRE_FIELD(5, pl_msg_goodbye, epoch, U64),
};
static const pl_msg_goodbye goodbye_defaults = {.allow_reconnect = true};
static const pl_wire_map goodbye_map = {
    .fields = goodbye_fields,
    .count = sizeof goodbye_fields / sizeof *goodbye_fields,
    .required = PL_WIRE_KEY(1),
    .size = sizeof(pl_msg_goodbye),
    .defaults = &goodbye_defaults,
};

pl_err pl_msg_goodbye_encode(pl_buf *out, const pl_msg_goodbye *m) {
  return pl_wire_encode(out, &goodbye_map, m);
}

pl_err pl_msg_goodbye_decode(pl_msg_goodbye *out, pl_bytes src) {
  return pl_wire_decode(out, &goodbye_map, src);
}

static const pl_wire_field retire_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_retire, unkept, FLAG),
};
static const pl_wire_map retire_map = {
    .fields = retire_fields,
    .count = sizeof retire_fields / sizeof *retire_fields,
    .size = sizeof(pl_msg_retire),
};

pl_err pl_msg_retire_encode(pl_buf *out, const pl_msg_retire *m) {
  return pl_wire_encode(out, &retire_map, m);
}

pl_err pl_msg_retire_decode(pl_msg_retire *out, pl_bytes src) {
  return pl_wire_decode(out, &retire_map, src);
}

static const pl_wire_field credit_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_credit, items, U64),
    PL_WIRE_FIELD(2, pl_msg_credit, bytes, U64),
};
static const pl_wire_map credit_map = {
    .fields = credit_fields,
    .count = sizeof credit_fields / sizeof *credit_fields,
    .size = sizeof(pl_msg_credit),
};

pl_err pl_msg_credit_encode(pl_buf *out, const pl_msg_credit *m) {
  return pl_wire_encode(out, &credit_map, m);
}

pl_err pl_msg_credit_decode(pl_msg_credit *out, pl_bytes src) {
  return pl_wire_decode(out, &credit_map, src);
}

static const pl_wire_field cancel_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_cancel, call_id, U64),
    PL_WIRE_FIELD(2, pl_msg_cancel, code, I64),
    PL_WIRE_FIELD(3, pl_msg_cancel, reason, PROSE),
};
static const pl_wire_map cancel_map = {
    .fields = cancel_fields,
    .count = sizeof cancel_fields / sizeof *cancel_fields,
    .required = PL_WIRE_KEY(1),
    .size = sizeof(pl_msg_cancel),
};

pl_err pl_msg_cancel_encode(pl_buf *out, const pl_msg_cancel *m) {
  return pl_wire_encode(out, &cancel_map, m);
}

pl_err pl_msg_cancel_decode(pl_msg_cancel *out, pl_bytes src) {
  return pl_wire_decode(out, &cancel_map, src);
}

static const pl_wire_field path_lost_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_path_lost, node, ID),
};
static const pl_wire_map path_lost_map = {
    .fields = path_lost_fields,
    .count = sizeof path_lost_fields / sizeof *path_lost_fields,
    .size = sizeof(pl_msg_path_lost),
};

pl_err pl_msg_path_lost_encode(pl_buf *out, const pl_msg_path_lost *m) {
  return pl_wire_encode(out, &path_lost_map, m);
}

pl_err pl_msg_path_lost_decode(pl_msg_path_lost *out, pl_bytes src) {
  return pl_wire_decode(out, &path_lost_map, src);
}
