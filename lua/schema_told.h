// How a check by a schema tells what is wrong: an error object whose message reads
// `args[1].b: int expected, got string`, with the same as `details`.
#pragma once

#include "lua/schema_impl.h"

// The way to a value. The outermost is the root, whose key is its word.
typedef struct pl_schema_place {
  const struct pl_schema_place *up;
  const char *key;    // or
  lua_Integer index;  // when `key` is NULL
} pl_schema_place;

typedef struct pl_schema_checker {
  lua_State *L;
  const pl_schema *schema;
  pl_schema_part part;
  bool telling;        // what is wrong, in an error
  lua_Integer length;  // of the list, or number of values, that is looked at
  uint64_t steps;      // of patterns, that are left
  bool tired;          // there were none left
} pl_schema_checker;

// Returns false; when telling, pushes the error of the value at `index` (0: there is none), which
// broke `rule` of the row: type, missing, min, max, pattern, enum or count. Else `at` may be NULL.
// [-0, +0|1]
bool pl_schema_fail(pl_schema_checker *c, const pl_schema_row *r, const pl_schema_place *at,
                    const char *rule, int index);
// The same of a field that is none of the map.
bool pl_schema_fail_unknown(pl_schema_checker *c, const pl_schema_row *map,
                            const pl_schema_place *at, int index);
