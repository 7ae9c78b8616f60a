#include "lua/client/buffer.h"

#include "base/mem.h"
#include "lua/guard.h"

static void free_buffer(void *object) {
  pl_buf_fini(object);
  pl_free(object);
}

pl_buf *pl_buffer_push(lua_State *L) {
  pl_guard *g = pl_guard_push(L, free_buffer);
  return g->object = pl_new(pl_buf);
}
