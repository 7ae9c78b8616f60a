// The baseline with Lua on both ends: a recycled coroutine for each request and each task,
// arguments straight between the frames and the Lua stack, one write per read batch, and nothing
// else: no deadlines, no limits, no routes, no cancellation.
//
// It offers scripts as much of the module `perilune` as server.lua and client.lua use. A mistake in
// a script ends the process. Everything runs on the loop thread.
#pragma once

#include <lua.h>

#include "conn.h"

enum {
  IN_FLIGHT_MAX = 1024,  // calls and streams of a client, and streams of a server connection
  WINDOW_ITEMS = 1024,   // chunks of a stream that nobody has read yet
  WINDOW_BYTES = 256 * 1024,
  NAME_MAX_BYTES = 255,
};

// A request is: length of the action's name, of one byte; the name; the arguments.
typedef enum prototype_kind {
  FRAME_CALL = 1,
  FRAME_STREAM,
  FRAME_CREDIT,  // payload: u32 chunks and u32 bytes, headers included, that may follow
  FRAME_REPLY,   // payload: the results of the call
  FRAME_CHUNK,   // payload: the values of one yield
  FRAME_END,     // the stream is over
  FRAME_FAIL,    // payload: a message; the call or stream is over
} prototype_kind;

// A call or a stream of the client.
typedef struct slot {
  lua_State *waiting;       // the coroutine that the next frame resumes
  const uint8_t *at, *end;  // stream: frames that arrived and were not read yet
  bool is_stream;
  bool failed;  // call: what it is resumed with is a message
} slot;

typedef struct vm {
  uv_loop_t *loop;
  lua_State *L;
  lua_State *anchors;  // keeps the strings that the batch borrows
  lua_State **idle;    // owned; coroutines to be used again, all anchored in the registry
  size_t idle_count, idle_cap;

  // Client: the connection, its main chunk, and the tasks it spawned.
  conn *peer;
  lua_State *main;
  lua_State *joiner;  // waits for all tasks
  int tasks;
  slot slots[IN_FLIGHT_MAX];
  uint16_t free_slots[IN_FLIGHT_MAX];
  int free_count;
} vm;

// The extra space of the main state is copied to every coroutine.
#define VM(L) (*(vm **)lua_getextraspace(L))

lua_State *vm_take_coroutine(vm *v);
void vm_give_coroutine(vm *v, lua_State *co);

// Ends the process with the error on top of `co` and its traceback.
_Noreturn void vm_die(lua_State *co);

// Resumes a task of the client with the `narg` values on top of its stack.
void vm_run_task(vm *v, lua_State *co, int narg);

// conn_ops::on_flush of both ends.
void vm_on_flush(conn *c);

// Functions of the module; each file adds its own to the table on top of the stack.
void server_open(lua_State *L);
void client_open(lua_State *L);
void tasks_open(lua_State *L);

// Run `script` on its end of `url` and return the exit code.
int server_run(vm *v, const char *script, const char *url);
int client_run(vm *v, const char *script, const char *url);
