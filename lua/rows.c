#include "lua/rows.h"

#include <lauxlib.h>

#include "lua/error.h"

static int rows_free(lua_State *L) {
  pl_buf_fini(&((pl_rows *)lua_touserdata(L, 1))->data);
  return 0;
}

pl_rows *pl_rows_new(lua_State *L, size_t size) {
  pl_rows *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (pl_rows){.size = size};
  if (luaL_newmetatable(L, "perilune.Rows")) {
    lua_pushcfunction(L, rows_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return r;
}

void pl_rows_add(pl_rows *r, const void *row) {
  r->failed |= !pl_buf_append(&r->data, row, r->size);
}

int pl_rows_push(lua_State *L, const pl_rows *r, void (*push)(lua_State *L, const void *row)) {
  if (r->failed)
    return pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for the list of what is there");
  size_t count = pl_buf_len(&r->data) / r->size;
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push(L, pl_buf_data(&r->data) + i * r->size);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}
