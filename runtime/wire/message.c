#include "wire/message.h"

#include "wire/fields.h"

static const pl_wire_field hello_fields[] = {
    PL_WIRE_REQUIRED(1, pl_msg_hello, id, ID),
    PL_WIRE_REQUIRED(2, pl_msg_hello, epoch, U64),
    PL_WIRE_FIELD(3, pl_msg_hello, name, NAME),
    PL_WIRE_FIELD(4, pl_msg_hello, role, U64),
    PL_WIRE_REQUIRED(5, pl_msg_hello, nonce, ID),
    PL_WIRE_FIELD(6, pl_msg_hello, methods, TEXTS),
    PL_WIRE_FIELD(7, pl_msg_hello, addresses, TEXTS),
    PL_WIRE_FIELD(8, pl_msg_hello, features, U64),
    PL_WIRE_FIELD(9, pl_msg_hello, body_window, U64),
    PL_WIRE_FIELD(10, pl_msg_hello, message_max, U64),
    PL_WIRE_FIELD(11, pl_msg_hello, heartbeat_ms, U64),
    PL_WIRE_FIELD(12, pl_msg_hello, payload, RAW),
    PL_WIRE_FIELD(13, pl_msg_hello, resume, RAW),
    PL_WIRE_FIELD(14, pl_msg_hello, version, NAME),
    PL_WIRE_FIELD(15, pl_msg_hello, compressions, ARRAY),
    PL_WIRE_FIELD(16, pl_msg_hello, mesh, NAME),
    PL_WIRE_FIELD(17, pl_msg_hello, draining, FLAG),
};
static const pl_wire_map hello_map = PL_WIRE_MAP_OF(hello_fields);

pl_err pl_msg_hello_encode(pl_buf *out, const pl_msg_hello *m) {
  return pl_wire_encode(out, &hello_map, m);
}

pl_err pl_msg_hello_decode(pl_msg_hello *out, pl_bytes src) {
  pl_msg_hello m = {0};
  pl_err err = pl_wire_decode(&m, &hello_map, src);
  if (err == PL_OK) *out = m;
  return err;
}

static const pl_wire_field goodbye_fields[] = {
    PL_WIRE_REQUIRED(1, pl_msg_goodbye, code, I64),
    PL_WIRE_FIELD(2, pl_msg_goodbye, reason, PROSE),
    PL_WIRE_FIELD(3, pl_msg_goodbye, allow_reconnect, UNFLAG),
    PL_WIRE_FIELD(4, pl_msg_goodbye, retry_after_ms, U64),
};
static const pl_wire_map goodbye_map = PL_WIRE_MAP_OF(goodbye_fields);

pl_err pl_msg_goodbye_encode(pl_buf *out, const pl_msg_goodbye *m) {
  return pl_wire_encode(out, &goodbye_map, m);
}

pl_err pl_msg_goodbye_decode(pl_msg_goodbye *out, pl_bytes src) {
  pl_msg_goodbye m = {.allow_reconnect = true};
  pl_err err = pl_wire_decode(&m, &goodbye_map, src);
  if (err == PL_OK) *out = m;
  return err;
}

static const pl_wire_field credit_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_credit, items, U64),
    PL_WIRE_FIELD(2, pl_msg_credit, bytes, U64),
};
static const pl_wire_map credit_map = PL_WIRE_MAP_OF(credit_fields);

pl_err pl_msg_credit_encode(pl_buf *out, const pl_msg_credit *m) {
  return pl_wire_encode(out, &credit_map, m);
}

pl_err pl_msg_credit_decode(pl_msg_credit *out, pl_bytes src) {
  pl_msg_credit m = {0};
  pl_err err = pl_wire_decode(&m, &credit_map, src);
  if (err == PL_OK) *out = m;
  return err;
}

static const pl_wire_field cancel_fields[] = {
    PL_WIRE_REQUIRED(1, pl_msg_cancel, call_id, U64),
    PL_WIRE_FIELD(2, pl_msg_cancel, code, I64),
    PL_WIRE_FIELD(3, pl_msg_cancel, reason, PROSE),
};
static const pl_wire_map cancel_map = PL_WIRE_MAP_OF(cancel_fields);

pl_err pl_msg_cancel_encode(pl_buf *out, const pl_msg_cancel *m) {
  return pl_wire_encode(out, &cancel_map, m);
}

pl_err pl_msg_cancel_decode(pl_msg_cancel *out, pl_bytes src) {
  pl_msg_cancel m = {0};
  pl_err err = pl_wire_decode(&m, &cancel_map, src);
  if (err == PL_OK) *out = m;
  return err;
}

static const pl_wire_field path_lost_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_path_lost, node, ID),
};
static const pl_wire_map path_lost_map = PL_WIRE_MAP_OF(path_lost_fields);

pl_err pl_msg_path_lost_encode(pl_buf *out, const pl_msg_path_lost *m) {
  return pl_wire_encode(out, &path_lost_map, m);
}

pl_err pl_msg_path_lost_decode(pl_msg_path_lost *out, pl_bytes src) {
  pl_msg_path_lost m = {0};
  pl_err err = pl_wire_decode(&m, &path_lost_map, src);
  if (err == PL_OK) *out = m;
  return err;
}
