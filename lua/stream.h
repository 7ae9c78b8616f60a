// A stream as a script holds it, perilune.Stream: bind_stream.c has its life and reading,
// bind_send.c sending.
#pragma once

#include <lua.h>

#include "lua/bind_call.h"
#include "lua/box.h"
#include "lua/task.h"

#define PL_STREAM "perilune.Stream"

// User values. CHOICE keeps the policy, FAULT is what pl_stream_fail was given.
enum { PL_STREAM_NAME = 1, PL_STREAM_DEFAULTS, PL_STREAM_CHOICE, PL_STREAM_FAULT };
enum { PL_STREAM_VALUES = PL_STREAM_FAULT };

typedef struct pl_stream {
  pl_call *call;     // NULL before it is opened, and once it is closed
  pl_op reader;      // the consumer's wait
  pl_op sender;      // and that of who sends
  pl_list in_scope;  // of the handler that opened it
  pl_parts args;     // kept until it is opened
  uint64_t deadline_us;
  int codec;
  pl_failure refusal;      // owned, while `refused`
  pl_reference reference;  // if it was received; or under which it is passed on
  pl_node *node;           // if it was received
  pl_list carried;         // streams among `args`, until it is opened
  bool chunks;             // else only a result is expected
  bool received;           // by a reference
  bool offered;            // written, see pass.h
  bool passed;             // it is another's now
  bool opened, closed;
  bool exhausted;         // its end was told to who reads
  bool left;              // before that its handler has ended: who asks is told so
  bool refused;           // it could not be opened: every question gets this answer
  bool faulted;           // and every one this: FAULT
  bool finished;          // nothing more is sent
  bool reading, sending;  // somebody waits
} pl_stream;

static inline pl_stream *pl_stream_check(lua_State *L) {
  return pl_box_check(L, 1, PL_BOX_STREAM, PL_STREAM);
}
// Opens the stream at index 1, if it is not open.
void pl_stream_begin(lua_State *L, pl_stream *s);
// The same; raises what prevented it, now or earlier.
void pl_stream_open(lua_State *L, pl_stream *s);
// Breaks it off.
void pl_stream_release(pl_stream *s);
// Raises when it was passed on.
void pl_stream_check_own(lua_State *L, const pl_stream *s);
// Raises when it ended with its handler.
void pl_stream_check_left(lua_State *L, const pl_stream *s);
// It was passed on, and is another's.
void pl_stream_give_away(pl_stream *s);
// Pushes a handle of the stream to which `r` refers. [-0, +1]
void pl_stream_received(lua_State *L, pl_node *n, const pl_reference *r);
// Raises why the stream at index 1, which has a call that failed, did.
int pl_stream_raise(lua_State *L, const pl_stream *s);
// Calls `then` with the same stack, once the node has joined.
int pl_stream_joined(lua_State *L, lua_CFunction then);

// bind_send.c: on_credit of its call; adds its methods to the table at the top.
void pl_stream_on_credit(pl_call *c, void *user);
void pl_stream_add_sending(lua_State *L);
