// Maps with small integer keys to and from structs, driven by tables: what the bodies of control
// frames are made of. Private to the message codecs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/msgpack.h"

// How a field stands in the struct and on the wire. Zero, false and empty are not written.
typedef enum pl_wire_kind {
  PL_WIRE_NONE,    // no such key in this version
  PL_WIRE_U64,     // uint64_t
  PL_WIRE_U32,     // uint32_t
  PL_WIRE_I64,     // int64_t
  PL_WIRE_FLAG,    // bool, default false
  PL_WIRE_UNFLAG,  // bool, default true
  PL_WIRE_NAME,    // pl_bytes, text of at most PL_NAME_MAX bytes
  PL_WIRE_PROSE,   // pl_bytes, text of any length
  PL_WIRE_BIN,     // pl_bytes, exactly `len` of them
  PL_WIRE_ID,      // pl_id, not zero
  PL_WIRE_RAW,     // pl_bytes, one encoded value; never required, like those below
  PL_WIRE_ARRAY,   // the same, an array
  PL_WIRE_MAP,     // the same, a map
  PL_WIRE_TEXTS,   // the same, an array of texts
  PL_WIRE_UINTS,   // the same, an array of unsigned integers
} pl_wire_kind;

typedef struct pl_wire_field {
  uint8_t kind;
  uint8_t len;
  uint16_t at;  // offset in the struct
} pl_wire_field;

// A message: its fields by key.
typedef struct pl_wire_map {
  const pl_wire_field *fields;  // [key], keys are below 64
  unsigned count;
  uint64_t required;     // one bit a key
  size_t size;           // of the struct, at most PL_WIRE_STRUCT_MAX
  const void *defaults;  // the struct as it is without any key; NULL: zeros
} pl_wire_map;

enum { PL_WIRE_STRUCT_MAX = 352 };

#define PL_WIRE_KEY(key) (1ULL << (key))

// A row of a table: the key on the wire, the kind, and the member of `message`.
#define PL_WIRE_FIELD(key, message, member, of_kind) \
  [key] = {.kind = PL_WIRE_##of_kind, .at = offsetof(message, member)}

// `m` points at the struct. PL_NO_MEMORY, with `out` as it was.
pl_err pl_wire_encode(pl_buf *out, const pl_wire_map *map, const void *m);

// Fills the struct `m` from the map at the start of `src`. Bytes taken (> 0), or PL_PROTOCOL with
// `m` as it was.
ptrdiff_t pl_wire_decode_prefix(void *m, const pl_wire_map *map, pl_bytes src);
// The same for a map that is all of `src`: PL_OK or PL_PROTOCOL.
pl_err pl_wire_decode(void *m, const pl_wire_map *map, pl_bytes src);

// Text travels as str when it is UTF-8, else as bin. At most len + 5 bytes.
uint8_t *pl_wire_put_text(uint8_t *p, pl_bytes text);
// True for what pl_wire_put_text writes; *out borrows.
bool pl_wire_get_text(pl_bytes *out, const pl_mp_token *t, size_t max);
// The whole value at `r`, well-formed and at most PL_DEPTH_MAX deep; `first` is its first token.
bool pl_wire_get_raw(pl_bytes *out, pl_mp_token *first, pl_mp_reader *r);
