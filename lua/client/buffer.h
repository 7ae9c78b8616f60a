// Memory for what is encoded, which the collector frees: encoding may raise.
#pragma once

#include <lua.h>

#include "base/buf.h"

// Empty. [-0, +1]
pl_buf *pl_buffer_push(lua_State *L);
