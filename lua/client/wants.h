// What calls of a client want, as client.with says it.
#pragma once

#include <lua.h>

#include "perilune.h"

enum { PL_WANTS_META = 1, PL_WANTS_VALUES = 1 };
typedef struct pl_wants {
  double timeout;  // seconds; NAN: as long as the action or the client says; 0: never
  double idle;     // seconds; 0: live
  double wait;     // seconds for a provider when there is none
  pl_priority priority;
  pl_policy policy;
  pl_bytes meta;  // of the string that is its user value
  size_t node_len;
  char node[PL_NAME_MAX + 1];  // id or name; "": any
} pl_wants;

// Pushes those of a table at `index`, or what nobody said anything about, for 0. Raises on what is
// wrong. [-0, +1]
const pl_wants *pl_wants_push(lua_State *L, int index);
