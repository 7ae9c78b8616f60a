#include <string.h>

#include "wire/fields.h"
#include "wire/message.h"

static const pl_wire_field call_fields[] = {
    PL_WIRE_REQUIRED(1, pl_msg_call, call_id, U64),
    PL_WIRE_REQUIRED(2, pl_msg_call, action, NAME),
    PL_WIRE_FIELD(3, pl_msg_call, timeout_ms, U64),
    PL_WIRE_FIELD(4, pl_msg_call, stream, FLAG),
    PL_WIRE_FIELD(5, pl_msg_call, window_items, U64),
    PL_WIRE_FIELD(6, pl_msg_call, window_bytes, U64),
    [7] = {.kind = PL_WIRE_BIN, .len = 16, .at = offsetof(pl_msg_call, source)},
    PL_WIRE_FIELD(8, pl_msg_call, destination, RAW),
    PL_WIRE_FIELD(9, pl_msg_call, hops_left, U64),
    PL_WIRE_FIELD(10, pl_msg_call, priority, U64),
    PL_WIRE_FIELD(11, pl_msg_call, attempt, U64),
    PL_WIRE_FIELD(12, pl_msg_call, first_call_id, U64),
    [13] = {.kind = PL_WIRE_BIN, .len = 25, .at = offsetof(pl_msg_call, trace)},
    PL_WIRE_FIELD(14, pl_msg_call, meta, MAP),
    PL_WIRE_FIELD(15, pl_msg_call, identity, RAW),
    PL_WIRE_FIELD(16, pl_msg_call, ancestors, ARRAY),
    PL_WIRE_FIELD(17, pl_msg_call, codec, U64),
    PL_WIRE_FIELD(18, pl_msg_call, compression, U64),
    PL_WIRE_FIELD(19, pl_msg_call, body_len, U64),
    PL_WIRE_FIELD(20, pl_msg_call, idle_ms, U64),
    PL_WIRE_FIELD(21, pl_msg_call, input, FLAG),
};
static const pl_wire_map call_map = PL_WIRE_MAP_OF(call_fields);

ptrdiff_t pl_msg_call_decode(pl_msg_call *out, pl_bytes src) {
  pl_msg_call m = {0};
  ptrdiff_t took = pl_wire_decode_prefix(&m, &call_map, src);
  if (took > 0) *out = m;
  return took;
}

pl_err pl_msg_call_encode(pl_buf *out, const pl_msg_call *m) {
  return pl_wire_encode(out, &call_map, m);
}
