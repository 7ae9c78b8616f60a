// What a handler reads of its caller's stream, mesh.input: shared with bind_action.c, which tells
// it of the request.
#pragma once

#include <lua.h>

#include "perilune.h"

// Belongs to the handler that runs, and to the handles of its script.
typedef struct pl_input pl_input;

pl_input *pl_input_new(pl_request *r);  // of the handler
void pl_input_wake(pl_input *in);       // on_items
void pl_input_leave(pl_input *in);      // the handler has ended

// mesh.input()
int pl_input_open(lua_State *L);
void pl_input_register(lua_State *L);
// Of the handler that runs in L, made when there is none; NULL outside one (bind_action.c).
pl_input *pl_handler_input(lua_State *L);
