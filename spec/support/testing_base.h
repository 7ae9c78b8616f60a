// The parts of `perilune.testing`.base; each pushes one table.  [-0, +1]
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/metric.h"

void testing_push_buf(lua_State *L);
void testing_push_graph(lua_State *L);
void testing_push_clock(lua_State *L);
void testing_push_labels(lua_State *L);
void testing_push_log(lua_State *L);
void testing_push_loop(lua_State *L);
void testing_push_map(lua_State *L);
// Of `perilune.testing`.flow (testing_intake.c).
void testing_push_intake(lua_State *L);

// The counters of a loop as a table.
void testing_push_metrics(lua_State *L, const pl_metrics *metrics);

// A class: `methods` as its __index, `gc` as its __gc. For luaL_setmetatable.
void testing_new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);
