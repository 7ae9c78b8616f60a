// Parts of `perilune.testing`.link.
#pragma once

#include <lua.h>

// Sockets without the runtime, as the other end of a link: adds its functions to the table on top.
void testing_add_sockets(lua_State *L);  // [-0, +0]

// link.outq(): a queue on its own.
void testing_add_outq(lua_State *L);  // [-0, +0]

// link.parse(text) -> the fields in a table, or nil, code, why
int testing_parse_url(lua_State *L);
