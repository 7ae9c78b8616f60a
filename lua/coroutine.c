// The library `coroutine`. A wait of the runtime below one of the script's own coroutines is passed
// outward, level by level, and back in when it is over:
//
//   scheduler --resume--> task --resume--> generator --wait--> [yield with vm->pass set]
//                          |<--- yields the mark itself <---|
//
// A yield with vm->pass clear is the script's own and ends at the resume next to it.

#include <lauxlib.h>

#include "lua/core.h"

static lua_State *check_thread(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  return co;
}

lua_State *pl_coroutine_inner(lua_State *co) {
  lua_Debug ar;
  if (!pl_is_waiting(co) || !lua_getstack(co, 0, &ar) || !lua_checkstack(co, 2)) return NULL;
  lua_State *inner = NULL;
  lua_getinfo(co, "f", &ar);
  lua_CFunction f = lua_tocfunction(co, -1);
  if (f == pl_co_wrapped && lua_getupvalue(co, -1, 1) != NULL) {
    inner = lua_tothread(co, -1);
    lua_pop(co, 1);
  } else if (f == pl_co_resume && lua_getlocal(co, &ar, 1) != NULL) {
    inner = lua_tothread(co, -1);
    lua_pop(co, 1);
  }
  lua_pop(co, 1);
  return inner;
}

// Resuming.

typedef enum kind { RESUME, WRAP } kind;

static int fail_wrap(lua_State *L, lua_State *co) {
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    // The body has been unwound by its own protected call: only the message is left.
    status = lua_resetthread(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int deliver_error(lua_State *L, lua_State *co, kind how) {
  if (how == WRAP) {
    if (lua_status(co) == LUA_OK || lua_status(co) == LUA_YIELD) lua_xmove(co, L, 1);
    return fail_wrap(L, co);
  }
  lua_xmove(co, L, 1);
  pl_note_caught(L, lua_status(co));
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int deliver(lua_State *L, lua_State *co, int n, kind how) {
  if (!lua_checkstack(L, n + 1)) {
    lua_pop(co, n);
    if (how == WRAP) return luaL_error(L, "too many results to resume");
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "too many results to resume");
    return 2;
  }
  if (how == RESUME) lua_pushboolean(L, 1);
  lua_xmove(co, L, n);
  return n + (how == RESUME);
}

static int resume_again(lua_State *L, int status, lua_KContext how);

static int drive(lua_State *L, lua_State *co, int nargs, kind how) {
  pl_vm *vm = pl_vm_of(L);
  pl_level level = {co, vm->level};
  unsigned noyield = vm->noyield;
  // Under a resumer that is not ours nothing may be passed outward either.
  if (!lua_isyieldable(L) || L != vm->running) vm->noyield++;
  lua_State *running = vm->running;
  vm->level = &level;
  vm->running = co;
  int n;
  int status = lua_resume(co, L, nargs, &n);
  vm->running = running;
  vm->level = level.outer;
  vm->noyield = noyield;
  if (status == LUA_OK) return deliver(L, co, n, how);
  if (status != LUA_YIELD) return deliver_error(L, co, how);
  if (vm->pass == PL_PASS_NONE) return deliver(L, co, n, how);
  lua_pushlightuserdata(L, (void *)&pl_mark);
  return lua_yieldk(L, 1, (lua_KContext)how, resume_again);
}

static int resume_again(lua_State *L, int status, lua_KContext how) {
  (void)status;
  lua_pop(L, 1);  // the mark
  lua_State *co = how == WRAP ? lua_tothread(L, lua_upvalueindex(1)) : lua_tothread(L, 1);
  return drive(L, co, 0, (kind)how);
}

static int refuse(lua_State *L, const char *message, kind how) {
  if (how == WRAP) return luaL_error(L, "%s", message);
  lua_pushboolean(L, 0);
  lua_pushstring(L, message);
  return 2;
}

int pl_co_resume(lua_State *L) {
  lua_State *co = check_thread(L);
  int nargs = lua_gettop(L) - 1;
  if (pl_is_waiting(co)) return refuse(L, "cannot resume non-suspended coroutine", RESUME);
  if (!lua_checkstack(co, nargs)) return refuse(L, "too many arguments to resume", RESUME);
  luaL_checkstack(L, 4, NULL);
  lua_xmove(L, co, nargs);
  return drive(L, co, nargs, RESUME);
}

// The body of a wrapped function. It is a protected call so that, on the way out of an error, the
// `<close>` variables run where they may wait, and the traceback is not lost.
static int end_wrapped(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  return lua_gettop(L) - 1;
}

int pl_co_run_wrapped(lua_State *L) {
  lua_pushcfunction(L, pl_task_on_error);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, end_wrapped);
  return end_wrapped(L, status, 0);
}

int pl_co_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int nargs = lua_gettop(L);
  if (pl_is_waiting(co)) return refuse(L, "cannot resume non-suspended coroutine", WRAP);
  // Before its first resume it holds pl_co_run_wrapped and the function.
  bool fresh = lua_status(co) == LUA_OK && lua_gettop(co) == 2;
  if (!lua_checkstack(co, nargs)) return refuse(L, "too many arguments to resume", WRAP);
  luaL_checkstack(L, 4, NULL);
  lua_xmove(L, co, nargs);
  return drive(L, co, nargs + fresh, WRAP);
}

// The rest of the library.

static int co_create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int co_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushcfunction(co, pl_co_run_wrapped);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, pl_co_wrapped, 1);
  return 1;
}

static int co_yield (lua_State *L) {
  pl_task *t = pl_vm_of(L)->current;
  if (t != NULL && t->co == L) return pl_task_yield(L, t);
  return lua_yield(L, lua_gettop(L));
}

static const char *status_of(lua_State *L, lua_State *co) {
  if (L == co) return "running";
  lua_Debug ar;
  switch (lua_status(co)) {
    case LUA_YIELD: return pl_is_waiting(co) ? "normal" : "suspended";
    case LUA_OK:
      if (lua_getstack(co, 0, &ar)) return "normal";
      return lua_gettop(co) == 0 ? "dead" : "suspended";
    default: return "dead";
  }
}

static int co_status(lua_State *L) {
  lua_pushstring(L, status_of(L, check_thread(L)));
  return 1;
}

static int co_isyieldable(lua_State *L) {
  lua_State *co = lua_isnone(L, 1) ? L : check_thread(L);
  lua_pushboolean(L, lua_isyieldable(co));
  return 1;
}

static int co_running(lua_State *L) {
  pl_task *t = pl_vm_of(L)->current;
  if (t != NULL && t->co == L) t->escaped = true;
  lua_pushboolean(L, lua_pushthread(L));
  return 2;
}

static int co_close(lua_State *L) {
  lua_State *co = check_thread(L);
  const char *status = status_of(L, co);
  if (status[0] != 's' && status[0] != 'd') {
    return luaL_error(L, "cannot close a %s coroutine", status);
  }
  pl_vm *vm = pl_vm_of(L);
  if (vm->closing >= 100) return luaL_error(L, "C stack overflow");
  pl_entry e;
  pl_vm_enter(vm, &e, co, vm->current);
  vm->closing++;
  int result = lua_resetthread(co);
  vm->closing--;
  pl_vm_leave(vm, &e);
  lua_pushboolean(L, result == LUA_OK);
  if (result == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

int pl_open_coroutine(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"create", co_create},
      {"resume", pl_co_resume},
      {"running", co_running},
      {"status", co_status},
      {"wrap", co_wrap},
      {"yield", co_yield },
      {"close", co_close},
      {"isyieldable", co_isyieldable},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
