// What a generation of a script has registered: its actions, published or held back. bind_action.c
// serves their requests, bind_register.c publishes them.
#pragma once

#include "base/list.h"
#include "lua/generation.h"
#include "lua/schema.h"
#include "perilune.h"

// One registration. Freed when the node lets go of it, or before it was published.
typedef struct pl_registration {
  pl_list node;               // in generation->actions
  pl_generation *generation;  // NULL once its VM is closed
  int handler;                // reference in the registry
  int schema_ref;             // likewise
  const pl_schema *schema;    // NULL: nothing is checked
  pl_bytes description;       // what _perilune.describe tells: one reference
  uint64_t topic;             // of its tasks
  uint64_t cpu_limit_us;
  size_t value_max;           // bytes of a chunk or result
  bool held_back;             // until the swap
  pl_action_options options;  // `attributes` with one reference while it is held back
  size_t name_len;
  char name[];
} pl_registration;

extern const pl_action_ops pl_registration_ops;
// The node has let go of it.
void pl_registration_gone(void *registration);
int pl_register_action(lua_State *L);
int pl_remove_action(lua_State *L);

// The VM is about to be closed: nothing may begin in it any more.
void pl_registrations_close(pl_generation *g);

// How what `next` has held back differs from what `old` serves: sorted names.
typedef struct pl_difference {
  pl_texts added, removed, replaced;
} pl_difference;

void pl_registrations_compare(pl_difference *out, pl_generation *old, pl_generation *next);
void pl_difference_free(pl_difference *d);
// All at once: what `next` has held back is published, what `old` serves besides is withdrawn. On
// an error nothing has changed, and `detail` (PL_URL_MAX bytes) says what could not be.
pl_err pl_registrations_swap(pl_generation *old, pl_generation *next, char *detail);
