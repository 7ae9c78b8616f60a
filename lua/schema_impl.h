// What the making of a schema and the check by it share.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lua/schema.h"

typedef enum pl_schema_kind {
  PL_SCHEMA_ANY,
  PL_SCHEMA_INT,
  PL_SCHEMA_NUMBER,
  PL_SCHEMA_STRING,
  PL_SCHEMA_BYTES,
  PL_SCHEMA_BOOLEAN,
  PL_SCHEMA_TABLE,
  PL_SCHEMA_LIST,      // child 0: of its elements
  PL_SCHEMA_MAP,       // children: its fields, and with `extra` one more, of all others
  PL_SCHEMA_ENUM,      // children: constants
  PL_SCHEMA_VALUES,    // children: one for each value, and with `extra` one more, of the rest
  PL_SCHEMA_CONSTANT,  // of an enum
} pl_schema_kind;

typedef struct pl_schema_bound {
  bool given;
  bool is_int;
  lua_Integer integer;
  lua_Number number;  // also of an integer, as near as it gets
} pl_schema_bound;

typedef struct pl_schema_row {
  uint8_t kind;  // pl_schema_kind
  bool optional;
  bool extra;
  uint8_t type;  // of a constant, as lua_type
  uint32_t first, count;
  uint32_t required;         // how many of its fields
  const char *name;          // of a field; NULL: none
  size_t name_len;           //
  const char *text;          // the pattern, or a constant that is a string; NULL: none
  size_t text_len;           //
  pl_schema_bound min, max;  // `min` is also a constant that is a number, or 0 or 1 of a boolean
} pl_schema_row;

// A userdata; user value 1 keeps the strings.
struct pl_schema {
  uint32_t count;
  pl_schema_row rows[];
};

static inline const pl_schema_row *pl_schema_children(const pl_schema *s, const pl_schema_row *r) {
  return &s->rows[r->first];
}
