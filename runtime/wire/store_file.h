// A store as the bytes of a file. Integers are big-endian.
//
//   "PLSTATE" 1   count of entries (8)
//   an entry:     bytes of the key (4) and of the value (8), when it expires (8), key, value
//   at the end:   FNV-1a, 64 bits, of all before (8)
//
// A value is MessagePack. Times are microseconds since 1970, because the clocks of loops begin anew
// with the machine; the greatest is never. Pure; any thread.
#pragma once

#include "base/buf.h"
#include "base/store.h"

// What the two clocks show at one moment.
typedef struct pl_store_time {
  uint64_t now_us;   // of the loops
  uint64_t wall_us;  // since 1970
} pl_store_time;

// Appends the file of `items`. False: no memory, *out is as before.
bool pl_store_encode(pl_buf *out, const pl_items *items, pl_store_time time);

// Fills the store `into`, which is empty, leaving out what has expired meanwhile. PROTOCOL, with
// *why (static, reads on after "the file"): no file of a store, one of a newer version, cut short,
// damaged; TOO_LARGE: past the limit of the store; NO_MEMORY. Then it is still empty.
pl_err pl_store_decode(pl_store *into, pl_bytes src, pl_store_time time, const char **why);

// Bytes that the file of a store of `limit` bytes can have; SIZE_MAX when that is 0, no bound.
size_t pl_store_file_max(size_t limit);
