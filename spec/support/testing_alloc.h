// The allocator of a state, without one.
#pragma once

#include <lua.h>

// new_alloc() -> an allocator
int testing_new_alloc(lua_State *L);
