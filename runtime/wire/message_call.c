#include <string.h>

#include "wire/fields.h"
#include "wire/message.h"
#include "wire/utf8.h"

static const pl_wire_field call_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_call, call_id, U64),
    PL_WIRE_FIELD(2, pl_msg_call, action, NAME),
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
    [13] = {.kind = PL_WIRE_BIN, .len = PL_TRACE_BYTES, .at = offsetof(pl_msg_call, trace)},
    PL_WIRE_FIELD(14, pl_msg_call, meta, MAP),
    PL_WIRE_FIELD(15, pl_msg_call, identity, RAW),
    PL_WIRE_FIELD(16, pl_msg_call, ancestors, UINTS),
    PL_WIRE_FIELD(17, pl_msg_call, codec, U64),
    PL_WIRE_FIELD(18, pl_msg_call, compression, U64),
    PL_WIRE_FIELD(19, pl_msg_call, body_len, U64),
    PL_WIRE_FIELD(20, pl_msg_call, idle_ms, U64),
    PL_WIRE_FIELD(21, pl_msg_call, input, FLAG),
    PL_WIRE_FIELD(22, pl_msg_call, exclude, ARRAY),
    [23] = {.kind = PL_WIRE_BIN, .len = 16, .at = offsetof(pl_msg_call, via)},
};
static const pl_wire_map call_map = {
    .fields = call_fields,
    .count = sizeof call_fields / sizeof *call_fields,
    .required = PL_WIRE_KEY(1) | PL_WIRE_KEY(2),
    .size = sizeof(pl_msg_call),
};

// Each takes one thing from between `p` and `end`, and returns where the next begins; NULL when it
// is anything else, or `p` is.

static inline const uint8_t *take_byte(const uint8_t *p, const uint8_t *end, uint8_t byte) {
  return p != NULL && p < end && *p == byte ? p + 1 : NULL;
}

static inline const uint8_t *take_uint(const uint8_t *p, const uint8_t *end, uint64_t *v) {
  if (p == NULL || p == end) return NULL;
  uint8_t tag = *p++;
  if (tag < 0x80) {
    *v = tag;
    return p;
  }
  if (tag < 0xcc || tag > 0xcf || end - p < 1 << (tag - 0xcc)) return NULL;
  switch (tag) {
    case 0xcc: *v = *p; return p + 1;
    case 0xcd: *v = pl_get_be16(p); return p + 2;
    case 0xce: *v = pl_get_be32(p); return p + 4;
    default: *v = pl_get_be64(p); return p + 8;
  }
}

static inline const uint8_t *take_name(const uint8_t *p, const uint8_t *end, pl_bytes *name) {
  if (p == NULL || p == end || *p < 0xa0 || *p > 0xbf) return NULL;
  size_t len = *p++ & 0x1f;
  *name = pl_bytes_of(p, len);
  return (size_t)(end - p) >= len && pl_is_ascii(p, len) ? p + len : NULL;
}

static inline const uint8_t *take_bin(const uint8_t *p, const uint8_t *end, uint8_t key,
                                      uint8_t len, pl_bytes *bin) {
  enum { HEAD = 3 };
  if (p == NULL || end - p < HEAD + len) return NULL;
  if (p[0] != key || p[1] != 0xc4 || p[2] != len) return NULL;
  *bin = pl_bytes_of(p + HEAD, len);
  return p + HEAD + len;
}

// What relays need: the caller, once there was one, the destination, and how far it may be.
typedef struct way {
  pl_bytes source, destination;
  uint64_t hops_left;
} way;

static inline bool has_key(const uint8_t *p, const uint8_t *end, unsigned pairs, uint8_t key) {
  return p != NULL && p < end && pairs > 0 && *p == key;
}

static const uint8_t *take_journey(const uint8_t *p, const uint8_t *end, way *w, unsigned *pairs) {
  enum { HEAD = 2 };  // of a bin, which belongs to a raw value
  if (has_key(p, end, *pairs, 7)) {
    p = take_bin(p, end, 7, sizeof(pl_id), &w->source);
    *pairs -= 1;
  }
  if (has_key(p, end, *pairs, 8)) {
    pl_bytes id = {0};
    p = take_bin(p, end, 8, sizeof(pl_id), &id);
    if (p != NULL) w->destination = pl_bytes_of(id.data - HEAD, id.len + HEAD);
    *pairs -= 1;
  }
  if (has_key(p, end, *pairs, 9)) {
    p = take_uint(p + 1, end, &w->hops_left);
    *pairs -= 1;
  }
  return p;
}

// A few marks, each in nine bytes, as those of the calls that lead to one are.
static const uint8_t *take_marks(const uint8_t *p, const uint8_t *end, pl_bytes *marks) {
  p = take_byte(p, end, 16);
  if (p == NULL || p == end || *p < 0x91 || *p > 0x9f) return NULL;
  size_t len = 1 + (*p & 0x0fU) * (size_t)9;
  if ((size_t)(end - p) < len) return NULL;
  for (size_t at = 1; at < len; at += 9) {
    if (p[at] != 0xcf) return NULL;
  }
  *marks = pl_bytes_of(p, len);
  return p + len;
}

// What nearly every call is: its id, its action and its timeout, its way when that is over relays,
// a trace and marks when it is made for another, and nothing else. 0 when it is anything but that,
// valid or not.
static ptrdiff_t decode_usual(pl_msg_call *out, pl_bytes src) {
  const uint8_t *p = src.data, *end = src.data + src.len;
  if (src.len == 0 || *p < 0x83 || *p > 0x88) return 0;
  unsigned pairs = (*p++ & 0x0fU) - 3;
  uint64_t call_id = 0, timeout_ms = 0;
  pl_bytes action = {0}, trace = {0}, marks = {0};
  way w = {0};
  p = take_uint(take_byte(p, end, 1), end, &call_id);
  p = take_name(take_byte(p, end, 2), end, &action);
  p = take_uint(take_byte(p, end, 3), end, &timeout_ms);
  if (pairs > 0) p = take_journey(p, end, &w, &pairs);
  if (pairs > 0) {
    p = take_bin(p, end, 13, PL_TRACE_BYTES, &trace);
    pairs--;
  }
  if (pairs == 1) {
    p = take_marks(p, end, &marks);
    pairs = 0;
  }
  if (p == NULL || pairs > 0) return 0;
  *out = (pl_msg_call){
      .call_id = call_id,
      .action = action,
      .timeout_ms = timeout_ms,
      .hops_left = w.hops_left,
  };
  if (w.source.len > 0) out->source = w.source;
  if (w.destination.len > 0) out->destination = w.destination;
  if (trace.len > 0) out->trace = trace;
  if (marks.len > 0) out->ancestors = marks;
  return p - src.data;
}

ptrdiff_t pl_msg_call_decode(pl_msg_call *out, pl_bytes src) {
  ptrdiff_t took = decode_usual(out, src);
  return took > 0 ? took : pl_wire_decode_prefix(out, &call_map, src);
}

// Encoding is written out, because every call passes here: the order of the fields and what is
// left out are those of the table.

// Most calls have none of a group of keys, so each is asked for as a whole first.

static uint64_t has_window(const pl_msg_call *m) {  // 4 to 6
  return m->stream | m->window_items | m->window_bytes;
}

static uint64_t has_origin(const pl_msg_call *m) {  // 10 to 16
  return m->priority | m->attempt | m->first_call_id | m->trace.len | m->meta.len |
         m->identity.len | m->ancestors.len;
}

static uint64_t has_form(const pl_msg_call *m) {  // 17 to 23
  return m->codec | m->compression | m->body_len | m->idle_ms | m->input | m->exclude.len |
         m->via.len;
}

static uint32_t window_pairs(const pl_msg_call *m) {
  return (uint32_t)m->stream + (m->window_items != 0) + (m->window_bytes != 0);
}

static uint32_t origin_pairs(const pl_msg_call *m) {
  return (uint32_t)(m->priority != 0) + (m->attempt != 0) + (m->first_call_id != 0) +
         (m->trace.len != 0) + (m->meta.len != 0) + (m->identity.len != 0) +
         (m->ancestors.len != 0);
}

static uint32_t form_pairs(const pl_msg_call *m) {
  return (uint32_t)(m->codec != 0) + (m->compression != 0) + (m->body_len != 0) +
         (m->idle_ms != 0) + m->input + (m->exclude.len != 0) + (m->via.len != 0);
}

static uint8_t *put_uint(uint8_t *p, uint8_t key, uint64_t v) {
  if (v == 0) return p;
  *p = key;
  return pl_mp_put_uint(p + 1, v);
}

static uint8_t *put_flag(uint8_t *p, uint8_t key, bool v) {
  p[0] = key;
  p[1] = 0xc3;
  return p + 2 * v;
}

// The length of an id is known here, so that it is copied without a call.
static uint8_t *put_id(uint8_t *p, uint8_t key, const uint8_t *id) {
  *p = key;
  return pl_mp_put_bin(p + 1, id, sizeof(pl_id));
}

static uint8_t *put_bin(uint8_t *p, uint8_t key, pl_bytes v) {
  if (v.len == 0) return p;
  if (v.len == sizeof(pl_id)) return put_id(p, key, v.data);
  *p = key;
  return pl_mp_put_bin(p + 1, v.data, (uint32_t)v.len);
}

static uint8_t *put_raw(uint8_t *p, uint8_t key, pl_bytes v) {
  if (v.len == 0) return p;
  *p = key;
  memcpy(p + 1, v.data, v.len);
  return p + 1 + v.len;
}

static uint8_t *put_window(uint8_t *p, const pl_msg_call *m) {
  p = put_flag(p, 4, m->stream);
  p = put_uint(p, 5, m->window_items);
  return put_uint(p, 6, m->window_bytes);
}

static uint8_t *put_origin(uint8_t *p, const pl_msg_call *m) {
  p = put_uint(p, 10, m->priority);
  p = put_uint(p, 11, m->attempt);
  p = put_uint(p, 12, m->first_call_id);
  p = put_bin(p, 13, m->trace);
  p = put_raw(p, 14, m->meta);
  p = put_raw(p, 15, m->identity);
  return put_raw(p, 16, m->ancestors);
}

static uint8_t *put_form(uint8_t *p, const pl_msg_call *m) {
  p = put_uint(p, 17, m->codec);
  p = put_uint(p, 18, m->compression);
  p = put_uint(p, 19, m->body_len);
  p = put_uint(p, 20, m->idle_ms);
  p = put_flag(p, 21, m->input);
  p = put_raw(p, 22, m->exclude);
  return put_bin(p, 23, m->via);
}

size_t pl_msg_call_room(const pl_msg_call *m) {
  enum { KEYS = 24 };
  return KEYS * (1 + PL_MP_TOKEN_MAX) + m->action.len + m->source.len + m->destination.len +
         m->trace.len + m->meta.len + m->identity.len + m->ancestors.len + m->exclude.len +
         m->via.len;
}

static inline uint8_t *put_start(uint8_t *p, uint32_t pairs, uint64_t call_id, pl_bytes action,
                                 uint64_t timeout_ms) {
  p = pl_mp_put_map(p, pairs);
  *p++ = 1;
  p = pl_mp_put_uint(p, call_id);
  *p++ = 2;
  p = pl_wire_put_text(p, action);
  return put_uint(p, 3, timeout_ms);
}

uint8_t *pl_msg_call_put_usual(uint8_t *p, const pl_msg_call_usual *m) {
  p = put_start(p, 2U + (m->timeout_ms != 0) + (m->to != NULL ? 2 : 0), m->call_id, m->action,
                m->timeout_ms);
  if (m->to == NULL) return p;
  p = put_id(p, 8, m->to->bytes);
  return put_uint(p, 9, PL_HOPS_MAX);
}

// One id, as nearly always, or whatever else it is.
static uint8_t *put_destination(uint8_t *p, pl_bytes v) {
  enum { LEN = PL_MSG_DESTINATION_ROOM };
  if (v.len != LEN) return put_raw(p, 8, v);
  *p = 8;
  memcpy(p + 1, v.data, LEN);
  return p + 1 + LEN;
}

uint8_t *pl_msg_call_put(uint8_t *p, const pl_msg_call *m) {
  bool window = has_window(m), origin = has_origin(m), form = has_form(m);
  uint32_t pairs = 2U + (m->timeout_ms != 0) + (m->source.len != 0) + (m->destination.len != 0) +
                   (m->hops_left != 0);
  if (window) pairs += window_pairs(m);
  if (origin) pairs += origin_pairs(m);
  if (form) pairs += form_pairs(m);
  p = put_start(p, pairs, m->call_id, m->action, m->timeout_ms);
  if (window) p = put_window(p, m);
  p = put_bin(p, 7, m->source);
  p = put_destination(p, m->destination);
  p = put_uint(p, 9, m->hops_left);
  if (origin) p = put_origin(p, m);
  return form ? put_form(p, m) : p;
}

// The marks behind the head of the array, and their number. A call without any has no array.
static pl_mp_reader open_marks(pl_bytes ancestors, uint32_t *count) {
  pl_mp_reader r = {NULL, NULL};
  pl_mp_token t;
  *count = 0;
  if (ancestors.len == 0) return r;
  r = (pl_mp_reader){ancestors.data, ancestors.data + ancestors.len};
  if (pl_mp_read(&r, &t) == PL_OK && t.kind == PL_MP_ARRAY) *count = t.len;
  return r;
}

uint32_t pl_msg_ancestors_count(pl_bytes ancestors) {
  uint32_t count;
  open_marks(ancestors, &count);
  return count;
}

uint8_t *pl_msg_ancestors_put(uint8_t *p, pl_bytes outer, uint64_t mark) {
  uint32_t count;
  pl_mp_reader r = open_marks(outer, &count);
  size_t len = (size_t)(r.end - r.at);
  p = pl_mp_put_array(p, count + 1);
  if (len > 0) memcpy(p, r.at, len);
  return pl_mp_put_uint(p + len, mark);
}

bool pl_msg_ancestors_next(pl_bytes ancestors, size_t *at, uint64_t *mark) {
  uint32_t count;
  pl_mp_reader r = open_marks(ancestors, &count);
  if (*at > 0) r.at = ancestors.data + *at;
  pl_mp_token t;
  if (r.at == r.end || pl_mp_read(&r, &t) != PL_OK) return false;
  *mark = t.kind == PL_MP_UINT ? t.v.natural : (uint64_t)t.v.integer;
  *at = (size_t)(r.at - ancestors.data);
  return true;
}

pl_err pl_msg_call_encode(pl_buf *out, const pl_msg_call *m) {
  uint8_t *start = pl_buf_reserve(out, pl_msg_call_room(m));
  if (start == NULL) return PL_NO_MEMORY;
  pl_buf_commit(out, (size_t)(pl_msg_call_put(start, m) - start));
  return PL_OK;
}

// Where to, and where not.

pl_bytes pl_msg_destination(uint8_t room[PL_MSG_DESTINATION_ROOM], const pl_id *id) {
  const uint8_t *end = pl_mp_put_bin(room, id->bytes, sizeof id->bytes);
  return pl_bytes_of(room, (size_t)(end - room));
}

uint8_t *pl_msg_exclude_put(uint8_t *p, const pl_id *ids, uint32_t count) {
  p = pl_mp_put_array(p, count);
  for (uint32_t i = 0; i < count; i++)
    p = pl_mp_put_bin(p, ids[i].bytes, sizeof ids[i].bytes);
  return p;
}

ptrdiff_t pl_msg_exclude_read(pl_id out[PL_EXCLUDE_MAX], pl_bytes raw) {
  if (raw.len == 0) return 0;
  pl_mp_reader r = {raw.data, raw.data + raw.len};
  pl_mp_token t;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len > PL_EXCLUDE_MAX)
    return PL_INVALID;
  uint32_t count = t.len;
  for (uint32_t i = 0; i < count; i++) {
    if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_BIN || t.len != sizeof out->bytes)
      return PL_INVALID;
    memcpy(out[i].bytes, t.data, sizeof out->bytes);
  }
  return r.at == r.end ? (ptrdiff_t)count : PL_INVALID;
}
