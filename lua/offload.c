#include "lua/offload.h"

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/modules.h"
#include "lua/sim_process.h"
#include "lua/task.h"
#include "lua/value.h"

struct pl_offload_vm {
  pl_vm *vm;
  pl_loop *own;  // NULL: the loop is of others
  pl_origins replay, sources;
  pl_task *task;        // that runs; one reference
  pl_offload_job *job;  // of it
  void (*on_end)(void *user);
  void *user;
  bool broken;  // a job was ended hard: its module may be in the middle of anything
};

static const char run_key;  // registry: run of perilune.offloaded

void pl_offload_job_fini(pl_offload_job *job) {
  pl_buf_fini(&job->code);
  pl_buf_fini(&job->args);
  pl_buf_fini(&job->results);
  pl_free(job->module);
  pl_free(job->name);
  pl_failure_drop(&job->failure);
}

void pl_offload_job_refuse(pl_offload_job *job) {
  job->failure = pl_failure_of(PL_NO_MEMORY, PL_NOT_EXECUTED, NULL);
  job->ended = true;
}

// What is not there.

static int refuse(lua_State *L) {
  return pl_raise_code(L, PL_UNSUPPORTED, PL_NOT_EXECUTED, "not available in offloaded code: %s",
                       lua_tostring(L, lua_upvalueindex(1)));
}

// [-0, +1]
static void push_refusal(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_pushcclosure(L, refuse, 1);
}

static bool needs_mesh(const char *module) {
  static const char *const able[] = {"value", "error", "fs", "sys", "codec", "crypto"};
  for (size_t i = 0; i < sizeof able / sizeof *able; i++) {
    if (strcmp(module, able[i]) == 0) return false;
  }
  return true;
}

static void limit_module(lua_State *L, const char *name) {
  if (!needs_mesh(name)) return;
  lua_pushfstring(L, "perilune.core.%s", name);
  push_refusal(L, lua_tostring(L, -1));
  lua_rawset(L, -3);
}

static void limit_modules(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
#define X(name, opener) limit_module(L, #name);
  PL_LUA_MODULES(X)
#undef X
  lua_pop(L, 1);
}

// These are of the whole process.
static void limit_os(lua_State *L) {
  lua_getglobal(L, "os");
  push_refusal(L, "os.exit");
  lua_setfield(L, -2, "exit");
  push_refusal(L, "os.setlocale");
  lua_setfield(L, -2, "setlocale");
  lua_pop(L, 1);
}

static int set_up(lua_State *L) {
  limit_modules(L);
  limit_os(L);
  if (pl_vm_loop(pl_vm_of(L))->network != NULL) pl_sim_prelude(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perilune.offloaded");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "run");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &run_key);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -2, "mesh");
  lua_setfield(L, -2, "perilune");
  return 0;
}

// Making.

static bool prepare(pl_vm *vm) {
  lua_State *L = pl_vm_state(vm);
  lua_pushcfunction(L, set_up);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return true;
  pl_log_error(pl_vm_loop(vm)->log, "offloaded code cannot begin",
               pl_f_text("error", lua_tostring(L, -1)));
  lua_pop(L, 1);
  return false;
}

pl_offload_vm *pl_offload_vm_new(const pl_vm_options *options, pl_loop *loop, pl_origins *texts) {
  pl_offload_vm *v = pl_new(pl_offload_vm);
  v->replay = *texts;
  *texts = (pl_origins){0};
  if (loop == NULL) loop = v->own = pl_loop_new_driven(options->loop->log);
  pl_vm_options o = *options;
  o.loop = loop;
  o.offloaded = true;
  o.sources = &v->sources;
  o.replay = &v->replay;
  v->vm = pl_vm_new(&o);
  if (v->vm != NULL && prepare(v->vm)) return v;
  pl_offload_vm_free(v);
  return NULL;
}

void pl_offload_vm_free(pl_offload_vm *v) {
  if (v->vm != NULL) pl_vm_free(v->vm);
  if (v->own != NULL) pl_loop_free(v->own);
  pl_origins_fini(&v->replay);
  pl_origins_fini(&v->sources);
  pl_free(v);
}

// The task of a job.

static int begin(lua_State *L, void *user) {
  const pl_offload_job *job = ((pl_offload_vm *)user)->job;
  int given = 0;
  if (pl_buf_len(&job->code) > 0) {
    const char *code = (const char *)pl_buf_data(&job->code);
    if (luaL_loadbufferx(L, code, pl_buf_len(&job->code), "=offloaded", "b") != LUA_OK)
      return lua_error(L);
  } else {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &run_key);
    lua_pushstring(L, job->module);
    lua_pushstring(L, job->name);
    given = 2;
  }
  pl_bytes args = pl_bytes_of(pl_buf_data(&job->args), pl_buf_len(&job->args));
  return given + pl_values_decode(L, PL_CODEC_MSGPACK, args);
}

static void on_return(lua_State *L, int n, void *user) {
  pl_offload_job *job = ((pl_offload_vm *)user)->job;
  pl_values_encode(L, PL_CODEC_MSGPACK, lua_gettop(L) - n + 1, n, "result", job->max_message,
                   &job->results);
}

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)t;
  (void)n;
  pl_offload_vm *v = user;
  pl_offload_job *job = v->job;
  if (state != PL_TASK_DONE) {
    job->failure = pl_error_take(L, NULL, traceback);
    pl_err code = job->failure.code;
    v->broken = state == PL_TASK_CANCELLED || code == PL_CPU_LIMIT || code == PL_MEMORY_LIMIT;
  }
  job->ended = true;
  v->job = NULL;
  pl_task_drop(v->task);
  v->task = NULL;
  pl_vm_set_abandoned(v->vm, NULL);
  if (v->on_end != NULL) v->on_end(v->user);
}

static const pl_task_type job_type = {
    .name = "offload", .begin = begin, .on_end = on_end, .on_return = on_return};

bool pl_offload_vm_begin(pl_offload_vm *v, pl_offload_job *job, void (*end)(void *user),
                         void *user) {
  v->task = pl_task_start(v->vm, &job_type, v, NULL);
  if (v->task == NULL) return false;
  v->job = job;
  v->on_end = end;
  v->user = user;
  pl_vm_set_limits(v->vm, job->memory_limit, job->cpu_limit_us, job->cleanup_grace_us);
  pl_vm_set_abandoned(v->vm, &job->abandoned);
  return true;
}

void pl_offload_vm_cancel(pl_offload_vm *v) {
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "nobody waits for it any more");
  if (v->task != NULL) pl_task_cancel(v->task, &why);
}

void pl_offload_vm_run(pl_offload_vm *v, pl_offload_job *job) {
  bool cancelled = false;
  if (!pl_offload_vm_begin(v, job, NULL, NULL)) pl_offload_job_refuse(job);
  while (!job->ended) {
    pl_clock_advance(&v->own->clock, uv_hrtime() / 1000);
    if (!cancelled && atomic_load_explicit(&job->abandoned, memory_order_relaxed)) {
      cancelled = true;
      pl_offload_vm_cancel(v);
    }
    pl_loop_turn(v->own);
  }
}

bool pl_offload_vm_is_fit(pl_offload_vm *v) {
  if (v->broken) return false;
  if (pl_vm_memory(v->vm) > PL_OFFLOAD_KEPT) pl_vm_collect(v->vm);
  return pl_vm_memory(v->vm) <= PL_OFFLOAD_KEPT;
}

size_t pl_offload_vm_memory(const pl_offload_vm *v) {
  return pl_vm_memory(v->vm);
}

const pl_origins *pl_offload_vm_texts(const pl_offload_vm *v) {
  return &v->sources;
}
