// Streams among values: a handle that is an argument, a chunk or a result is written as a
// reference, and moves with it; a reference that is read becomes a handle.
#pragma once

#include "base/list.h"
#include "lua/value_impl.h"

// Whether the value at `index` is a stream.
bool pl_pass_is_stream(lua_State *L, int index);

// A list of values that may hold streams is about to be written: those of the last one that has not
// been sent stay where they are.
void pl_pass_begin(lua_State *L);
// Writes the stream at `index`. Raises, with its path, when it cannot be passed on.
void pl_pass_encode(pl_encoder *e, int index);
// What was written since pl_pass_begin has been sent, or will be: its streams are not the script's
// any more. They travel with whatever `carried` is given to.
void pl_pass_commit(lua_State *L, pl_list *carried);

// A handle for the reference. False: nothing is pushed, the VM has no node; raises when it is none.
// [-0, +1]
bool pl_pass_push(lua_State *L, const void *bytes, size_t len);
