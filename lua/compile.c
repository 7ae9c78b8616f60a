#include "lua/compile.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/alloc.h"
#include "lua/core.h"
#include "lua/fileop.h"
#include "lua/origins.h"

enum { DIRECT_MAX = 64 * 1024 };  // bytes of a text: 3 ms

// On a thread of the pool.

static int put_code(lua_State *L, const void *part, size_t len, void *user) {
  (void)L;
  return pl_buf_append(user, part, len) ? 0 : 1;
}

// What the text of `o` comes to: the function in binary form, or why it is none. Nothing here can
// raise: lua_load is protected, and nothing beside it asks for memory.
static int compile(lua_State *L, const pl_fileop *o, pl_buf *out) {
  const char *text = (const char *)pl_buf_data(&o->data);
  int status = luaL_loadbufferx(L, text, pl_buf_len(&o->data), o->to, "t");
  if (status == LUA_OK) return lua_dump(L, put_code, out, 0) == 0 ? LUA_OK : LUA_ERRMEM;
  size_t len;
  const char *why = lua_tolstring(L, -1, &len);
  return pl_buf_append(out, why, len) ? status : LUA_ERRMEM;
}

static void run(pl_fileop *o) {
  pl_alloc_state memory = {.limit = o->limit, .enforce = true};
  lua_State *L = lua_newstate(pl_alloc_lua, &memory);
  pl_buf out = {0};
  o->flags = L == NULL ? LUA_ERRMEM : compile(L, o, &out);
  if (L != NULL) lua_close(L);
  pl_alloc_fini(&memory);
  pl_buf_fini(&o->data);
  o->data = out;
}

// In the VM.

static int fail(lua_State *L) {
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int push(lua_State *L, pl_fileop *o) {
  const char *data = (const char *)pl_buf_data(&o->data);
  size_t len = pl_buf_len(&o->data);
  if (o->flags == LUA_ERRMEM) lua_newuserdatauv(L, (size_t)1 << 60, 0);  // raises as usual
  if (o->flags != LUA_OK) {
    lua_pushlstring(L, data, len);
    return fail(L);
  }
  return luaL_loadbufferx(L, data, len, o->to, "b") == LUA_OK ? 1 : fail(L);
}

static const pl_fileop_type compile_type = {
    .op = PL_FILEOP("load"), .verb = "load", .run = run, .push = push, .slow = true};

static char *chunk_name(const char *path) {
  size_t size = strlen(path) + 2;
  char *name = pl_alloc(size);
  snprintf(name, size, "@%s", path);
  return name;
}

int pl_compile(lua_State *L) {
  const pl_origin *s = lua_touserdata(L, 1);
  const pl_vm *vm = pl_vm_of(L);
  const pl_bytes text = pl_origin_text(s);
  bool waits = vm->options.loop->uv != NULL && !vm->options.offloaded && pl_can_suspend(vm, L);
  if (text.len <= DIRECT_MAX || !waits) return pl_origin_load(L, s) == LUA_OK ? 1 : fail(L);
  pl_fileop *o = pl_fileop_new(L, &compile_type, s->path, NULL);
  o->to = chunk_name(s->path);
  o->limit = vm->options.memory_limit;
  pl_fileop_copy(L, o, text.data, text.len);
  return pl_fileop_run(L, o);
}
