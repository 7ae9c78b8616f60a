// Values to be sent, as the memory of a VM allows it: without a copy of what is long.

#include "base/limits.h"
#include "lua/pass.h"
#include "lua/value_impl.h"
#include "lua/vm.h"

void pl_values_pack(lua_State *L, pl_codec codec, int first, int n, const char *root, size_t max,
                    pl_parts *out) {
  pl_buf *scratch = pl_vm_scratch(pl_vm_of(L));
  pl_encoder e = pl_encoder_of(L, root, max, scratch);
  pl_bytes tail = {0};
  e.tail = &tail;
  e.passes = true;
  pl_pass_begin(L);
  pl_encode_list(&e, codec, first, n);
  bool is_long = pl_buf_len(scratch) > PL_COPY_MAX;
  out->head =
      is_long ? pl_buf_take(scratch) : pl_bytes_of(pl_buf_data(scratch), pl_buf_len(scratch));
  out->tail = tail;
}
