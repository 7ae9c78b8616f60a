// Streams are no values here, whatever the codec asks: those of the embedding belong to a VM. A
// reference to one that arrives stays what it is, bytes that can be given back.

#include "lua/pass.h"

#include <lauxlib.h>

#include "lua/client/stream.h"

bool pl_pass_is_stream(lua_State *L, int index) {
  return luaL_testudata(L, index, PL_ASK_STREAM) != NULL;
}

void pl_pass_encode(pl_encoder *e, int index) {
  (void)index;
  pl_encode_fail(e, "is a stream, which only scripts of a node can pass on");
}

bool pl_pass_push(lua_State *L, const void *bytes, size_t len) {
  (void)L;
  (void)bytes;
  (void)len;
  return false;
}
