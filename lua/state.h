// mesh.state and mesh.shared (bind_state.c), as other files of the embedding know them.
#pragma once

#include <lua.h>

// update(key, fn): a function below which no script can wait, so that what it does is one step.
int pl_state_update(lua_State *L);
