#include "spec/support/testing.h"

#include <lauxlib.h>

// One line an area, in alphabetical order: X(buf) is `require('perilune.testing').buf`,
// which testing_open_buf in testing_buf.c pushes.
// clang-format off
#define TESTING_AREAS(X) \
  X(admission) \
  X(balance) \
  X(base) \
  X(cluster) \
  X(flow) \
  X(filework) \
  X(http) \
  X(link) \
  X(lua) \
  X(meters) \
  X(peer) \
  X(process) \
  X(route) \
  X(stdlib) \
  X(store) \
  X(terminal) \
  X(wire)
// clang-format on

#define X(area) void testing_open_##area(lua_State *L);
TESTING_AREAS(X)
#undef X

int testing_open(lua_State *L) {
  lua_newtable(L);
#define X(area)           \
  testing_open_##area(L); \
  lua_setfield(L, -2, #area);
  TESTING_AREAS(X)
#undef X
  return 1;
}
