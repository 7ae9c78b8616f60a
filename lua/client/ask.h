// One call or stream of a client, as the program in Lua holds it: a userdata that ends with its
// client, or when it is collected.
//
// Lua never runs while the client is held: what it collects then may want to hold it, too.
#pragma once

#include <lua.h>

#include "lua/client/client.h"
#include "lua/client/wants.h"

// User values: what must live as long as the call, and the client.
enum { PL_ASK_ACTION = 1, PL_ASK_WANTS, PL_ASK_CLIENT, PL_ASK_VALUES = 3 };
typedef struct pl_ask {
  pl_list node;       // of its client, while it has a call
  pl_client *client;  // closed, or not
  const pl_wants *wants;
  pl_bytes action;
  pl_call *call;  // NULL before it is opened, and once it has ended
  pl_buf bytes;   // arguments until it is opened, then what was taken last
  int codec;
  size_t max;           // bytes of what is sent at once
  uint64_t timeout_us;  // from when it is opened, PL_NEVER
  uint64_t seen;        // changes of the client before it was tried
  bool stream;          // chunks are welcome, and can be sent
  bool opened, closed;
  bool woken;          // something has come since this was looked at
  bool ended;          // with a result, which is in `bytes`, or
  bool failed;         // every question gets `failure`
  pl_failure failure;  // owned, if so
} pl_ask;

void pl_ask_register(lua_State *L);
// Makes a new one of the action that is the string at index 1, with the arguments behind that. The
// client is upvalue 1 of the function that runs, its wants are upvalue 2. `type` is the name of its
// metatable; PL_ASK for a call. [-0, +1]
#define PL_ASK "perilune.Ask"
pl_ask *pl_ask_push(lua_State *L, const char *type, bool stream);
// The client at upvalue 1; raises when it is closed.
pl_client *pl_ask_client(lua_State *L);

// Holds the client, and opens it, if that was not done: waits until the mesh is reached, and, as
// its wants say, for a provider. Raises what prevents it, and then does not hold.
void pl_ask_open(lua_State *L, pl_ask *a);
// The client is held by those that follow.
// Waits until it is woken. Raises what a signal made of that: then it is closed, and not held.
void pl_ask_wait(lua_State *L, pl_ask *a);
// A copy of what was received. False: it has failed.
bool pl_ask_take(pl_ask *a, pl_bytes bytes);
// Takes over the result or the failure of its call, which has ended, and is freed.
void pl_ask_settle(pl_ask *a);

// And not by these.
// Pushes the values that were taken last, and returns their number. [-0, +n]
int pl_ask_decode(lua_State *L, const pl_ask *a);
int pl_ask_raise(lua_State *L, const pl_ask *a);
// Raises that nothing can be asked any more.
int pl_ask_raise_closed(lua_State *L);
// Breaks it off, if it has not ended.
void pl_ask_close(pl_ask *a);
// Breaks off all.
void pl_asks_end(pl_client *c);

// Turns the loop until `done`, or until then. False with an error at the top, and no longer held: a
// signal came, and the program wants to hear of it; or it has closed the client meanwhile.
bool pl_turn_until(lua_State *L, pl_client *c, pl_client_done *done, void *user, uint64_t until_us);
