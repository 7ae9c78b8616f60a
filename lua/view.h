// Views: tables that were read from mesh.state or mesh.shared, and cannot be written into. A view
// is an empty table with a metatable that reads another one, its target, which nobody else has; a
// table in there is seen through a view of its own, the same each time. Encoded it is its target.
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

// Makes the metatable of views, and a `next` that goes through them. [-0, +0]
void pl_open_views(lua_State *L);

// Replaces the table at the top by its view. It was read from `name` ("mesh.state") under the
// key at index `key`, in that version. Needs 8 slots. [-1, +1]
void pl_view_wrap(lua_State *L, const char *name, int key, uint64_t version);

// Of the view at `index`, as it was given.
uint64_t pl_view_version(lua_State *L, int index);

// With the metatable of the table at `index` at the top: when that is a view, pushes its target.
// [-0, +0|1]
bool pl_view_target(lua_State *L, int index);

// Pushes where the key at `key` of `name` is, as a script writes it: mesh.state.hits,
// mesh.state['a b']. [-0, +1]
const char *pl_push_path(lua_State *L, const char *name, int key);

// The metatable field of what the global `next` can walk: a function as `next` is.
extern const char pl_next_key;
