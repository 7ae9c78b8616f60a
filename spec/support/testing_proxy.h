// A listener that passes bytes on to another address, and cuts links at a chosen byte.
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/loop.h"

// Stack: the object that owns the loop at 1, the address to listen at, the address to pass on to.
// Pushes the proxy, which uses `main` later.  [-0, +1]
int testing_new_proxy(lua_State *L, pl_loop *loop, lua_State *main);
void testing_add_proxies(lua_State *L);  // [-0, +0]
