// A generation is one VM with one version of a script. A reload makes the next one beside the one
// that serves, and puts it in its place.
//
//   LOADING ----> SERVING ----> DRAINING ----> CLOSING ----> gone
//      |                           calls in flight  on_close; the VM is closed
//      +-----------------------------------------> gone
//          failed, or taken back
//
// What the first generation registers while it loads is published at once, what later ones register
// is held back until the swap. Loop thread only.
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "lua/host.h"
#include "lua/origins.h"
#include "lua/probation.h"
#include "lua/task.h"

typedef struct pl_generation pl_generation;

typedef enum pl_generation_state {
  PL_GENERATION_LOADING,
  PL_GENERATION_SERVING,
  PL_GENERATION_DRAINING,
  PL_GENERATION_CLOSING,
} pl_generation_state;

typedef enum pl_hook { PL_HOOK_UNLOAD, PL_HOOK_LOAD, PL_HOOK_CLOSE, PL_HOOK_COUNT } pl_hook;

struct pl_generation {
  pl_list node;  // of the script
  pl_script *script;
  pl_vm *vm;
  unsigned number;  // from 1 on
  pl_generation_state state;
  pl_origins sources;  // what it was loaded from, the script first
  pl_origins replay;   // when it is an older one again: what that was loaded from
  bool keeps;          // has registered something that keeps the process alive
  bool idle;           // no task is left
  pl_list actions;     // of pl_registration, see bind_action.h
  pl_map held_back;    // of these: name -> pl_registration, until the swap
  pl_conduct conduct;
  int hooks[PL_HOOK_COUNT];  // references; LUA_NOREF
  pl_timer limit;            // of draining
};

// How the main chunk, or a hook, of a generation ended: PL_TASK_DONE, else an error is at the top
// of `L`. From the scheduler: the generation may not be freed here.
typedef void pl_generation_done(pl_generation *g, pl_task_state state, lua_State *L,
                                const char *traceback);

// A VM that has done nothing yet. With `replay` it is loaded from those texts. INVALID: the file
// cannot be read; NO_MEMORY. `detail` has PL_URL_MAX bytes.
pl_err pl_generation_new(pl_generation **out, pl_script *s, unsigned number,
                         const pl_origins *replay, char *detail);
// Ends whatever runs in it, and closes the VM, at once.
void pl_generation_free(pl_generation *g);

// Runs the main chunk in a task, of which one reference is returned; NULL when there is no memory
// for one, and nothing follows then. What it spawns is held unless `free_spawns`.
pl_task *pl_generation_load(pl_generation *g, bool free_spawns, pl_generation_done *done);
// From now on its tasks run, and its end is noticed (pl_host_script_changed).
void pl_generation_go(pl_generation *g);
// The options may have changed: the limits of scripts among them now hold.
void pl_generation_set_limits(pl_generation *g, const pl_options *o);

// It is loaded beside one that serves, which goes on whatever becomes of it.
static inline bool pl_generation_is_beside(const pl_generation *g) {
  return g->state == PL_GENERATION_LOADING && g->number > 1;
}

static inline bool pl_generation_has_hook(const pl_generation *g, pl_hook hook) {
  return g->hooks[hook] >= 0;
}
// Runs a hook in a task; NULL as above. `given` is an encoded list of arguments, or NULL;
// *returned, unless NULL, becomes an encoded list of results. Both are needed until `done`.
pl_task *pl_generation_run_hook(pl_generation *g, pl_hook hook, const pl_slice *given,
                                pl_slice **returned, pl_generation_done *done);

// Another generation serves now. `swept` follows when the tasks that work for nobody have ended.
// What serves calls goes on until they are over, at most for `drain_us` (0: for ever); then
// on_close runs, the VM is closed in pieces, and pl_script_generation_gone tells the script, which
// frees it.
void pl_generation_drain(pl_generation *g, uint64_t drain_us, void (*swept)(void *user),
                         void *user);
// It never served: closes it in the same way, without on_close.
void pl_generation_discard(pl_generation *g);
// The last of its actions is gone from the node.
void pl_generation_actions_gone(pl_generation *g);

pl_generation *pl_generation_of(lua_State *L);
