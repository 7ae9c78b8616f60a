// Finalizers of scripts. Lua runs `__gc` without hooks, so a loop in one could not be stopped: here
// each runs in a coroutine of its own, which has them, and gets as much CPU time as a cancelled
// task. It cannot wait.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/core.h"

enum { TICKS = PL_CANCEL_CPU_US / PL_TICK_US, ENOUGH = 10 };

// The finalizer is the upvalue, the object the argument.
static int run_finalizer(lua_State *L) {
  pl_vm *vm = pl_vm_of(L);
  // A script whose finalizers do not end is not asked again and again.
  if (vm->finalizers_stopped >= ENOUGH) return 0;
  lua_settop(L, 1);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 2);

  pl_level level = {co, vm->level};
  lua_State *running = vm->running;
  unsigned outer = vm->finalizer_ticks;
  vm->level = &level;
  vm->running = co;
  vm->noyield++;
  vm->finalizer_ticks = (unsigned)vm->slice_ticks + TICKS;
  int n;
  int status = lua_resume(co, L, 1, &n);
  bool stopped = (unsigned)vm->slice_ticks >= vm->finalizer_ticks;
  vm->noyield--;
  vm->running = running;
  vm->level = level.outer;
  vm->finalizer_ticks = outer;
  if (stopped) vm->finalizers_stopped++;
  if (status == LUA_OK) return 0;
  if (status == LUA_YIELD) return luaL_error(L, "attempt to yield from a finalizer");
  lua_xmove(co, L, 1);
  return lua_error(L);
}

// Puts what bounds it in the place of the finalizer of the metatable at 2, if it has one: also of
// a value that can be called, and of a function in C, which may call anything.
static void bound_finalizer(lua_State *L) {
  if (!lua_istable(L, 2)) return;
  lua_pushliteral(L, "__gc");
  if (lua_rawget(L, 2) == LUA_TNIL || lua_tocfunction(L, -1) == run_finalizer) {
    lua_pop(L, 1);
    return;
  }
  // Its metatable may get another one later, which nothing would bound.
  if (pl_vm_of(L)->options.sandboxed)
    luaL_error(L, "a script in a sandbox has no finalizers (__gc)");
  lua_pushcclosure(L, run_finalizer, 1);
  lua_pushliteral(L, "__gc");
  lua_insert(L, -2);
  lua_rawset(L, 2);
}

// setmetatable and debug.setmetatable, of which one is the upvalue. A finalizer counts when its
// metatable is set.
static int base_setmetatable(lua_State *L) {
  bound_finalizer(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static void wrap(lua_State *L) {
  lua_getfield(L, -1, "setmetatable");
  lua_pushcclosure(L, base_setmetatable, 1);
  lua_setfield(L, -2, "setmetatable");
}

// Replaces setmetatable in the table at the top, and in its `debug`.
void pl_open_finalizers(lua_State *L) {
  wrap(L);
  lua_getfield(L, -1, "debug");
  wrap(L);
  lua_pop(L, 1);
}
