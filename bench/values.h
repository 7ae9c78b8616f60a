// MessagePack straight between a batch and the Lua stack, for the prototype.
//
// Enough for what the benchmark sends: nil, booleans, integers, floats, strings, arrays, maps. A
// table with a length is an array. There is no check for UTF-8: strings travel as they are.
#pragma once

#include <lua.h>

#include "wire.h"

// Appends the values of L from index `first` to the top. Big strings are borrowed by `b` and kept
// alive by a copy of the value on the stack of `anchors`. False, with part of them appended: they
// hold something that cannot travel.
bool values_encode(batch *b, lua_State *L, int first, lua_State *anchors);

// Pushes every value in `len` bytes and returns how many, or -1 when they are malformed; then some
// may have been pushed.
int values_decode(lua_State *L, const uint8_t *bytes, size_t len);
