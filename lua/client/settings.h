// What perilune.connect is told: the options of a node, as far as they are for one that only asks.
#pragma once

#include <lua.h>

#include "perilune.h"

// Pushes the options at index 1 (a table, the address of a peer, or nothing) with what the
// environment says of the others. Raises on what is wrong. [-0, +1]
const pl_options *pl_settings_push(lua_State *L);
