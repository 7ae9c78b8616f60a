// Values from the wire against a schema: the check ends, leaves the values alone, and says of the
// same values the same.
#include "lua/schema.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "lua/value.h"
#include "lua/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// As stdlib/perilune/schema.lua makes them, but that the last two refer to each other: tables in
// lists in tables, as deep as the values go.
static const char rows[] =
    "return { { kind = 'values', first = 3, count = 1, extra = true }, { kind = 'any' },\n"
    "  { kind = 'values', first = 3, count = 2 },\n"
    "  { kind = 'map', first = 5, count = 4, extra = true, optional = true },\n"
    "  { kind = 'list', first = 3, count = 1, min = 1, max = 9 },\n"
    "  { kind = 'string', name = 'a', pattern = '^a-.b*$', min = 1, max = 50, optional = true "
    "},\n"
    "  { kind = 'number', name = 'b', min = -1.5, max = 100, optional = true },\n"
    "  { kind = 'enum', name = 'c', first = 10, count = 3, optional = true },\n"
    "  { kind = 'int', name = 'd' },\n"
    "  { kind = 'list', first = 3, count = 1 },\n"
    "  { kind = 'constant', value = 'x' }, { kind = 'constant', value = 1 },\n"
    "  { kind = 'constant', value = true } }";

static const pl_schema *schema;
static pl_codec codec;

static int make(lua_State *L) {
  if (luaL_dostring(L, rows) != LUA_OK) return lua_error(L);
  schema = pl_schema_new(L, -1);
  luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static bool check(lua_State *L, pl_schema_part part, int n) {
  int top = lua_gettop(L);
  bool fits = pl_schema_check(L, schema, part, n);
  if (fits) {
    assert(lua_gettop(L) == top);
  } else {
    assert(lua_istable(L, -1));
  }
  lua_settop(L, top);
  return fits;
}

static int check_all(lua_State *L) {
  const pl_bytes *src = lua_touserdata(L, 1);
  int n = pl_values_decode(L, codec, *src);
  bool params = check(L, PL_SCHEMA_PARAMS, n);
  check(L, PL_SCHEMA_CHUNKS, n);
  assert(check(L, PL_SCHEMA_RETURNS, n));
  assert(check(L, PL_SCHEMA_PARAMS, n) == params);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static pl_vm *vm;
  if (vm == NULL) {
    pl_vm_options o = {.loop = pl_loop_new_virtual(pl_log_new(), 1), .name = "fuzz"};
    vm = pl_vm_new(&o);
    lua_pushcfunction(pl_vm_state(vm), make);
    lua_call(pl_vm_state(vm), 0, 0);
  }
  if (size == 0) return 0;
  codec = (pl_codec)(data[0] & 1);
  pl_bytes src = pl_bytes_of(data + 1, size - 1);
  lua_State *L = pl_vm_state(vm);
  lua_pushcfunction(L, check_all);
  lua_pushlightuserdata(L, &src);
  lua_pcall(L, 1, 0, 0);
  lua_settop(L, 0);
  return 0;
}
