#include "lua/inspect.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "lua/core.h"
#include "lua/modules.h"
#include "lua/pack.h"
#include "lua/workers.h"

enum {
  LEVELS = 12,  // of a stack, in which tasks of one group are alike
  SAMPLES = 3,  // ids of a group that are told
  WHERE = LUA_IDSIZE + 16,
};

bool pl_inspect_is_of(const pl_vm *vm, pl_host *h) {
  return vm->host != NULL && pl_host_of(vm->L) == h;
}

// Stacks.

// Tasks of one VM whose stacks have the same hash stand at the same lines.
static uint64_t mix(uint64_t hash, uint64_t value) {
  return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
}

typedef struct stack {
  uint64_t hash;
  int levels;
  char where[WHERE];  // the innermost line of Lua, of the script if there is one
  bool own;           // it is of the script
} stack;

static void read_coroutine(lua_State *co, stack *s) {
  lua_Debug ar;
  for (int i = 0; s->levels < LEVELS && lua_getstack(co, i, &ar); i++, s->levels++) {
    lua_getinfo(co, "Sl", &ar);
    s->hash = mix(mix(s->hash, (uint64_t)(uintptr_t)ar.source), (uint64_t)(unsigned)ar.currentline);
    bool own = ar.source[0] == '@';  // the standard library is in no file
    if (ar.currentline <= 0 || s->own || (s->where[0] != '\0' && !own)) continue;
    s->own = own;
    snprintf(s->where, sizeof s->where, "%s:%d", ar.short_src, ar.currentline);
  }
}

// The innermost coroutine first.
static void read_chain(lua_State *co, stack *s) {
  lua_State *inner = pl_coroutine_inner(co);
  if (inner != NULL) read_chain(inner, s);
  read_coroutine(co, s);
}

// ps: groups of tasks that stand at the same place.

typedef struct group {
  pl_task *first;
  char where[WHERE];
  size_t count;
  uint64_t waited_us;  // the longest
  uint64_t cpu_us;     // of all
  uint64_t ids[SAMPLES];
} group;

typedef struct listing {
  pl_buf groups;    // of group
  pl_map by_stack;  // hash -> index + 1
  pl_buf members;   // of member, the first tasks
  size_t tasks, group_count, member_count;
  uint64_t now_us;
  bool failed;
} listing;

typedef struct member {
  pl_task *task;
  size_t group;
} member;

static uint64_t waited(const pl_task *t, uint64_t now_us) {
  return t->state == PL_TASK_WAITING ? now_us - t->waits_us : 0;
}

static const char *wait_name(const pl_task *t) {
  return t->state == PL_TASK_WAITING && t->op != NULL ? t->op->type->name : NULL;
}

static uint64_t key_of(const pl_task *t, const stack *s, const pl_task_about *about) {
  uint64_t hash = mix(s->hash, (uint64_t)(uintptr_t)t->vm);
  hash = mix(hash, (uint64_t)(uintptr_t)t->type);
  hash = mix(hash, (uint64_t)(uintptr_t)wait_name(t));
  for (size_t i = 0; i < about->action.len; i++)
    hash = mix(hash, about->action.data[i]);
  return hash;
}

static pl_task_about about_of(pl_task *t) {
  pl_task_about about = {0};
  if (t->type->about != NULL) t->type->about(t->user, &about);
  return about;
}

static group *group_at(const listing *l, size_t i) {
  return (group *)(void *)(l->groups.data + i * sizeof(group));
}

// The group's index; `group_count` when there is no room for another.
static size_t find_group(listing *l, pl_task *t) {
  stack s = {0};
  if (t->co != NULL && t->started) read_chain(t->co, &s);
  const pl_task_about about = about_of(t);
  uint64_t key = key_of(t, &s, &about);
  size_t known = (size_t)(uintptr_t)pl_map_find(&l->by_stack, key);
  if (known > 0) return known - 1;
  if (l->group_count == PL_PS_GROUPS) return l->group_count;
  group g = {.first = t};
  memcpy(g.where, s.where, sizeof g.where);
  if (!pl_buf_append(&l->groups, &g, sizeof g)) {
    l->failed = true;
    return l->group_count;
  }
  l->group_count++;
  pl_map_put(&l->by_stack, key, (void *)(uintptr_t)l->group_count);
  return l->group_count - 1;
}

static void add_task(listing *l, pl_task *t) {
  l->tasks++;
  if (l->tasks > PL_PS_LOOKED) return;
  size_t index = find_group(l, t);
  if (index == l->group_count) return;
  group *g = group_at(l, index);
  if (g->count < SAMPLES) g->ids[g->count] = t->id;
  g->count++;
  g->cpu_us += (uint64_t)t->cpu_total * PL_TICK_US;
  if (waited(t, l->now_us) > g->waited_us) g->waited_us = waited(t, l->now_us);
  if (l->member_count == PL_PS_TASKS) return;
  const member m = {t, index};
  if (pl_buf_append(&l->members, &m, sizeof m)) l->member_count++;
}

static const char *state_name(const pl_task *t) {
  if (t->state == PL_TASK_WAITING) return "waiting";
  return t->cpu_ticks > 0 ? "computing" : "ready";
}

static void pack_group(pl_pack *k, const group *g) {
  const pl_task *t = g->first;
  const pl_task_about about = about_of(g->first);
  const char *wait = wait_name(t);
  size_t ids = g->count < SAMPLES ? g->count : SAMPLES;
  size_t fields = 8;
  fields += about.action.len > 0;
  fields += wait != NULL;
  fields += g->where[0] != 0;
  pl_pack_map(k, fields);
  pl_pack_text(k, "script");
  pl_pack_text(k, t->vm->options.name);
  pl_pack_text(k, "generation");
  pl_pack_uint(k, t->vm->options.generation);
  pl_pack_text(k, "kind");
  pl_pack_text(k, t->type->name);
  pl_pack_text(k, "state");
  pl_pack_text(k, state_name(t));
  pl_pack_text(k, "count");
  pl_pack_uint(k, g->count);
  pl_pack_text(k, "waited");
  pl_pack_seconds(k, g->waited_us);
  pl_pack_text(k, "cpu");
  pl_pack_seconds(k, g->cpu_us);
  pl_pack_text(k, "ids");
  pl_pack_array(k, ids);
  for (size_t i = 0; i < ids; i++)
    pl_pack_uint(k, g->ids[i]);
  if (about.action.len > 0) {
    pl_pack_text(k, "action");
    pl_pack_bytes(k, about.action.data, about.action.len);
  }
  if (wait != NULL) {
    pl_pack_text(k, "waits_for");
    pl_pack_text(k, wait);
  }
  if (g->where[0] != '\0') {
    pl_pack_text(k, "at");
    pl_pack_text(k, g->where);
  }
}

static void pack_member(pl_pack *k, const member *m, uint64_t now_us) {
  const pl_task *t = m->task;
  const pl_task_about about = about_of(m->task);
  bool called = about.action.len > 0;
  pl_pack_map(k, called ? 7 : 5);
  pl_pack_text(k, "id");
  pl_pack_uint(k, t->id);
  pl_pack_text(k, "group");
  pl_pack_uint(k, m->group + 1);
  pl_pack_text(k, "age");
  pl_pack_seconds(k, now_us - t->made_us);
  pl_pack_text(k, "waited");
  pl_pack_seconds(k, waited(t, now_us));
  pl_pack_text(k, "cpu");
  pl_pack_seconds(k, (uint64_t)t->cpu_total * PL_TICK_US);
  if (!called) return;
  pl_pack_text(k, "caller");
  pl_pack_id(k, &about.caller);
  pl_pack_text(k, "caller_name");
  pl_pack_text(k, about.caller_name != NULL ? about.caller_name : "");
}

static void pack_listing(pl_pack *k, const listing *l, pl_host *h) {
  pl_pack_array(k, 1);
  const pl_workers *workers = pl_host_workers(h);
  pl_pack_map(k, workers != NULL ? 5 : 4);
  pl_pack_text(k, "scripts");
  pl_inspect_pack_scripts(k, h);
  pl_pack_text(k, "count");
  pl_pack_uint(k, l->tasks);
  pl_pack_text(k, "groups");
  pl_pack_array(k, l->group_count);
  for (size_t i = 0; i < l->group_count; i++)
    pack_group(k, group_at(l, i));
  pl_pack_text(k, "tasks");
  pl_pack_array(k, l->member_count);
  for (size_t i = 0; i < l->member_count; i++)
    pack_member(k, (const member *)(void *)(l->members.data + i * sizeof(member)), l->now_us);
  if (workers == NULL) return;
  pl_pack_text(k, "workers");
  pl_workers_pack(workers, k);
}

static void on_ps(pl_request *r, void *user) {
  pl_host *h = user;
  listing l = {.now_us = pl_now_us(pl_node_loop(pl_host_node(h)))};
  for (pl_list *n = pl_vm_all()->next; n != pl_vm_all(); n = n->next) {
    pl_vm *vm = pl_container(n, pl_vm, node);
    if (!pl_inspect_is_of(vm, h)) continue;
    for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next)
      add_task(&l, pl_container(at, pl_task, living));
  }
  pl_pack k = {.failed = l.failed};
  pack_listing(&k, &l, h);
  pl_pack_end(&k, r);
  pl_buf_fini(&l.groups);
  pl_buf_fini(&l.members);
  pl_map_fini(&l.by_stack);
}

// One task.

static void refuse(pl_request *r, pl_err code, const char *why) {
  const pl_failure f = pl_failure_of(code, PL_EXECUTED, why);
  pl_request_end(r, NULL, &f);
}

// The id that is the only argument.
static bool read_id(pl_request *r, uint64_t *id) {
  const pl_bytes args = pl_request_args(r);
  pl_mp_reader in = {args.data, args.data + args.len};
  pl_mp_token list, one;
  bool is = pl_mp_read(&in, &list) == PL_OK && list.kind == PL_MP_ARRAY && list.len == 1 &&
            pl_mp_read(&in, &one) == PL_OK && one.kind == PL_MP_INT && one.v.integer > 0;
  if (is) *id = (uint64_t)one.v.integer;
  return is;
}

// The task whose id the request gives; NULL: the request has been refused.
static pl_task *check_task(pl_request *r, pl_host *h) {
  uint64_t id;
  if (!read_id(r, &id)) {
    refuse(r, PL_INVALID, "the id of a task is expected, a whole number from 1 on");
    return NULL;
  }
  for (pl_list *n = pl_vm_all()->next; n != pl_vm_all(); n = n->next) {
    pl_vm *vm = pl_container(n, pl_vm, node);
    if (!pl_inspect_is_of(vm, h)) continue;
    for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next) {
      pl_task *t = pl_container(at, pl_task, living);
      if (t->id == id) return t;
    }
  }
  char why[64];
  snprintf(why, sizeof why, "no task %llu runs here", (unsigned long long)id);
  refuse(r, PL_NOT_FOUND, why);
  return NULL;
}

static void on_stack(pl_request *r, void *user) {
  pl_task *t = check_task(r, user);
  if (t == NULL) return;
  char *trace = pl_report_trace(t);
  size_t len = trace != NULL ? strlen(trace) : 0;
  pl_pack k = {0};
  pl_pack_array(&k, 1);
  pl_pack_bytes(&k, trace != NULL ? trace : "", len < PL_TRACEBACK_MAX ? len : PL_TRACEBACK_MAX);
  pl_pack_end(&k, r);
  pl_free(trace);
}

static void on_kill(pl_request *r, void *user) {
  pl_task *t = check_task(r, user);
  if (t == NULL) return;
  pl_request_info info;
  pl_request_info_get(r, &info);
  char by[PL_ID_HEX];
  pl_id_format(&info.caller, by);
  const pl_task_about about = about_of(t);
  pl_log_warn(pl_task_vm(t)->options.loop->log, "task killed", pl_f_int("id", (int64_t)t->id),
              pl_f_text("script", t->vm->options.name), pl_f_text("kind", t->type->name),
              pl_f_bytes("action", (const char *)about.action.data, about.action.len),
              pl_f_text("by", by));
  const pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "it was killed");
  pl_task_kill(t, &why);
  pl_pack k = {0};
  pl_pack_array(&k, 0);
  pl_pack_end(&k, r);
}

// perilune.core.inspect: what a script may know of its own tasks, for tests.

// [-0, +1]
static void push_living(lua_State *L, pl_task *t) {
  stack s = {0};
  if (t->co != NULL && t->started) read_chain(t->co, &s);
  const pl_task_about about = about_of(t);
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, (lua_Integer)t->id);
  lua_setfield(L, -2, "id");
  lua_pushstring(L, t->type->name);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, wait_name(t));
  lua_setfield(L, -2, "waits_for");
  if (s.where[0] != '\0') {
    lua_pushstring(L, s.where);
    lua_setfield(L, -2, "at");
  }
  if (about.action.len == 0) return;
  lua_pushlstring(L, (const char *)about.action.data, about.action.len);
  lua_setfield(L, -2, "action");
}

// living(after) -> list of {id, kind, waits_for, at, action}: tasks of this VM that have not ended,
// made later than the one with the id `after`, but for the one that asks
static int l_living(lua_State *L) {
  uint64_t after = (uint64_t)luaL_checkinteger(L, 1);
  const pl_vm *vm = pl_vm_of(L);
  lua_newtable(L);
  for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next) {
    pl_task *t = pl_container(at, pl_task, living);
    if (t->id <= after || t == vm->current) continue;
    push_living(L, t);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

// cancel(id): the task of this VM with that id, if there is one
static int l_cancel(lua_State *L) {
  uint64_t id = (uint64_t)luaL_checkinteger(L, 1);
  const pl_vm *vm = pl_vm_of(L);
  const pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "it was left behind");
  for (pl_list *at = vm->tasks.next; at != &vm->tasks; at = at->next) {
    pl_task *t = pl_container(at, pl_task, living);
    if (t->id != id) continue;
    pl_task_cancel(t, &why);
    break;
  }
  return 0;
}

int pl_open_inspect(lua_State *L) {
  static const luaL_Reg functions[] = {{"living", l_living}, {"cancel", l_cancel}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

void pl_inspect_open(pl_host *h) {
  static const pl_action_ops ps = {.on_start = on_ps};
  static const pl_action_ops trace = {.on_start = on_stack};
  static const pl_action_ops kill = {.on_start = on_kill};
  pl_node *n = pl_host_node(h);
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "ps", &ps, h);
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "stack", &trace, h);
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "kill", &kill, h);
  pl_inspect_open_memory(h);
  pl_inspect_open_describe(h);
  pl_inspect_open_trace(h);
  pl_inspect_open_log(h);
}
