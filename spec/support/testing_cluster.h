// Parts of `perilune.testing`.cluster: several hosts in one process, on one loop, and raw links
// to them.
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/loop.h"

typedef struct testing_cluster {
  pl_loop *loop;  // NULL once freed
  lua_State *L;   // of the specs
  pl_buf log;     // what was logged
  pl_timer step;
} testing_cluster;

testing_cluster *testing_check_cluster(lua_State *L, int arg);
// Something happened that a spec may wait for: the running step ends.
void testing_cluster_notify(testing_cluster *c);

// cluster:host(name, script, options, args) and cluster:dial(url)
int testing_cluster_host(lua_State *L);
int testing_cluster_dial(lua_State *L);
void testing_add_raw(lua_State *L);
void testing_add_eval(lua_State *L);
