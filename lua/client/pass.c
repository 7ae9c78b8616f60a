// Streams are no values here, whatever the codec asks: those of the embedding belong to a VM. A
// reference to one that arrives stays what it is, bytes that can be given back.

#include "lua/pass.h"

bool pl_pass_is_stream(lua_State *L, int index) {
  (void)L;
  (void)index;
  return false;
}

void pl_pass_encode(pl_encoder *e, int index) {
  (void)index;
  pl_encode_fail(e, "is a stream");
}

bool pl_pass_push(lua_State *L, const void *bytes, size_t len) {
  (void)L;
  (void)bytes;
  (void)len;
  return false;
}
