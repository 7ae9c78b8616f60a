// The C modules of the embedding. X(name, opener): `require 'perilune.core.<name>'` calls the
// opener, which pushes one table. They are the raw material of stdlib/perilune/*.lua and not meant
// for scripts.
#pragma once

#include <lua.h>

#define PL_LUA_MODULES(X)       \
  X(value, pl_open_value)       \
  X(task, pl_open_task)         \
  X(group, pl_open_group)       \
  X(error, pl_open_error)       \
  X(fs, pl_open_fs)             \
  X(folder, pl_open_folder)     \
  X(process, pl_open_process)   \
  X(dns, pl_open_dns)           \
  X(sys, pl_open_sys)           \
  X(codec, pl_open_codec)       \
  X(crypto, pl_open_crypto)     \
  X(node, pl_open_node)         \
  X(streams, pl_open_streams)   \
  X(monitor, pl_open_monitor)   \
  X(call, pl_open_call)         \
  X(action, pl_open_action)     \
  X(state, pl_open_state)       \
  X(reload, pl_open_reload)     \
  X(inspect, pl_open_inspect)   \
  X(offload, pl_open_offload)   \
  X(sim, pl_open_sim)           \
  X(terminal, pl_open_terminal) \
  X(histogram, pl_open_histogram)

#define X(name, opener) int opener(lua_State *L);
PL_LUA_MODULES(X)
#undef X

// guess(word, list) -> the text of the list that somebody may have meant by the word, or nil. Of a
// list only the first thousand count.
int pl_sys_guess(lua_State *L);
