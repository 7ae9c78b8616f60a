// Gives a C object to the collector for as long as it may be lost to an error: between its birth
// and the end of the operation it belongs to.
#pragma once

#include <lua.h>

typedef struct pl_guard {
  void *object;  // freed with the guard; NULL: nothing to free
  void (*free)(void *object);
} pl_guard;

// Set `object` right after. [-0, +1]
pl_guard *pl_guard_push(lua_State *L, void (*free)(void *object));
// Frees the object now.
void pl_guard_free(pl_guard *g);
