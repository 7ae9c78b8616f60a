// A script that is not trusted: it computes and uses the mesh, and of the rest it has only what it
// was given (PL_CAN_FS, … of perilune.h). What it must not have is not there at all, in no table
// that it can reach, or asks here first. A VM is the border: what is in it may be the script's.
#pragma once

#include <lua.h>

// Takes away what the VM is not allowed. Once, when all else is set up.
void pl_open_sandbox(lua_State *L);
// Raises FORBIDDEN when the script that runs in `L` lacks the capability that `what` needs.
void pl_sandbox_need(lua_State *L, unsigned capability, const char *what);
// Raises when the options at `index`, of mesh.node, are not for this script to say.
void pl_sandbox_check_options(lua_State *L, int index);
// Raises when an action of that name, one of nodes themselves, is not for this script to call.
void pl_sandbox_check_call(lua_State *L, const char *name);
