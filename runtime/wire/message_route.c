#include <string.h>

#include "base/limits.h"
#include "wire/fields.h"
#include "wire/message.h"

static const pl_wire_field route_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_route, digest, ARRAY), PL_WIRE_FIELD(2, pl_msg_route, last, FLAG),
    PL_WIRE_FIELD(3, pl_msg_route, answer, FLAG),  PL_WIRE_FIELD(4, pl_msg_route, pull, ARRAY),
    PL_WIRE_FIELD(5, pl_msg_route, hash, U64),     PL_WIRE_FIELD(6, pl_msg_route, synced, FLAG),
    PL_WIRE_FIELD(7, pl_msg_route, after, ID),     PL_WIRE_FIELD(8, pl_msg_route, rival, ID),
    PL_WIRE_FIELD(9, pl_msg_route, epoch, U64),    PL_WIRE_FIELD(10, pl_msg_route, boot, U64),
    PL_WIRE_FIELD(11, pl_msg_route, over, U64),
};
static const pl_wire_map route_map = {
    .fields = route_fields,
    .count = sizeof route_fields / sizeof *route_fields,
    .size = sizeof(pl_msg_route),
};

enum { ENTRY_PARTS = 3 };

pl_err pl_msg_route_encode(pl_buf *out, const pl_msg_route *m) {
  return pl_wire_encode(out, &route_map, m);
}

pl_err pl_msg_route_entry_encode(pl_buf *entries, const pl_msg_route_entry *e) {
  uint8_t *start = pl_buf_reserve(entries, PL_MSG_ROUTE_ENTRY_MAX);
  if (start == NULL) return PL_NO_MEMORY;
  uint8_t *p = pl_mp_put_array(start, ENTRY_PARTS);
  p = pl_mp_put_bin(p, e->id.bytes, sizeof e->id.bytes);
  p = pl_mp_put_uint(p, e->epoch);
  p = pl_mp_put_uint(p, e->version);
  pl_buf_commit(entries, (size_t)(p - start));
  return PL_OK;
}

pl_err pl_msg_route_id_encode(pl_buf *ids, const pl_id *id) {
  uint8_t *start = pl_buf_reserve(ids, PL_MSG_ROUTE_ENTRY_MAX);
  if (start == NULL) return PL_NO_MEMORY;
  uint8_t *p = pl_mp_put_bin(start, id->bytes, sizeof id->bytes);
  pl_buf_commit(ids, (size_t)(p - start));
  return PL_OK;
}

pl_err pl_msg_route_wrap(pl_buf *out, pl_bytes entries, uint32_t count) {
  return pl_msg_advert_items_wrap(out, entries, count);
}

static bool read_id(pl_id *out, pl_mp_reader *r) {
  pl_mp_token t;
  if (pl_mp_read(r, &t) != PL_OK || t.kind != PL_MP_BIN || t.len != sizeof out->bytes) return false;
  memcpy(out->bytes, t.data, sizeof out->bytes);
  return !pl_id_is_zero(out);
}

static bool read_uint(uint64_t *out, pl_mp_reader *r) {
  pl_mp_token t;
  if (pl_mp_read(r, &t) != PL_OK) return false;
  bool fits = t.kind == PL_MP_UINT || (t.kind == PL_MP_INT && t.v.integer >= 0);
  if (fits) *out = t.kind == PL_MP_UINT ? t.v.natural : (uint64_t)t.v.integer;
  return fits;
}

// [id, epoch, version, parts of a later version...]
static bool read_entry(pl_msg_route_entry *out, pl_mp_reader *r) {
  pl_mp_token t;
  if (pl_mp_read(r, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len < ENTRY_PARTS) return false;
  if (!read_id(&out->id, r) || !read_uint(&out->epoch, r) || !read_uint(&out->version, r))
    return false;
  for (uint32_t more = t.len - ENTRY_PARTS; more > 0; more--) {
    if (pl_mp_skip(r, PL_DEPTH_MAX) != PL_OK) return false;
  }
  return true;
}

// At the next element of a raw array: 1, or 0 at its end.
static int enter(pl_bytes array, size_t at, pl_mp_reader *r) {
  pl_mp_token t;
  if (at == array.len) return 0;
  *r = (pl_mp_reader){.at = array.data + at, .end = array.data + array.len};
  if (at > 0) return 1;
  return pl_mp_read(r, &t) == PL_OK && t.kind == PL_MP_ARRAY && t.len > 0 ? 1 : 0;
}

int pl_msg_route_next_entry(pl_bytes digest, size_t *at, pl_msg_route_entry *out) {
  pl_mp_reader r;
  if (enter(digest, *at, &r) == 0) return 0;
  if (!read_entry(out, &r)) return PL_PROTOCOL;
  *at = (size_t)(r.at - digest.data);
  return 1;
}

int pl_msg_route_next_id(pl_bytes pull, size_t *at, pl_id *out) {
  pl_mp_reader r;
  if (enter(pull, *at, &r) == 0) return 0;
  if (!read_id(out, &r)) return PL_PROTOCOL;
  *at = (size_t)(r.at - pull.data);
  return 1;
}

// Ids ascend, so that both ends walk their lists once.
static bool digest_is_good(const pl_msg_route *m) {
  pl_msg_route_entry e, before = {.id = m->after};
  size_t at = 0;
  int got;
  while ((got = pl_msg_route_next_entry(m->digest, &at, &e)) > 0) {
    if (pl_id_compare(&e.id, &before.id) <= 0) return false;
    before = e;
  }
  return got == 0;
}

pl_err pl_msg_route_decode(pl_msg_route *out, pl_bytes src) {
  pl_msg_route m;
  pl_err err = pl_wire_decode(&m, &route_map, src);
  if (err != PL_OK) return err;
  if (!digest_is_good(&m)) return PL_PROTOCOL;
  pl_id id;
  size_t at = 0;
  int got;
  while ((got = pl_msg_route_next_id(m.pull, &at, &id)) > 0) {
  }
  if (got < 0) return PL_PROTOCOL;
  *out = m;
  return PL_OK;
}
