// What callers want of providers, as mesh.with says it: strategies, preferences, and functions of a
// script that choose.
#pragma once

#include <lua.h>

#include "perilune.h"

// Makes a policy of the table at `index`: strategy, key, providers, regions, retries; types and
// lengths have been checked by the Lua side, which does not touch the table any more. Lives as long
// as what it pushes. [-0, +1]
const pl_policy *pl_policy_new(lua_State *L, int index);

// Asks the function at `chooser` whom of the providers to call, and makes a policy of its answer;
// what it pushes must stay alive with the call. `o` is complete but for its policy, of which
// `base` may be NULL. Raises what the function raises, and for an answer that means none of the
// providers. NULL: there is no provider to choose. [-0, +1]
const pl_policy *pl_policy_ask(lua_State *L, pl_node *n, int chooser, const pl_call_options *o,
                               const pl_policy *base);

// Pushes what would come of the call. [-0, +1]
void pl_policy_explain(lua_State *L, pl_node *n, const pl_call_options *o, pl_bytes args,
                       bool function);
