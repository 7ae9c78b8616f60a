// Shared by the bindings of calls and streams.
#pragma once

#include "base/list.h"
#include "lua/host.h"

// What mesh.with fixed for its calls. A userdata; user values as below.
enum { PL_DEFAULTS_META = 1, PL_DEFAULTS_POLICY, PL_DEFAULTS_CHOOSER, PL_DEFAULTS_VALUES = 3 };
typedef struct pl_call_defaults {
  pl_call *ended;        // whose result is being decoded, which may raise; else NULL
  double timeout;        // seconds; NAN: the node's request_timeout; 0: never
  double idle;           // seconds; 0: live
  pl_priority priority;  // 0: that of the running task
  bool special;          // anything but times and priority is set
  bool has_node;
  bool has_meta;
  bool has_outer;           // the metadata has a `traceparent`
  bool chooses;             // a function of the script says who takes a call
  const pl_policy *policy;  // NULL: nothing in particular
  pl_trace outer;           // if has_outer
  size_t node_len;
  char node[PL_NAME_MAX + 1];  // id or name
} pl_call_defaults;

// The trace that a call of the running task goes on with; NULL: it begins one.
const pl_trace *pl_call_outer(lua_State *L);
// When a call with these defaults must be over, in clock microseconds. `usual_us` is how long it
// may take when they do not say that; 0: as long as the node allows.
uint64_t pl_call_deadline(lua_State *L, const pl_node *n, const pl_call_defaults *d,
                          uint64_t usual_us);
// How urgent a call with these defaults is.
pl_priority pl_call_priority(lua_State *L, const pl_call_defaults *d);
// Sets node, metadata, trace and policy in `o`, which has its action and outer, from the defaults
// at `index`. Raises when the node is not known, and what a function that chooses raises. What it
// pushes must stay alive with the call. [-0, +1]
void pl_call_fill(lua_State *L, pl_node *n, int index, pl_call_options *o, pl_id *id);
// The arguments of a call on the stack of its function, from 2 to `top`, as pl_values_pack does.
void pl_call_encode_args(lua_State *L, const pl_node *n, int codec, int top, pl_parts *out);
// Raises `f`, with the name at index `action` unless it has one.
int pl_call_raise(lua_State *L, const pl_failure *f, int action);
// Waits until the node has joined, then goes on with `then`, which finds the same stack.
int pl_wait_joined(lua_State *L, lua_CFunction then);

// mesh.stream, with the defaults in upvalue 1.
int pl_stream_new(lua_State *L);
// The same for an action of which only the result is wanted.
int pl_upload_new(lua_State *L);
// The values of a chunk; the first one is mesh.null when there is none, or nil. [-0, +n]
int pl_chunk_decode(lua_State *L, int codec, pl_bytes item);
void pl_stream_register(lua_State *L);
// Closes the streams that a handler opened and has not passed on.
void pl_streams_close(pl_list *streams);
// The request whose handler waits for the task that runs in L, or is that; NULL: there is none
// (bind_action.c).
pl_request *pl_handler_request(lua_State *L);
// The list of streams of the handler that runs in L; NULL outside one (bind_action.c).
pl_list *pl_handler_streams(lua_State *L);
