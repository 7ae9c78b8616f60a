// What is shown with an error of a script: the line of its text, and what may have been meant. The
// thread of the VM.
#pragma once

#include <lua.h>
#include <stdbool.h>

// Keeps the functions of Lua that hints are looked for with, before a script can replace them: it
// is done where nothing can be preempted, so none of a script may run. [-0, +0]
void pl_open_hints(lua_State *L);

// Pushes a text of whole lines, without the last newline, or nil when there is nothing to say, or
// no more Lua is run than must be (a sandboxed script), or it failed. It takes a few milliseconds
// at most, whatever the script is like. `message` is the error as it is shown, `traceback` NULL or
// that of where it arose. Variables are those of the innermost function of a script from that level
// on, in a message handler the one that failed. `typed` NULL, or the text of the chunk "repl". Runs
// Lua, protected.
// [-0, +1]
void pl_hint_push(lua_State *L, int level, const char *message, const char *traceback,
                  const char *typed);

// Whether an error is a slip in the text of the script, and not something it raised on purpose.
bool pl_hint_is_slip(const char *message);
