// Error objects: tables with code, message, outcome, action, node, traceback, cause, details,
// retry_after, and a metatable whose __tostring reads well in a log.
#pragma once

#include <lua.h>

#include "base/failure.h"

// Pushes the error object of `f`. `cause` and `details` are decoded. [-0, +1]
void pl_error_push(lua_State *L, const pl_failure *f);
// Raises it; never returns (the int lets bindings `return pl_raise(…)`).
int pl_raise(lua_State *L, const pl_failure *f);
// code + formatted message; outcome as given.
int pl_raise_code(lua_State *L, pl_err code, pl_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// For file, process and dns work: code IO_ERROR (NOT_FOUND for ENOENT is not used: that code means
// actions), message "open /x: no such file or directory", details = {errno = "ENOENT"}. `uv_error`
// is negative.
int pl_raise_io(lua_State *L, int uv_error, const char *what, const char *subject);

// Pushes an error value as a person reads it: a table that a script raised is "code: message". Any
// other value as tostring has it; may raise. [-0, +1]
const char *pl_error_push_text(lua_State *L, int index);
// The same outside of a task: a text that fails or does not end is left out.
const char *pl_error_push_shown(lua_State *L, int index);

// The table at the top becomes an error object. [-0, +0]
void pl_error_mark(lua_State *L);
// True when the value is an error object.
bool pl_error_is(lua_State *L, int index);
// The failure that the error value at `index` (any value: object, script table with `code`, string,
// nil) makes of a handler of `action`: api.md section 4. The result owns its bytes
// (pl_failure_drop). Must be called protected: may raise on lack of memory. An error object that a
// handler lets escape keeps its code, the original becomes `cause`, outcome EXECUTED.
pl_failure pl_error_to_failure(lua_State *L, int index, const char *action, const char *traceback);

// The same of the error at the top, protected. [-0, +0]
pl_failure pl_error_take(lua_State *L, const char *action, const char *traceback);

// Code of the error at index if it is an error object, else PL_HANDLER_ERROR.
pl_err pl_error_code(lua_State *L, int index);
