// `perilune.testing`: the one place where specs look inside C. Never in a release.
#pragma once

#include <lua.h>

// Pushes the module, a table with one table for each area of testing.c.
int testing_open(lua_State *L);  // [-0, +1]
