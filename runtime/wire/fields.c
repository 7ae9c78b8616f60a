#include "wire/fields.h"

#include <assert.h>

#include "base/id.h"
#include "base/limits.h"
#include "wire/utf8.h"

enum { KEY_AND_HEAD = 2 + PL_MP_TOKEN_MAX };

static const void *member(const void *m, const pl_wire_field *f) {
  return (const char *)m + f->at;
}

static uint64_t scalar(const void *v, pl_wire_kind kind) {
  switch (kind) {
    case PL_WIRE_U64:
    case PL_WIRE_I64: return *(const uint64_t *)v;
    case PL_WIRE_U32: return *(const uint32_t *)v;
    case PL_WIRE_FLAG: return *(const bool *)v;
    case PL_WIRE_UNFLAG: return !*(const bool *)v;
    case PL_WIRE_ID: return !pl_id_is_zero(v);
    case PL_WIRE_NONE: return 0;
    case PL_WIRE_NAME:
    case PL_WIRE_PROSE:
    case PL_WIRE_BIN:
    case PL_WIRE_RAW:
    case PL_WIRE_ARRAY:
    case PL_WIRE_MAP:
    case PL_WIRE_TEXTS:
    case PL_WIRE_UINTS: return ((const pl_bytes *)v)->len;
  }
  return 0;
}

static bool is_written(const pl_wire_map *map, const void *m, unsigned key) {
  const pl_wire_field *f = &map->fields[key];
  return (map->required >> key & 1) != 0 || scalar(member(m, f), f->kind) != 0;
}

static bool is_bytes(pl_wire_kind kind) {
  return kind >= PL_WIRE_NAME && kind != PL_WIRE_ID;
}

uint8_t *pl_wire_put_text(uint8_t *p, pl_bytes text) {
  if (pl_utf8_valid(text.data, text.len)) return pl_mp_put_str(p, text.data, (uint32_t)text.len);
  return pl_mp_put_bin(p, text.data, (uint32_t)text.len);
}

static uint8_t *put_raw(uint8_t *p, pl_bytes raw) {
  memcpy(p, raw.data, raw.len);
  return p + raw.len;
}

static uint8_t *put_field(uint8_t *p, const void *v, pl_wire_kind kind) {
  switch (kind) {
    case PL_WIRE_NONE: break;
    case PL_WIRE_U64:
    case PL_WIRE_U32: return pl_mp_put_uint(p, scalar(v, kind));
    case PL_WIRE_I64: return pl_mp_put_int(p, *(const int64_t *)v);
    case PL_WIRE_FLAG:
    case PL_WIRE_UNFLAG: return pl_mp_put_bool(p, *(const bool *)v);
    case PL_WIRE_NAME:
    case PL_WIRE_PROSE: return pl_wire_put_text(p, *(const pl_bytes *)v);
    case PL_WIRE_BIN:
      return pl_mp_put_bin(p, ((const pl_bytes *)v)->data, (uint32_t)((const pl_bytes *)v)->len);
    case PL_WIRE_ID: return pl_mp_put_bin(p, v, sizeof(pl_id));
    case PL_WIRE_RAW:
    case PL_WIRE_ARRAY:
    case PL_WIRE_MAP:
    case PL_WIRE_TEXTS:
    case PL_WIRE_UINTS: return put_raw(p, *(const pl_bytes *)v);
  }
  return p;
}

pl_err pl_wire_encode(pl_buf *out, const pl_wire_map *map, const void *m) {
  size_t room = PL_MP_TOKEN_MAX;
  uint32_t pairs = 0;
  for (unsigned key = 0; key < map->count; key++) {
    const pl_wire_field *f = &map->fields[key];
    if (!is_written(map, m, key)) continue;
    pairs++;
    room += KEY_AND_HEAD + sizeof(pl_id);
    if (is_bytes(f->kind)) room += scalar(member(m, f), f->kind);
  }
  uint8_t *start = pl_buf_reserve(out, room);
  if (start == NULL) return PL_NO_MEMORY;

  uint8_t *p = pl_mp_put_map(start, pairs);
  for (unsigned key = 0; key < map->count; key++) {
    const pl_wire_field *f = &map->fields[key];
    if (!is_written(map, m, key)) continue;
    p = pl_mp_put_uint(p, key);
    p = put_field(p, member(m, f), f->kind);
  }
  pl_buf_commit(out, (size_t)(p - start));
  return PL_OK;
}

bool pl_wire_get_text(pl_bytes *out, const pl_mp_token *t, size_t max) {
  if (t->kind != PL_MP_STR && t->kind != PL_MP_BIN) return false;
  if (t->len > max) return false;
  if (t->kind == PL_MP_STR && !pl_utf8_valid(t->data, t->len)) return false;
  out->data = t->data;
  out->len = t->len;
  return true;
}

static bool get_natural(uint64_t *out, const pl_mp_token *t) {
  if (t->kind == PL_MP_UINT) {
    *out = t->v.natural;
    return true;
  }
  if (t->kind != PL_MP_INT || t->v.integer < 0) return false;
  *out = (uint64_t)t->v.integer;
  return true;
}

static bool get_u32(uint32_t *out, const pl_mp_token *t) {
  uint64_t v = 0;
  if (!get_natural(&v, t) || v > UINT32_MAX) return false;
  *out = (uint32_t)v;
  return true;
}

static bool get_i64(int64_t *out, const pl_mp_token *t) {
  if (t->kind != PL_MP_INT) return false;
  *out = t->v.integer;
  return true;
}

static bool get_flag(bool *out, const pl_mp_token *t) {
  if (t->kind != PL_MP_BOOL) return false;
  *out = t->v.boolean;
  return true;
}

static bool get_bin(pl_bytes *out, const pl_mp_token *t, size_t len) {
  if (t->kind != PL_MP_BIN || t->len != len) return false;
  out->data = t->data;
  out->len = len;
  return true;
}

static bool get_id(pl_id *out, const pl_mp_token *t) {
  if (t->kind != PL_MP_BIN || t->len != sizeof *out) return false;
  memcpy(out, t->data, sizeof *out);
  return !pl_id_is_zero(out);
}

bool pl_wire_get_raw(pl_bytes *out, pl_mp_token *first, pl_mp_reader *r) {
  pl_mp_reader inside = *r;
  const uint8_t *start = r->at;
  if (pl_mp_skip(r, PL_DEPTH_MAX) != PL_OK || pl_mp_read(&inside, first) != PL_OK) return false;
  out->data = start;
  out->len = (size_t)(r->at - start);
  return true;
}

static bool are_texts(pl_bytes raw) {
  pl_mp_reader r = {.at = raw.data, .end = raw.data + raw.len};
  pl_mp_token t;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_ARRAY) return false;
  for (uint32_t n = t.len; n > 0; n--) {
    pl_bytes text;
    if (pl_mp_read(&r, &t) != PL_OK || !pl_wire_get_text(&text, &t, SIZE_MAX)) return false;
  }
  return true;
}

static bool are_uints(pl_bytes raw) {
  pl_mp_reader r = {.at = raw.data, .end = raw.data + raw.len};
  pl_mp_token t;
  uint64_t v;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_ARRAY) return false;
  for (uint32_t n = t.len; n > 0; n--) {
    if (pl_mp_read(&r, &t) != PL_OK || !get_natural(&v, &t)) return false;
  }
  return true;
}

static bool get_raw(pl_bytes *out, pl_mp_reader *r, pl_wire_kind kind) {
  pl_mp_token first;
  if (!pl_wire_get_raw(out, &first, r)) return false;
  if (kind == PL_WIRE_MAP) return first.kind == PL_MP_MAP;
  if (kind == PL_WIRE_ARRAY) return first.kind == PL_MP_ARRAY;
  if (kind == PL_WIRE_UINTS) return are_uints(*out);
  return kind == PL_WIRE_RAW || are_texts(*out);
}

static bool get_scalar(void *v, const pl_wire_field *f, const pl_mp_token *t) {
  switch ((pl_wire_kind)f->kind) {
    case PL_WIRE_U64: return get_natural(v, t);
    case PL_WIRE_U32: return get_u32(v, t);
    case PL_WIRE_I64: return get_i64(v, t);
    case PL_WIRE_FLAG:
    case PL_WIRE_UNFLAG: return get_flag(v, t);
    case PL_WIRE_NAME: return pl_wire_get_text(v, t, PL_NAME_MAX);
    case PL_WIRE_PROSE: return pl_wire_get_text(v, t, SIZE_MAX);
    case PL_WIRE_BIN: return get_bin(v, t, f->len);
    case PL_WIRE_ID: return get_id(v, t);
    case PL_WIRE_NONE:
    case PL_WIRE_RAW:
    case PL_WIRE_ARRAY:
    case PL_WIRE_MAP:
    case PL_WIRE_TEXTS:
    case PL_WIRE_UINTS: break;
  }
  return false;
}

static bool get_field(void *m, const pl_wire_field *f, pl_mp_reader *r) {
  void *v = (char *)m + f->at;
  if (f->kind >= PL_WIRE_RAW) return get_raw(v, r, f->kind);
  pl_mp_token t;
  return pl_mp_read(r, &t) == PL_OK && get_scalar(v, f, &t);
}

// Unknown keys are of a later version, or of another use of the same map: any value may follow.
static const pl_wire_field *find_field(const pl_wire_map *map, const pl_mp_token *key) {
  if (key->kind != PL_MP_INT || (uint64_t)key->v.integer >= map->count) return NULL;
  const pl_wire_field *f = &map->fields[key->v.integer];
  return f->kind == PL_WIRE_NONE ? NULL : f;
}

// Fills `m`, which has the defaults. Bytes taken, or PL_PROTOCOL with `m` half filled.
static ptrdiff_t decode_pairs(void *m, const pl_wire_map *map, pl_bytes src) {
  pl_mp_reader r = {.at = src.data, .end = src.data + src.len};
  pl_mp_token t;
  uint64_t seen = 0;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_MAP) return PL_PROTOCOL;
  for (uint32_t pairs = t.len; pairs > 0; pairs--) {
    if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_INT) return PL_PROTOCOL;
    const pl_wire_field *f = find_field(map, &t);
    if (f == NULL) {
      if (pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK) return PL_PROTOCOL;
      continue;
    }
    uint64_t bit = PL_WIRE_KEY(f - map->fields);
    if ((seen & bit) != 0 || !get_field(m, f, &r)) return PL_PROTOCOL;
    seen |= bit;
  }
  if ((map->required & ~seen) != 0) return PL_PROTOCOL;
  return r.at - src.data;
}

static ptrdiff_t decode(void *out, const pl_wire_map *map, pl_bytes src, bool whole) {
  union {
    max_align_t aligned;
    char bytes[PL_WIRE_STRUCT_MAX];
  } m;
  assert(map->count <= 64);
  assert(map->size <= sizeof m.bytes);
  if (src.len == 0) return PL_PROTOCOL;  // also a view without an address

  if (map->defaults == NULL) memset(m.bytes, 0, map->size);
  if (map->defaults != NULL) memcpy(m.bytes, map->defaults, map->size);
  ptrdiff_t took = decode_pairs(m.bytes, map, src);
  if (took < 0 || (whole && (size_t)took != src.len)) return PL_PROTOCOL;
  memcpy(out, m.bytes, map->size);
  return took;
}

ptrdiff_t pl_wire_decode_prefix(void *m, const pl_wire_map *map, pl_bytes src) {
  return decode(m, map, src, false);
}

pl_err pl_wire_decode(void *m, const pl_wire_map *map, pl_bytes src) {
  return decode(m, map, src, true) < 0 ? PL_PROTOCOL : PL_OK;
}
