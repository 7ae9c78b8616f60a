// File work whose threads stand at a gate, so that a spec knows what is queued and what runs.

#include <lauxlib.h>
#include <pthread.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/filework.h"
#include "spec/support/testing.h"

#define WORK "perilune.testing.FileWork"

typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool open;
  int running, done, discarded;
} gate;

typedef struct work {
  gate gate;
  pl_loop *loop;
  pl_fileport *port;
} work;

typedef struct job {
  pl_filejob job;
  gate *gate;
} job;

static void at_gate(pl_filejob *base) {
  gate *g = ((job *)base)->gate;
  pthread_mutex_lock(&g->lock);
  g->running++;
  pthread_cond_broadcast(&g->changed);
  while (!g->open)
    pthread_cond_wait(&g->changed, &g->lock);
  g->running--;
  pthread_mutex_unlock(&g->lock);
}

static void pass(pl_filejob *base) {
  (void)base;
}

static void count(pl_filejob *base, int *counter) {
  gate *g = ((job *)base)->gate;
  pthread_mutex_lock(&g->lock);
  ++*counter;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
  pl_free(base);
}

static void done(pl_filejob *base) {
  count(base, &((job *)base)->gate->done);
}

static void discard(pl_filejob *base) {
  count(base, &((job *)base)->gate->discarded);
}

static const pl_filejob_type types[] = {
    {.run = at_gate, .done = done, .discard = discard},
    {.run = at_gate, .done = done, .discard = discard, .slow = true},
    {.run = pass, .done = done, .discard = discard},
};

static work *check(lua_State *L) {
  return luaL_checkudata(L, 1, WORK);
}

// work:submit("gate" | "slow" | "pass") -> job, or "BUSY"
static int work_submit(lua_State *L) {
  static const char *const names[] = {"gate", "slow", "pass", NULL};
  work *w = check(L);
  const pl_filejob_type *type = &types[luaL_checkoption(L, 2, NULL, names)];
  job *j = pl_new(job);
  j->job.type = type;
  j->gate = &w->gate;
  if (pl_filework_submit(w->port, &j->job) == PL_OK) {
    lua_pushlightuserdata(L, j);
    return 1;
  }
  pl_free(j);
  lua_pushliteral(L, "BUSY");
  return 1;
}

static int work_cancel(lua_State *L) {
  check(L);
  pl_filework_cancel(&((job *)lua_touserdata(L, 2))->job);
  return 0;
}

// work:await(n): until n threads stand at the gate
static int work_await(lua_State *L) {
  gate *g = &check(L)->gate;
  int n = (int)luaL_checkinteger(L, 2);
  pthread_mutex_lock(&g->lock);
  while (g->running < n)
    pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
  return 0;
}

// work:deliver(n): runs the loop until n jobs were delivered
static int work_deliver(lua_State *L) {
  work *w = check(L);
  int n = (int)luaL_checkinteger(L, 2);
  while (w->gate.done < n)
    uv_run(w->loop->uv, UV_RUN_ONCE);
  return 0;
}

// work:open() -> delivered, discarded: lets all pass and waits for the end of `n` jobs
static int work_open(lua_State *L) {
  work *w = check(L);
  int n = (int)luaL_checkinteger(L, 2);
  gate *g = &w->gate;
  pthread_mutex_lock(&g->lock);
  g->open = true;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
  pl_loop_run(w->loop);  // nothing but pending jobs keeps it
  pthread_mutex_lock(&g->lock);
  while (g->done + g->discarded < n)
    pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
  pl_fileport_close(w->port);
  pl_loop_run(w->loop);
  pl_loop_free(w->loop);
  lua_pushinteger(L, g->done);
  lua_pushinteger(L, g->discarded);
  return 2;
}

static int work_new(lua_State *L) {
  work *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (work){0};
  pthread_mutex_init(&w->gate.lock, NULL);
  pthread_cond_init(&w->gate.changed, NULL);
  w->loop = pl_loop_new(pl_log_new());
  w->port = pl_fileport_new(w->loop);
  luaL_setmetatable(L, WORK);
  return 1;
}

void testing_open_filework(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"submit", work_submit},   {"cancel", work_cancel}, {"await", work_await},
      {"deliver", work_deliver}, {"open", work_open},     {NULL, NULL},
  };
  luaL_newmetatable(L, WORK);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushcfunction(L, work_new);
  lua_setfield(L, -2, "new");
  lua_pushinteger(L, PL_FILE_THREADS);
  lua_setfield(L, -2, "threads");
  lua_pushinteger(L, PL_FILE_QUEUE);
  lua_setfield(L, -2, "queue");
}
