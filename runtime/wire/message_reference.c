#include "wire/fields.h"
#include "wire/message.h"

static const pl_wire_field reference_fields[] = {
    PL_WIRE_FIELD(1, pl_reference, node, ID),   PL_WIRE_FIELD(2, pl_reference, token, ID),
    PL_WIRE_FIELD(3, pl_reference, codec, U64), PL_WIRE_FIELD(4, pl_reference, idle_ms, U64),
    PL_WIRE_FIELD(5, pl_reference, via, ID),
};
static const pl_wire_map reference_map = {
    .fields = reference_fields,
    .count = sizeof reference_fields / sizeof *reference_fields,
    .required = PL_WIRE_KEY(1) | PL_WIRE_KEY(2),
    .size = sizeof(pl_reference),
};

pl_err pl_msg_reference_encode(pl_buf *out, const pl_reference *m) {
  return pl_wire_encode(out, &reference_map, m);
}

pl_err pl_msg_reference_decode(pl_reference *out, pl_bytes src) {
  return pl_wire_decode(out, &reference_map, src);
}
