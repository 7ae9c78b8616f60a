// A world of routers (testing_route.c), and what may be asked of it (testing_route_ask.c).
#pragma once

#include <lauxlib.h>

#include "base/list.h"
#include "route/router.h"

#define WORLD "perilune.testing.RouteWorld"

typedef struct world world;

typedef struct node {
  world *world;
  pl_router *router;  // NULL while it is down
  pl_id id;
  uint32_t number;
  uint64_t epoch;
  unsigned taken;  // times that it was told to go
} node;

typedef struct message {
  pl_list node;
  uint64_t due_us;
  uint8_t type;
  pl_slice *body;
} message;

// One direction of a link.
typedef struct wire {
  node *from, *to;
  struct wire *back;
  pl_list all;             // in world.wires
  pl_router_link *arrive;  // of `to`, for frames from `from`
  pl_list queue;           // of message
  pl_timer timer;
  uint64_t delay_us;
  bool mute;  // loses what is sent
  bool held;  // keeps it
} wire;

struct world {
  lua_State *L;
  pl_loop *loop;
  node *nodes;
  uint32_t count;
  pl_list wires;
  int known;  // reference to known[i][j][kind .. ' ' .. name] = attributes; LUA_NOREF: not kept
  int taped;  // reference to the list of frames sent while there is one
  uint64_t frames, bytes, refused;
  uint64_t link_cost;
  pl_buf log;
};

void testing_route_id(uint32_t number, pl_id *id);
uint32_t testing_route_number(const pl_id *id);
// Of the arguments of a method.
world *testing_route_world(lua_State *L);
node *testing_route_node(lua_State *L, world *w, int arg);
node *testing_route_up(lua_State *L, world *w, int arg);  // one that runs
extern const luaL_Reg testing_route_questions[];
