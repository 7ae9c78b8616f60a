// Values from the wire to the Lua stack: what was read and written is read and written the
// same again.
#include "lua/value.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "lua/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pl_codec codec;

static void encode(lua_State *L, int n, pl_buf *out) {
  pl_values_encode(L, codec, lua_gettop(L) - n + 1, n, "values", 1 << 20, out);
}

static int round_trip(lua_State *L) {
  const pl_bytes *src = lua_touserdata(L, 1);
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  encode(L, pl_values_decode(L, codec, *src), out);
  lua_pushlstring(L, (const char *)pl_buf_data(out), pl_buf_len(out));
  pl_bytes first = pl_bytes_of(lua_tostring(L, -1), lua_rawlen(L, -1));
  pl_buf_clear(out);
  encode(L, pl_values_decode(L, codec, first), out);
  assert(pl_buf_len(out) == first.len);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static pl_vm *vm;
  if (vm == NULL) {
    pl_vm_options o = {.loop = pl_loop_new_virtual(pl_log_new(), 1), .name = "fuzz"};
    vm = pl_vm_new(&o);
  }
  if (size == 0) return 0;
  codec = (pl_codec)(data[0] & 1);
  pl_bytes src = pl_bytes_of(data + 1, size - 1);
  lua_State *L = pl_vm_state(vm);
  lua_pushcfunction(L, round_trip);
  lua_pushlightuserdata(L, &src);
  lua_pcall(L, 1, 0, 0);
  lua_settop(L, 0);
  return 0;
}
