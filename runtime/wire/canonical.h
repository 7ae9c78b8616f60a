// Values that are equal in Lua, as equal bytes: keys of maps sorted, numbers without a fraction as
// integers, text and bytes alike, an empty array as an empty map.
#pragma once

#include "base/buf.h"
#include "base/err.h"

// Appends the form of the one MessagePack value in `src`. PROTOCOL: malformed, nested deeper than
// PL_DEPTH_MAX, or not one value; NO_MEMORY. Then *out holds a part of it.
pl_err pl_mp_canonical(pl_buf *out, pl_bytes src);
