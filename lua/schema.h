// Schemas: what an action says of its arguments, results and chunks, and the check of values
// against it, on the stack of Lua. stdlib/perilune/schema.lua reads what a script wrote, and finds
// what is wrong with it.
#pragma once

#include <lua.h>
#include <stdbool.h>

typedef struct pl_schema pl_schema;

typedef enum pl_schema_part {
  PL_SCHEMA_PARAMS,
  PL_SCHEMA_RETURNS,
  PL_SCHEMA_CHUNKS
} pl_schema_part;

// Makes a schema of the rows at `index`, as schema.lua makes them, which nobody changes any more.
// Lives as long as what it pushes. [-0, +1]
const pl_schema *pl_schema_new(lua_State *L, int index);

// Checks the `n` values at the top. False: an error object (INVALID) is at the top that names the
// place and what was expected and found there, also in its `details`. Its outcome is `executed` but
// for arguments. What it looks at grows with the values; patterns are bounded. Raises for lack of
// memory. [-0, +?]
bool pl_schema_check(lua_State *L, const pl_schema *s, pl_schema_part part, int n);
