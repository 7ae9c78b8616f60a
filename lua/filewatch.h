// perilune.core.fs: being told of changes of a file or folder.
#pragma once

#include <lua.h>

// watch(path) -> watcher with next() -> name or nil, kind; nothing at the end. The kinds are
// "change", "rename" (appeared, vanished or renamed) and "overflow" (changes were lost).
int pl_filewatch_open(lua_State *L);
void pl_filewatch_register(lua_State *L);
