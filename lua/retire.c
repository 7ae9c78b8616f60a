// The end of a VM in pieces. lua_close visits every object at once, which takes longer than the
// node may stand still when they are many: so what the script holds is let go first, and collected
// in steps; little is left for lua_close. Finalizers run meanwhile, with everything they refer to.

#include <lauxlib.h>
#include <lualib.h>

#include "base/mem.h"
#include "lua/core.h"

enum {
  SLICE_US = 1000,
  STEP_SIZE = 9,  // of the collector, as a power of 2: some thousand objects
  // One to end what is under way, one that finds what is let go and runs its finalizers, one that
  // frees that, and one for what it held.
  CYCLES = 4,
};

// Methods of the runtime's objects lead to `require`, which knows the library `package`, in which
// all that was loaded stands, and with it the globals.
static void empty_package(lua_State *L, int registry) {
  if (lua_getfield(L, registry, LUA_LOADED_TABLE) == LUA_TTABLE) {
    lua_pushliteral(L, LUA_LOADLIBNAME);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
      lua_pushliteral(L, "loaded");
      lua_newtable(L);
      lua_rawset(L, -3);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void put_empty_tables(lua_State *L, int registry) {
  lua_newtable(L);
  lua_setfield(L, registry, LUA_LOADED_TABLE);
  lua_newtable(L);
  lua_rawseti(L, registry, LUA_RIDX_GLOBALS);
}

// (string, key): as the methods of strings say that are the only key of upvalue 1, while there are
// any; else as upvalue 2 does.
static int index_string(lua_State *L) {
  lua_settop(L, 2);
  lua_pushnil(L);
  if (lua_next(L, lua_upvalueindex(1))) {
    lua_pop(L, 1);
  } else {
    lua_pushvalue(L, lua_upvalueindex(2));
  }
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  return 1;
}

// A copy of the table at `from` with the functions in C alone. [-0, +1]
static void push_own(lua_State *L, int from) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, from) != 0; lua_pop(L, 1)) {
    if (!lua_iscfunction(L, -1)) continue;
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
}

// Strings always have their methods, and one that the script has added holds its globals. So those
// are held weakly: finalizers find them as long as they hold the library themselves.
static void let_go_of_strings(lua_State *L) {
  int top = lua_gettop(L);
  lua_pushliteral(L, "");
  if (lua_getmetatable(L, -1)) {
    lua_pushliteral(L, "__index");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
      push_own(L, top + 2);  // the next metatable
      lua_createtable(L, 0, 1);
      lua_createtable(L, 0, 1);
      lua_pushliteral(L, "k");
      lua_setfield(L, -2, "__mode");
      lua_setmetatable(L, -2);
      lua_pushvalue(L, top + 3);
      lua_pushboolean(L, true);
      lua_rawset(L, -3);
      push_own(L, top + 3);
      lua_pushcclosure(L, index_string, 2);
      lua_setfield(L, -2, "__index");
      lua_setmetatable(L, top + 1);
    }
  }
  lua_settop(L, top);
}

// Metatables stay, because objects are known by them; so do tables of the runtime.
static int let_go(lua_State *L) {
  lua_pushvalue(L, LUA_REGISTRYINDEX);
  int registry = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, registry) != 0; lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) <= LUA_RIDX_LAST) continue;
    if (!lua_isfunction(L, -1) && !lua_istable(L, -1)) continue;
    lua_pushvalue(L, -2);
    lua_pushboolean(L, false);
    lua_rawset(L, registry);
  }
  empty_package(L, registry);
  put_empty_tables(L, registry);
  let_go_of_strings(L);
  return 0;
}

static void run_steps(pl_work *work) {
  pl_vm *vm = pl_container(work, pl_vm, retire_work);
  pl_loop *loop = vm->options.loop;
  uint64_t until = pl_now_precise_us(loop) + SLICE_US;
  pl_entry e;
  pl_vm_enter(vm, &e, vm->L, NULL);
  do {
    vm->cycles += lua_gc(vm->L, LUA_GCSTEP, 0) != 0;
  } while (vm->cycles < CYCLES && pl_now_precise_us(loop) < until);
  pl_vm_leave(vm, &e);
  if (vm->cycles >= CYCLES) {
    vm->on_retired(vm->retired_user);
    return;
  }
  pl_loop_defer(loop, &vm->retire_work, run_steps);
  pl_loop_end_turn(loop);
}

void pl_vm_retire(pl_vm *vm, void (*retired)(void *user), void *user) {
  vm->on_retired = retired;
  vm->retired_user = user;
  pl_vm_end_tasks(vm);
  pl_task_forget_threads(vm);
  lua_pushcfunction(vm->L, let_go);
  if (lua_pcall(vm->L, 0, 0, 0) != LUA_OK) lua_pop(vm->L, 1);
  lua_gc(vm->L, LUA_GCINC, 0, 0, STEP_SIZE);
  pl_loop_defer(vm->options.loop, &vm->retire_work, run_steps);
}
