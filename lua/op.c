#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "lua/core.h"
#include "lua/error.h"
#include "lua/state.h"

const char pl_mark = 0;

// Why a wait is not possible: the C function between the script and the scheduler.

// The name under which the function at the top is in a loaded module, as `table.sort`; else NULL.
// Leaves what it pushes. [-0, +?]
static const char *global_name(lua_State *L) {
  int f = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (lua_pushnil(L); lua_next(L, f + 1) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1)) continue;
    for (lua_pushnil(L); lua_next(L, f + 3) != 0; lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, f)) continue;
      const char *module = lua_tostring(L, f + 2), *name = lua_tostring(L, -2);
      return strcmp(module, LUA_GNAME) == 0 ? name : lua_pushfstring(L, "%s.%s", module, name);
    }
  }
  return NULL;
}

static bool is_passage(lua_CFunction f) {
  static const lua_CFunction passages[] = {
#define X(function) function,
      PL_PASSAGES(X)
#undef X
  };
  for (size_t i = 0; i < sizeof passages / sizeof *passages; i++) {
    if (passages[i] == f) return true;
  }
  return false;
}

// The name of the function of `ar` in `co` when it is a boundary, else NULL. Leaves what it pushes.
static const char *boundary_name(lua_State *L, lua_State *co, lua_Debug *ar) {
  if (!lua_checkstack(co, 1) || lua_getinfo(co, "nSf", ar) == 0) return NULL;
  lua_xmove(co, L, 1);
  bool c = ar->what[0] == 'C';
  // A finalizer is called by no function at all.
  bool finalizer = ar->name != NULL && strcmp(ar->name, "__gc") == 0;
  if ((!c && !finalizer) || is_passage(lua_tocfunction(L, -1))) return NULL;
  if (lua_tocfunction(L, -1) == pl_state_update) return "mesh.state:update";
  const char *name = global_name(L);
  if (name != NULL || ar->name == NULL || finalizer) return finalizer ? "__gc" : name;
  bool metamethod = strcmp(ar->namewhat, "metamethod") == 0;
  return lua_pushfstring(L, "%s%s", metamethod ? "__" : "", ar->name);
}

static int raise_at(lua_State *L, lua_State *co, int caller, const char *name,
                    const char *boundary) {
  lua_Debug ar;
  const char *where = "";
  if (lua_getstack(co, caller, &ar) && lua_getinfo(co, "Sl", &ar) && ar.currentline > 0) {
    where = lua_pushfstring(L, " at %s:%d", ar.short_src, ar.currentline);
  }
  return luaL_error(L, "%s cannot wait across a C boundary (%s)%s", name, boundary, where);
}

// Raises the error that names the boundary nearest to the running function of `L`.
static int raise_boundary(lua_State *L, const char *name) {
  luaL_checkstack(L, 16, NULL);
  lua_Debug ar;
  for (const pl_level *level = pl_vm_of(L)->level; level != NULL; level = level->outer) {
    int first = level->co == L ? 1 : 0;
    for (int i = first; lua_getstack(level->co, i, &ar); i++) {
      int top = lua_gettop(L);
      const char *boundary = boundary_name(L, level->co, &ar);
      if (boundary != NULL) return raise_at(L, level->co, i + 1, name, boundary);
      lua_settop(L, top);
    }
  }
  return luaL_error(L, "%s cannot wait across a C boundary", name);
}

void pl_check_suspend(lua_State *L, const char *name) {
  const pl_vm *vm = pl_vm_of(L);
  if (vm->current == NULL) luaL_error(L, "%s can only wait in a task", name);
  if (vm->options.offloaded)
    pl_raise_code(L, PL_UNSUPPORTED, PL_NOT_EXECUTED, "not available in offloaded code: %s", name);
  if (!pl_can_suspend(vm, L)) raise_boundary(L, name);
}

void pl_check_interrupt(lua_State *L, pl_task *t) {
  if (!t->interrupted) return;
  pl_interrupt *outermost = NULL;
  for (pl_scope *s = t->scopes; s != NULL; s = s->outer) {
    pl_interrupt *i = &s->interrupt;
    if (i->why != NULL && (!i->raised || i->caught) && pl_scope_is_active(s)) outermost = i;
  }
  pl_interrupt *i = &t->cancel;
  if (i->why != NULL && (!i->raised || i->caught)) outermost = i;
  if (outermost != NULL) pl_interrupt_raise(L, t, outermost);
}

void pl_op_check(lua_State *L, const pl_op_type *type) {
  pl_check_suspend(L, type->name);
  pl_check_interrupt(L, pl_vm_of(L)->current);
}

static int resume_wait(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  pl_op *op = (pl_op *)ctx;
  pl_task *t = pl_vm_of(L)->current;
  lua_pop(L, 1);        // the mark
  if (t->op == NULL) {  // broken off: the operation is gone
    pl_check_interrupt(L, t);
    return luaL_error(L, "the wait was broken off");
  }
  assert(t->op == op);
  t->op = NULL;
  return op->type->finish(L, op);
}

int pl_op_wait(lua_State *L, pl_op *op) {
  pl_vm *vm = pl_vm_of(L);
  pl_task *t = vm->current;
  assert(L == vm->running && t->op == NULL);
  op->task = t;
  t->op = op;
  t->state = PL_TASK_WAITING;
  t->waits_us = pl_now_us(vm->options.loop);
  t->cpu_ticks = 0;
  vm->pass = PL_PASS_WAIT;
  lua_pushlightuserdata(L, (void *)&pl_mark);
  return lua_yieldk(L, 1, (lua_KContext)op, resume_wait);
}

void *pl_op_space(lua_State *L) {
  return pl_vm_of(L)->current->space;
}

void pl_op_wake(pl_op *op) {
  pl_task *t = op->task;
  assert(t != NULL && t->op == op && t->state == PL_TASK_WAITING);
  op->task = NULL;
  pl_task_make_ready(t);
}

// A chunk.

void pl_task_passed(lua_State *L) {
  pl_vm *vm = pl_vm_of(L);
  if (vm->current != NULL) vm->current->cpu_ticks = 0;
  if (vm->chunks_left > 0) vm->chunks_left--;
}

bool pl_task_had_turn(lua_State *L) {
  const pl_vm *vm = pl_vm_of(L);
  if (!pl_can_suspend(vm, L)) return false;
  return vm->chunks_left == 0 || vm->slice_ticks > 0 || vm->current->cpu_ticks > 0;
}

static int requeue(lua_State *L, lua_CFunction then, lua_KFunction resume) {
  pl_vm *vm = pl_vm_of(L);
  vm->current->cpu_ticks = 0;
  vm->pass = PL_PASS_REQUEUE;
  lua_pushlightuserdata(L, (void *)&pl_mark);
  return lua_yieldk(L, 1, (lua_KContext)then, resume);
}

static int resume_yield(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  lua_pop(L, 1);  // the mark
  pl_check_interrupt(L, pl_vm_of(L)->current);
  return 0;
}

int pl_task_requeue(lua_State *L) {
  return requeue(L, NULL, resume_yield);
}

static int resume_then(lua_State *L, int status, lua_KContext then) {
  resume_yield(L, status, 0);
  return ((lua_CFunction)then)(L);
}

int pl_task_let_others(lua_State *L, lua_CFunction then) {
  return requeue(L, then, resume_then);
}

int pl_task_yield(lua_State *L, pl_task *t) {
  pl_check_suspend(L, "coroutine.yield");
  if (t->type->on_yield == NULL) {
    return luaL_error(L, "attempt to yield a chunk outside an action");
  }
  if (t->interrupted) pl_check_interrupt(L, t);
  pl_op *wait = NULL;
  if (t->type->on_yield(L, lua_gettop(L), &wait, t->user) == PL_STEP_WAIT) {
    return pl_op_wait(L, wait);
  }
  bool had_turn = pl_task_had_turn(L);
  pl_task_passed(L);
  return had_turn ? pl_task_requeue(L) : 0;
}
