// Parts of `perilune.testing`.peer: a world is a loop, in virtual time or in real, on which
// sessions and nodes live. Their callbacks call one Lua function each, with the name of the
// callback first; an error in it is kept and raised by world:advance.
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/loop.h"
#include "peer/session.h"

typedef struct testing_world {
  pl_loop *loop;  // NULL once freed
  lua_State *L;
  pl_timer timer;
  uint64_t start_us;
  int error;   // reference to the first error of a callback, or LUA_NOREF
  pl_buf log;  // what was logged
} testing_world;

testing_world *testing_check_world(lua_State *L, int arg);

// Pushes the function in registry slot `fn` and the name of the event; false when there is none.
bool testing_begin_event(testing_world *w, int fn, const char *event);
// Calls it; false when it failed, and nothing is pushed then.
bool testing_end_event(testing_world *w, int args, int results);

// Fills an identity from the table at `arg`: id (a number, or 32 digits), epoch, name, mesh, role,
// draining, psk (a key or a list of them), and times in seconds: connect_timeout,
// handshake_timeout, heartbeat, heartbeat_misses.
void testing_check_identity(lua_State *L, int arg, pl_identity *out);
void testing_push_id(lua_State *L, const pl_id *id);               // [-0, +1]
void testing_push_err(lua_State *L, pl_err err);                   // [-0, +1] "OK" for none
pl_err testing_check_err(lua_State *L, int arg);                   // by name
void testing_push_hello(lua_State *L, const pl_msg_hello *m);      // [-0, +1]
void testing_push_goodbye(lua_State *L, const pl_msg_goodbye *m);  // [-0, +1] nil for NULL

// Each adds its functions to the table on top, and methods to the world.  [-0, +0]
void testing_add_handshake(lua_State *L);
void testing_add_sessions(lua_State *L);
void testing_add_nodes(lua_State *L);

int testing_new_session_pair(lua_State *L);
int testing_new_session(lua_State *L);
int testing_new_node(lua_State *L);
int testing_dial_raw(lua_State *L);
int testing_listen_deaf(lua_State *L);
