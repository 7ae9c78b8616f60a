#include <string.h>

#include "base/limits.h"
#include "wire/fields.h"
#include "wire/message.h"

static const pl_wire_field advert_fields[] = {
    PL_WIRE_FIELD(1, pl_msg_advert, version, U64),
    PL_WIRE_FIELD(2, pl_msg_advert, snapshot, FLAG),
    PL_WIRE_FIELD(3, pl_msg_advert, complete, FLAG),
    PL_WIRE_FIELD(4, pl_msg_advert, items, ARRAY),
    PL_WIRE_FIELD(5, pl_msg_advert, origin, ID),
    PL_WIRE_FIELD(6, pl_msg_advert, epoch, U64),
    PL_WIRE_FIELD(7, pl_msg_advert, base, U64),
    PL_WIRE_FIELD(8, pl_msg_advert, gone, FLAG),
    PL_WIRE_FIELD(9, pl_msg_advert, boot, U64),
    PL_WIRE_FIELD(10, pl_msg_advert, over, U64),
};
static const pl_wire_map advert_map = {
    .fields = advert_fields,
    .count = sizeof advert_fields / sizeof *advert_fields,
    .required = PL_WIRE_KEY(1),
    .size = sizeof(pl_msg_advert),
};

enum { ITEM_PARTS = 3 };

pl_err pl_msg_advert_encode(pl_buf *out, const pl_msg_advert *m) {
  return pl_wire_encode(out, &advert_map, m);
}

pl_err pl_msg_advert_item_encode(pl_buf *items, const pl_msg_advert_item *item) {
  size_t room = item->kind.len + item->name.len + item->attributes.len + 3 * PL_MP_TOKEN_MAX;
  uint8_t *start = pl_buf_reserve(items, room);
  if (start == NULL) return PL_NO_MEMORY;

  uint8_t *p = pl_mp_put_array(start, ITEM_PARTS);
  p = pl_wire_put_text(p, item->kind);
  p = pl_wire_put_text(p, item->name);
  if (item->withdrawn) {
    p = pl_mp_put_nil(p);
  } else if (item->attributes.len == 0) {
    p = pl_mp_put_map(p, 0);
  } else {
    memcpy(p, item->attributes.data, item->attributes.len);
    p += item->attributes.len;
  }
  pl_buf_commit(items, (size_t)(p - start));
  return PL_OK;
}

pl_err pl_msg_advert_items_wrap(pl_buf *out, pl_bytes items, uint32_t count) {
  uint8_t *start = pl_buf_reserve(out, PL_MP_TOKEN_MAX + items.len);
  if (start == NULL) return PL_NO_MEMORY;
  uint8_t *p = pl_mp_put_array(start, count);
  if (items.len > 0) memcpy(p, items.data, items.len);
  pl_buf_commit(out, (size_t)(p - start) + items.len);
  return PL_OK;
}

static bool read_name(pl_bytes *out, pl_mp_reader *r) {
  pl_mp_token t;
  return pl_mp_read(r, &t) == PL_OK && pl_wire_get_text(out, &t, PL_NAME_MAX);
}

// A map, or nil for a withdrawn item.
static bool read_attributes(pl_msg_advert_item *item, pl_mp_reader *r) {
  pl_mp_token first;
  if (!pl_wire_get_raw(&item->attributes, &first, r)) return false;
  item->withdrawn = first.kind == PL_MP_NIL;
  if (item->withdrawn) item->attributes = (pl_bytes){0};
  return item->withdrawn || first.kind == PL_MP_MAP;
}

// [kind, name, attributes, parts of a later version...]
static bool read_item(pl_msg_advert_item *out, pl_mp_reader *r) {
  pl_msg_advert_item item = {0};
  pl_mp_token t;
  const uint8_t *start = r->at;
  if (pl_mp_read(r, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len < ITEM_PARTS) return false;
  if (!read_name(&item.kind, r) || !read_name(&item.name, r)) return false;
  if (!read_attributes(&item, r)) return false;
  for (uint32_t more = t.len - ITEM_PARTS; more > 0; more--) {
    if (pl_mp_skip(r, PL_DEPTH_MAX) != PL_OK) return false;
  }
  item.raw = pl_bytes_of(start, (size_t)(r->at - start));
  *out = item;
  return true;
}

int pl_msg_advert_next(const pl_msg_advert *m, size_t *at, pl_msg_advert_item *out) {
  if (*at == m->items.len) return 0;
  pl_mp_reader r = {.at = m->items.data + *at, .end = m->items.data + m->items.len};
  pl_mp_token t;
  if (*at == 0) {
    if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_ARRAY) return PL_PROTOCOL;
    if (t.len == 0) {
      *at = m->items.len;
      return 0;
    }
  }
  if (!read_item(out, &r)) return PL_PROTOCOL;
  *at = (size_t)(r.at - m->items.data);
  return 1;
}

pl_err pl_msg_advert_decode(pl_msg_advert *out, pl_bytes src) {
  pl_msg_advert m;
  pl_err err = pl_wire_decode(&m, &advert_map, src);
  if (err != PL_OK) return err;

  pl_msg_advert_item item;
  size_t at = 0;
  int got = 0;
  while ((got = pl_msg_advert_next(&m, &at, &item)) > 0) {
  }
  if (got < 0) return PL_PROTOCOL;
  *out = m;
  return PL_OK;
}

size_t pl_item_put_len(uint8_t out[5], uint32_t len) {
  size_t n = 0;
  for (; len >= 0x80; len >>= 7)
    out[n++] = (uint8_t)(len | 0x80);
  out[n++] = (uint8_t)len;
  return n;
}

int pl_item_get_len(pl_bytes src, uint32_t *len) {
  uint64_t v = 0;
  for (unsigned n = 0; n < 5; n++) {
    if (n == src.len) return 0;
    uint8_t b = src.data[n];
    v |= (uint64_t)(b & 0x7f) << (7 * n);
    if (b >= 0x80) continue;
    if (v > UINT32_MAX || (b == 0 && n > 0)) return PL_PROTOCOL;
    *len = (uint32_t)v;
    return (int)n + 1;
  }
  return PL_PROTOCOL;
}
