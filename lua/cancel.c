#include <assert.h>
#include <lauxlib.h>

#include "base/mem.h"
#include "lua/core.h"
#include "lua/error.h"

// Interrupts.

static void push_object(lua_State *L, pl_interrupt *i) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, i) != LUA_TNIL) return;
  lua_pop(L, 1);
  pl_error_push(L, i->why);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, i);
}

int pl_interrupt_raise(lua_State *L, pl_task *t, pl_interrupt *i) {
  (void)t;
  i->raised = true;
  i->caught = !pl_timer_active(&i->grace);  // on its way again: cleanup may wait until then
  luaL_checkstack(L, 10, NULL);
  push_object(L, i);
  return lua_error(L);
}

bool pl_is_interrupt(lua_State *L, int index, const pl_interrupt *i) {
  if (!i->raised) return false;
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, i);
  bool same = lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return same;
}

void pl_note_caught(lua_State *L, int status) {
  // For a stack newer releases of Lua do not collect: what has filled the memory and is garbage now
  // must not make the next deep call fail.
  if (status == LUA_ERRMEM) lua_gc(L, LUA_GCCOLLECT);
  pl_task *t = pl_vm_of(L)->current;
  if (t == NULL) return;
  t->trace_live = false;
  if (!t->interrupted || !lua_checkstack(L, 1)) return;
  if (pl_is_interrupt(L, -1, &t->cancel)) t->cancel.caught = true;
  for (pl_scope *s = t->scopes; s != NULL; s = s->outer) {
    if (pl_is_interrupt(L, -1, &s->interrupt)) s->interrupt.caught = true;
  }
}

void pl_interrupt_clear(pl_vm *vm, pl_interrupt *i) {
  pl_timer_stop(&i->grace);
  if (!i->raised) return;
  // Clearing a field that is there needs no memory and cannot raise.
  lua_pushnil(vm->L);
  lua_rawsetp(vm->L, LUA_REGISTRYINDEX, i);
}

void pl_task_break_wait(pl_task *t) {
  if (t->state != PL_TASK_WAITING) return;
  pl_op *op = t->op;
  t->op = NULL;
  op->task = NULL;
  op->type->cancel(op);
  pl_task_make_ready(t);
}

static pl_failure *keep_failure(const pl_failure *why) {
  pl_failure *f = pl_new(pl_failure);
  *f = pl_failure_keep(why);
  return f;
}

// Cancelling a task.

static void on_grace_over(pl_timer *timer) {
  pl_task *t = pl_container(timer, pl_task, cancel.grace);
  t->kill = true;
  pl_task_break_wait(t);
}

static void cancel_one(pl_task *t, const pl_failure *why) {
  if (t->cancel.why != NULL || pl_task_has_ended(t)) return;
  t->cancel.why = keep_failure(why);
  t->interrupted = true;
  t->cpu_ticks = 0;
  pl_task_release(t);
  pl_timer_start(&t->vm->options.loop->clock, &t->cancel.grace, t->vm->options.cleanup_grace_us,
                 on_grace_over);
  pl_task_break_wait(t);
  bool queued = t->state == PL_TASK_READY && !pl_list_empty(&t->node);
  if (queued && !t->started) pl_task_end_soon(t);
}

static pl_task *task_at(pl_list *sibling) {
  return pl_container(sibling, pl_task, sibling);
}

// The next of the tree below `root` in preorder, without recursion: scripts choose the depth.
static pl_task *next_below(pl_task *root, pl_task *t) {
  if (!pl_list_empty(&t->children)) return task_at(t->children.next);
  for (; t != root; t = t->parent) {
    if (t->sibling.next != &t->parent->children) return task_at(t->sibling.next);
  }
  return NULL;
}

void pl_task_cancel(pl_task *t, const pl_failure *why) {
  for (pl_task *at = t; at != NULL; at = next_below(t, at))
    cancel_one(at, why);
}

void pl_task_kill(pl_task *t, const pl_failure *why) {
  if (pl_task_has_ended(t)) return;
  pl_task_cancel(t, why);
  t->kill = true;
  pl_task_break_wait(t);
}

bool pl_task_is_cancelled(const pl_task *t) {
  return t->cancel.why != NULL;
}

// The hard end.

static void keep_trace(pl_task *t) {
  char *trace = pl_report_trace(t);
  if (trace == NULL) return;
  pl_free(t->trace);
  t->trace = trace;
}

static void reset_chain(pl_task *t, lua_State *co) {
  lua_State *inner = pl_coroutine_inner(co);
  if (inner != NULL) reset_chain(t, inner);
  pl_entry e;
  pl_vm_enter(t->vm, &e, co, t);
  pl_vm_reset(t->vm, co);
  pl_vm_leave(t->vm, &e);
}

static int push_failure(lua_State *L) {
  pl_error_push(L, lua_touserdata(L, 1));
  return 1;
}

void pl_task_end_hard(pl_task *t, pl_err code, const char *message) {
  pl_vm *vm = t->vm;
  pl_failure f = pl_failure_of(code, PL_EXECUTED, message);
  bool cancelled = t->cancel.why != NULL;
  t->kill = true;
  t->cpu_ticks = 0;
  if (t->op != NULL) {  // over, and nobody is left to take its results
    pl_op *op = t->op;
    t->op = NULL;
    op->task = NULL;
    op->type->cancel(op);
  }
  if (t->co != NULL && t->started) {
    if (!cancelled) keep_trace(t);
    vm->options.loop->metrics.tasks_killed++;
    reset_chain(t, t->co);
  }
  lua_pushcfunction(vm->L, push_failure);
  lua_pushlightuserdata(vm->L, cancelled ? t->cancel.why : &f);
  lua_pcall(vm->L, 1, 1, 0);
  lua_State *L = vm->L;
  if (t->co != NULL) {  // where those who await it look
    lua_settop(t->co, 0);
    lua_xmove(vm->L, t->co, 1);
    L = t->co;
  }
  if (!cancelled) {
    pl_log_error(vm->options.loop->log, "task ended hard", pl_f_text("script", vm->options.name),
                 pl_f_text("kind", t->type->name), pl_f_text("error", pl_err_name(code)),
                 pl_f_text("traceback", t->trace));
  }
  pl_task_end(t, cancelled ? PL_TASK_CANCELLED : PL_TASK_FAILED, L, 1);
  if (L == vm->L) lua_pop(L, 1);
}

int pl_task_quit(lua_State *L, const char *name, const pl_failure *why) {
  pl_task *t = pl_vm_of(L)->current;
  pl_task_cancel(t, why);
  pl_check_suspend(L, name);
  t->kill = true;
  return pl_task_requeue(L);
}
