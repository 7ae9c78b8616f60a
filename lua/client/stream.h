// Streams of a client: what client.stream returns.
#pragma once

#include <lua.h>

#define PL_ASK_STREAM "perilune.ClientStream"

// client.stream(name, ...), with the client and its wants as upvalues.
int pl_ask_stream(lua_State *L);
void pl_ask_stream_register(lua_State *L);
