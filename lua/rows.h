// Lists of plain structs for scripts. A walk over what the node knows survives no error of Lua, nor
// a collection of handles: so it collects copies, and tables are made of them afterwards.
#pragma once

#include <lua.h>

#include "base/buf.h"

typedef struct pl_rows {
  size_t size;  // of a row, in bytes
  pl_buf data;
  bool failed;  // no memory for a row
} pl_rows;

// Rows of `size` bytes; on the stack, and freed with it. [-0, +1]
pl_rows *pl_rows_new(lua_State *L, size_t size);
// Keeps a copy; raises nothing.
void pl_rows_add(pl_rows *r, const void *row);
// The list of them, each as `push` [-0, +1] says. Raises NO_MEMORY if one could not be kept.
// [-0, +1]
int pl_rows_push(lua_State *L, const pl_rows *r, void (*push)(lua_State *L, const void *row));
