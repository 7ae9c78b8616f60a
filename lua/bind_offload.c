// perilune.core.offload: mesh.offload.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/guard.h"
#include "lua/modules.h"
#include "lua/pool.h"
#include "lua/script.h"
#include "lua/task.h"
#include "lua/value.h"

typedef struct errand {
  pl_pooled work;
  pl_op op;
  pl_guard *guard;  // of the waiting function
} errand;

static void free_errand(void *object) {
  errand *e = object;
  pl_offload_job_fini(&e->work.job);
  pl_free(e);
}

static void on_done(pl_pooled *p) {
  pl_op_wake(&pl_container(p, errand, work)->op);
}

static void discard(pl_pooled *p) {
  free_errand(pl_container(p, errand, work));
}

static const pl_pooled_type errand_type = {.done = on_done, .discard = discard};

// The wait.

static int finish(lua_State *L, pl_op *op) {
  errand *e = pl_container(op, errand, op);
  const pl_offload_job *job = &e->work.job;
  if (job->failure.code != PL_OK) {
    pl_error_push(L, &job->failure);
    pl_guard_free(e->guard);
    return lua_error(L);
  }
  pl_bytes results = pl_bytes_of(pl_buf_data(&job->results), pl_buf_len(&job->results));
  int n = pl_values_decode(L, PL_CODEC_MSGPACK, results);
  pl_guard_free(e->guard);
  return n;
}

static void cancel(pl_op *op) {
  errand *e = pl_container(op, errand, op);
  e->guard->object = NULL;
  pl_pool_cancel(&e->work);
}

static const pl_op_type op_type = {"mesh.offload", finish, cancel};

// Who asks: one for each VM, from its first job to its end.

static const char employer_key;

static int employer_gc(lua_State *L) {
  pl_employer **box = lua_touserdata(L, 1);
  if (*box != NULL) pl_employer_close(*box);
  *box = NULL;
  return 0;
}

static pl_employer *employer_of(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &employer_key) != LUA_TNIL) {
    pl_employer *e = *(pl_employer **)lua_touserdata(L, -1);
    lua_pop(L, 1);
    return e;
  }
  lua_pop(L, 1);
  pl_employer **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, employer_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  pl_employer *e = pl_employer_new(pl_vm_of(L));
  if (e == NULL) pl_raise_io(L, UV_EMFILE, "start", "offloaded work");
  *box = e;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &employer_key);
  return e;
}

// What to do.

static int write_code(lua_State *L, const void *data, size_t len, void *user) {
  (void)L;
  return pl_buf_append(user, data, len) ? 0 : 1;
}

// The function at 1 must be whole without what is around it.
static void check_upvalues(lua_State *L) {
  const char *name;
  for (int i = 1; (name = lua_getupvalue(L, 1, i)) != NULL; i++) {
    bool env = strcmp(name, "_ENV") == 0;
    lua_pushglobaltable(L);
    if (env && !lua_rawequal(L, -1, -2))
      luaL_error(L, "mesh.offload: the function has an _ENV of its own");
    if (!env)
      luaL_error(L,
                 "mesh.offload: the function uses the local '%s' around it, which does not go with "
                 "it; give it as an argument, or use a module",
                 name);
    lua_pop(L, 2);
  }
}

static void put_code(lua_State *L, pl_offload_job *job) {
  lua_pushvalue(L, 1);
  if (lua_dump(L, write_code, &job->code, false) != 0)
    pl_raise_code(L, PL_NO_MEMORY, PL_NOT_EXECUTED, "mesh.offload: no memory for the function");
  lua_pop(L, 1);
}

static void check_work(lua_State *L) {
  int type = lua_type(L, 1);
  if (type == LUA_TFUNCTION) {
    if (lua_iscfunction(L, 1)) luaL_error(L, "mesh.offload: a function of C cannot be offloaded");
    check_upvalues(L);
  } else if (type != LUA_TSTRING) {
    luaL_error(L, "mesh.offload: a function, or the name of a module, is expected, got %s",
               luaL_typename(L, 1));
  } else if (lua_type(L, 2) != LUA_TSTRING) {
    luaL_error(L, "mesh.offload: the name of a function of '%s' is expected, got %s",
               lua_tostring(L, 1), luaL_typename(L, 2));
  }
}

static void set_limits(lua_State *L, pl_offload_job *job, const pl_options *o) {
  const pl_vm_options *vm = pl_vm_settings(pl_vm_of(L));
  job->memory_limit = vm->memory_limit;
  job->cleanup_grace_us = vm->cleanup_grace_us;
  job->cpu_limit_us = (uint64_t)(o->offload_cpu_limit * 1e6);
  job->max_message = (size_t)o->max_message;
}

static unsigned thread_count(const pl_options *o) {
  return o->offload_threads > 0 ? (unsigned)o->offload_threads : uv_available_parallelism();
}

static int refuse(lua_State *L, uint32_t retry_ms) {
  pl_failure f = pl_failure_of(PL_BUSY, PL_NOT_EXECUTED,
                               "mesh.offload: too much of this script waits for a thread");
  f.retry_after_ms = retry_ms;
  return pl_raise(L, &f);
}

// offload(function, …) or offload(module, name, …) -> what it returns
static int l_offload(lua_State *L) {
  pl_op_check(L, &op_type);
  check_work(L);
  const pl_script *s = pl_script_of(L);
  if (s == NULL) return luaL_error(L, "mesh.offload: only in a script");
  const pl_options *o = pl_script_options(s);
  int top = lua_gettop(L);
  bool is_function = lua_isfunction(L, 1);
  int first = is_function ? 2 : 3;
  pl_employer *employer = employer_of(L);
  pl_guard *guard = pl_guard_push(L, free_errand);
  errand *e = pl_new(errand);
  guard->object = e;
  e->guard = guard;
  e->op.type = &op_type;
  e->work.type = &errand_type;
  pl_offload_job *job = &e->work.job;
  set_limits(L, job, o);
  if (is_function) {
    put_code(L, job);
  } else {
    job->module = pl_strdup(lua_tostring(L, 1));
    job->name = pl_strdup(lua_tostring(L, 2));
  }
  pl_values_encode(L, PL_CODEC_MSGPACK, first, top - first + 1, "args", job->max_message,
                   &job->args);
  if (pl_pool_submit(employer, &e->work, thread_count(o)) != PL_OK) {
    pl_guard_free(guard);
    return refuse(L, pl_pool_retry_ms(employer));
  }
  return pl_op_wait(L, &e->op);
}

int pl_open_offload(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_offload);
  lua_setfield(L, -2, "offload");
  return 1;
}
