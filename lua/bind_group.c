// perilune.core.group: several tasks awaited together, of which mesh.all, race and scope are made.
//
// The members become children of the task that adds them. A group is a userdata; user value 1 is
// the table task -> handle, which keeps the members alive.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/bind_task.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/modules.h"

#define GROUP_TYPE "perilune.Group"

typedef struct group {
  pl_op op;  // of the one task that waits for the next end
  pl_list pending;
  pl_list ended;    // oldest first
  pl_scope *scope;  // of the body of mesh.scope, while it runs; held by its frame
  pl_task *failed;  // the member whose failure broke that scope; held by its handle
} group;

typedef struct member {
  pl_watcher watcher;
  pl_list node;  // of `pending` or `ended`
  group *group;
  pl_task *task;  // held by its handle
} member;

static group *check_group(lua_State *L) {
  return luaL_checkudata(L, 1, GROUP_TYPE);
}

static void break_scope(group *g, pl_task *t) {
  if (g->scope == NULL || t->state != PL_TASK_FAILED || g->failed != NULL) return;
  g->failed = t;
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "a task of the scope failed");
  pl_scope_break(g->scope, &why);
}

static void move_to_ended(member *m) {
  group *g = m->group;
  pl_list_remove(&m->node);
  pl_list_push(&g->ended, &m->node);
  if (g->op.task != NULL) pl_op_wake(&g->op);
  break_scope(g, m->task);
}

static void on_member_end(pl_watcher *w, pl_task *t) {
  (void)t;
  move_to_ended(pl_container(w, member, watcher));
}

static int group_new(lua_State *L) {
  group *g = lua_newuserdatauv(L, sizeof *g, 1);
  *g = (group){0};
  pl_list_init(&g->pending);
  pl_list_init(&g->ended);
  luaL_setmetatable(L, GROUP_TYPE);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

// group:add(task)
static int group_add(lua_State *L) {
  group *g = check_group(L);
  pl_task *t = pl_check_task(L, 2);
  pl_task *current = pl_vm_of(L)->current;
  luaL_argcheck(L, t != current, 2, "a task cannot await itself");
  lua_getiuservalue(L, 1, 1);
  if (lua_rawgetp(L, -1, t) != LUA_TNIL) return 0;
  lua_pop(L, 1);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, -2, t);
  member *m = pl_try_alloc(sizeof *m);
  if (m == NULL) return pl_raise_code(L, PL_NO_MEMORY, PL_NOT_EXECUTED, "no memory");
  m->group = g;
  m->task = t;
  m->watcher = (pl_watcher){0};
  pl_list_push(&g->pending, &m->node);
  if (pl_task_has_ended(t)) {
    move_to_ended(m);
    return 0;
  }
  pl_task_watch(t, &m->watcher, on_member_end);
  if (t->parent == NULL) pl_task_adopt(t, current);
  pl_task_release(t);
  return 0;
}

static void free_member(member *m) {
  pl_watcher_stop(&m->watcher);
  pl_list_remove(&m->node);
  pl_free(m);
}

// Pushes the handle of the member that ended first and forgets it; nil without any.
static int take_ended(lua_State *L, group *g) {
  if (pl_list_empty(&g->ended)) return 0;
  member *m = pl_container(g->ended.next, member, node);
  lua_getiuservalue(L, 1, 1);
  lua_rawgetp(L, -1, m->task);
  free_member(m);
  return 1;
}

static int finish_next(lua_State *L, pl_op *op) {
  return take_ended(L, pl_container(op, group, op));
}

static void cancel_next(pl_op *op) {
  (void)op;  // the group goes on without anyone waiting
}

static const pl_op_type next_type = {"waiting for tasks", finish_next, cancel_next};

// group:next() -> the next task that ended, nil when all have been returned
static int group_next(lua_State *L) {
  group *g = check_group(L);
  lua_settop(L, 1);
  if (!pl_list_empty(&g->ended)) return take_ended(L, g);
  if (pl_list_empty(&g->pending)) return 0;
  pl_op_check(L, &next_type);
  if (g->op.task != NULL) return luaL_error(L, "another task waits for this group");
  g->op.type = &next_type;
  return pl_op_wait(L, &g->op);
}

// group:cancel(): all that have not ended
static int group_cancel(lua_State *L) {
  group *g = check_group(L);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "no longer needed");
  for (pl_list *node = g->pending.next; node != &g->pending; node = node->next) {
    pl_task_cancel(pl_container(node, member, node)->task, &why);
  }
  return 0;
}

static int group_gc(lua_State *L) {
  group *g = check_group(L);
  while (!pl_list_empty(&g->pending))
    free_member(pl_container(g->pending.next, member, node));
  while (!pl_list_empty(&g->ended))
    free_member(pl_container(g->ended.next, member, node));
  return 0;
}

// 1 group, 2 scope, 3 message handler, results or error
static int end_run(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  group *g = lua_touserdata(L, 1);
  pl_scope *s = lua_touserdata(L, 2);
  bool failed = status != LUA_OK && status != LUA_YIELD;
  bool broken = failed && pl_is_interrupt(L, -1, &s->interrupt);
  g->scope = NULL;
  pl_scope_close(s);
  if (broken) {
    lua_getiuservalue(L, 1, 1);
    lua_rawgetp(L, -1, g->failed);
    return pl_task_push_results(L, -1);  // raises what broke the scope
  }
  return failed ? lua_error(L) : lua_gettop(L) - 3;
}

// group:run(fn, ...) -> what fn returns. Runs in the current task, until a member fails.
int pl_group_run(lua_State *L) {
  group *g = check_group(L);
  luaL_checkany(L, 2);
  pl_task *t = pl_vm_of(L)->current;
  if (t == NULL) return luaL_error(L, "mesh.scope is only possible in a task");
  pl_scope *s = pl_scope_push(L);
  lua_insert(L, 2);
  lua_pushcfunction(L, pl_task_on_error);
  lua_insert(L, 3);
  pl_scope_open(s, L, t, PL_NEVER);
  g->scope = s;
  int status = lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 3, 0, end_run);
  return end_run(L, status, 0);
}

int pl_open_group(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"add", group_add},       {"next", group_next}, {"run", pl_group_run},
      {"cancel", group_cancel}, {NULL, NULL},
  };
  static const luaL_Reg functions[] = {{"new", group_new}, {NULL, NULL}};
  luaL_newmetatable(L, GROUP_TYPE);
  lua_pushcfunction(L, group_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
