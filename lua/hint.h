// What is shown with an error of a script that does not load: the line of its text, and what may
// have been meant. Loop thread only.
#pragma once

#include <lua.h>

#include "lua/origins.h"

// Pushes a text of whole lines, without the last newline, or nil when there is nothing to say.
// `message` is the error as it is shown, `traceback` NULL or that of where it arose. Runs Lua, may
// raise.
// [-0, +1]
void pl_hint_push(lua_State *L, const char *message, const char *traceback,
                  const pl_origins *sources);
