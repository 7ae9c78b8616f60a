// Compiling the text of a script or of a module. A large one would hold up the loop (45 ms for 1
// MiB on a usual machine), so it is done on a thread of the pool of file work, in a state of its
// own; what comes back is Lua's binary form of it, which takes a seventh of the time to load.
// Nobody outside ever brings such a form: text only.
#pragma once

#include <lua.h>

// A function of Lua. (origin: light userdata, pl_origin) -> the function, or nil and why not. Waits
// where the text is large and the running task can; the origin may be gone when it returns.
int pl_compile(lua_State *L);
