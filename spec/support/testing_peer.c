// The world of the peer specs, and what its parts share.

#include "spec/support/testing_peer.h"

#include <string.h>

#include "base/mem.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_proxy.h"

void testing_open_peer(lua_State *L);

#define WORLD "perilune.testing.PeerWorld"

testing_world *testing_check_world(lua_State *L, int arg) {
  testing_world *w = luaL_checkudata(L, arg, WORLD);
  luaL_argcheck(L, w->loop != NULL, arg, "freed");
  return w;
}

bool testing_begin_event(testing_world *w, int fn, const char *event) {
  if (fn == LUA_NOREF) return false;
  luaL_checkstack(w->L, 20, NULL);
  lua_rawgeti(w->L, LUA_REGISTRYINDEX, fn);
  lua_pushstring(w->L, event);
  return true;
}

bool testing_end_event(testing_world *w, int args, int results) {
  lua_State *L = w->L;
  if (lua_pcall(L, args + 1, results, 0) == LUA_OK) return true;
  if (w->error == LUA_NOREF) {
    w->error = luaL_ref(L, LUA_REGISTRYINDEX);
  } else {
    lua_pop(L, 1);
  }
  return false;
}

static void check_id(lua_State *L, int index, pl_id *out) {
  memset(out, 0, sizeof *out);
  if (lua_isinteger(L, index)) {
    uint64_t number = (uint64_t)lua_tointeger(L, index);
    for (int i = 0; i < 8; i++)
      out->bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    return;
  }
  size_t len;
  const char *text = luaL_checklstring(L, index, &len);
  if (!pl_id_parse(out, text, len)) luaL_error(L, "not an id: %s", text);
}

static void copy_field(lua_State *L, int arg, const char *name, char *out, size_t size) {
  lua_getfield(L, arg, name);
  const char *text = luaL_optstring(L, -1, "");
  luaL_argcheck(L, strlen(text) < size, arg, name);
  strcpy(out, text);
  lua_pop(L, 1);
}

static uint64_t us_field(lua_State *L, int arg, const char *name, double otherwise) {
  lua_getfield(L, arg, name);
  double seconds = luaL_optnumber(L, -1, otherwise);
  lua_pop(L, 1);
  return (uint64_t)(seconds * 1e6);
}

static lua_Integer int_field(lua_State *L, int arg, const char *name, lua_Integer otherwise) {
  lua_getfield(L, arg, name);
  lua_Integer value = luaL_optinteger(L, -1, otherwise);
  lua_pop(L, 1);
  return value;
}

// The keys in field "psk": a string, or a list of them.
static void check_keys(lua_State *L, int arg, pl_psk *out) {
  const char *why = "";
  if (lua_getfield(L, arg, "psk") == LUA_TTABLE) {
    luaL_Buffer b;
    int list = lua_absindex(L, -1);
    lua_Integer n = luaL_len(L, list);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_rawgeti(L, list, i);
      luaL_addvalue(&b);
      luaL_addchar(&b, '\n');
    }
    luaL_pushresult(&b);
    lua_remove(L, list);
  }
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  bool wrong = text != NULL && pl_psk_parse(out, pl_bytes_of(text, len), &why) != PL_OK;
  luaL_argcheck(L, !wrong, arg, why);
  lua_pop(L, 1);
}

void testing_check_identity(lua_State *L, int arg, pl_identity *out) {
  luaL_checktype(L, arg, LUA_TTABLE);
  memset(out, 0, sizeof *out);
  lua_getfield(L, arg, "id");
  check_id(L, -1, &out->id);
  lua_getfield(L, arg, "draining");
  out->draining = lua_toboolean(L, -1);
  lua_pop(L, 2);
  out->epoch = (uint64_t)int_field(L, arg, "epoch", 1);
  out->role = (pl_role)int_field(L, arg, "role", PL_ROLE_NODE);
  out->message_max = (uint64_t)int_field(L, arg, "message_max", 1 << 20);
  out->heartbeat_misses = (unsigned)int_field(L, arg, "heartbeat_misses", 3);
  out->connect_timeout_us = us_field(L, arg, "connect_timeout", 5);
  out->handshake_timeout_us = us_field(L, arg, "handshake_timeout", 10);
  out->heartbeat_us = us_field(L, arg, "heartbeat", 2);
  out->resume_window_us = us_field(L, arg, "resume_window", 0);
  copy_field(L, arg, "name", out->name, sizeof out->name);
  copy_field(L, arg, "mesh", out->mesh, sizeof out->mesh);
  check_keys(L, arg, &out->auth.psk);
}

void testing_push_id(lua_State *L, const pl_id *id) {
  char text[PL_ID_HEX];
  pl_id_format(id, text);
  lua_pushstring(L, text);
}

void testing_push_err(lua_State *L, pl_err err) {
  lua_pushstring(L, err == PL_OK ? "OK" : pl_err_name(err));
}

pl_err testing_check_err(lua_State *L, int arg) {
  const char *name = luaL_optstring(L, arg, "OK");
  pl_err err = pl_err_find(name);
  if (err == PL_OK && strcmp(name, "OK") != 0) luaL_error(L, "no such error: %s", name);
  return err;
}

static void set_bytes(lua_State *L, const char *name, pl_bytes b) {
  lua_pushlstring(L, b.len > 0 ? (const char *)b.data : "", b.len);
  lua_setfield(L, -2, name);
}

static void set_int(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

void testing_push_hello(lua_State *L, const pl_msg_hello *m) {
  lua_newtable(L);
  testing_push_id(L, &m->id);
  lua_setfield(L, -2, "id");
  set_bytes(L, "name", m->name);
  set_bytes(L, "mesh", m->mesh);
  set_bytes(L, "version", m->version);
  set_int(L, "epoch", m->epoch);
  set_int(L, "role", m->role);
  set_int(L, "heartbeat_ms", m->heartbeat_ms);
  set_int(L, "message_max", m->message_max);
  set_int(L, "body_window", m->body_window);
  lua_pushboolean(L, m->draining);
  lua_setfield(L, -2, "draining");
}

void testing_push_goodbye(lua_State *L, const pl_msg_goodbye *m) {
  if (m == NULL) {
    lua_pushnil(L);
    return;
  }
  lua_newtable(L);
  testing_push_err(L, (pl_err)m->code);
  lua_setfield(L, -2, "code");
  set_bytes(L, "reason", m->reason);
  set_int(L, "retry_after_ms", m->retry_after_ms);
  if (m->epoch != 0) set_int(L, "epoch", m->epoch);
  lua_pushboolean(L, m->allow_reconnect);
  lua_setfield(L, -2, "allow_reconnect");
}

static bool keep_line(const char *line, size_t len, void *user) {
  testing_world *w = user;
  return pl_buf_append(&w->log, line, len);
}

// peer.world([seed]), peer.world 'real'
static int new_world(lua_State *L) {
  bool real = lua_type(L, 1) == LUA_TSTRING;
  uint64_t seed = real ? 0 : (uint64_t)luaL_optinteger(L, 1, 1);
  testing_world *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  w->error = LUA_NOREF;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  w->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_INFO);
  pl_log_set_sink(log, keep_line, w);
  w->loop = real ? pl_loop_new(log) : pl_loop_new_virtual(log, seed);
  w->start_us = pl_now_us(w->loop);
  luaL_setmetatable(L, WORLD);
  return 1;
}

static void on_advanced(pl_timer *t) {
  pl_loop_stop(pl_container(t, testing_world, timer)->loop);
}

// world:advance(seconds)
static int world_advance(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  uint64_t us = (uint64_t)(luaL_checknumber(L, 2) * 1e6 + 0.5);
  if (w->loop->uv == NULL) {
    pl_loop_advance(w->loop, us);
  } else {
    pl_timer_start(&w->loop->clock, &w->timer, us, on_advanced);
    pl_loop_run(w->loop);
  }
  if (w->error == LUA_NOREF) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->error);
  luaL_unref(L, LUA_REGISTRYINDEX, w->error);
  w->error = LUA_NOREF;
  return lua_error(L);
}

static pl_list *node_at(pl_list *queue, size_t at) {
  pl_list *n = queue->next;
  while (at-- > 0)
    n = n->next;
  return n;
}

static size_t length(const pl_list *queue) {
  size_t count = 0;
  for (const pl_list *n = queue->next; n != queue; n = n->next)
    count++;
  return count;
}

// world:shake(n): runs up to n pieces of work or flushes, in an order from the seed: links are as
// fast or slow as chance wants. Returns whether any is left.
static int world_shake(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  pl_loop *l = w->loop;
  for (lua_Integer left = luaL_checkinteger(L, 2); left > 0; left--) {
    size_t works = length(&l->work);
    size_t all = works + length(&l->flushes);
    if (all == 0) break;
    size_t at = (size_t)pl_random_below(&l->random, all);
    pl_list *queue = at < works ? &l->work : &l->flushes;
    pl_list *node = node_at(queue, at < works ? at : at - works);
    pl_list_remove(node);
    pl_work *work = pl_container(node, pl_work, node);
    work->run(work);
  }
  lua_pushboolean(L, !pl_list_empty(&l->work) || !pl_list_empty(&l->flushes));
  return 1;
}

// world:stall(seconds): the process was stopped for so long; timers fire late.
static int world_stall(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  uint64_t us = (uint64_t)(luaL_checknumber(L, 2) * 1e6 + 0.5);
  pl_clock_advance(&w->loop->clock, w->loop->clock.now_us + us);
  return 0;
}

// Seconds since the start of the world.
static int world_now(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  lua_pushnumber(L, (double)(pl_now_us(w->loop) - w->start_us) / 1e6);
  return 1;
}

static int world_metrics(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  lua_newtable(L);
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++) {
    set_int(L, m->name, pl_metric_get(&w->loop->metrics, m));
  }
  return 1;
}

static int world_log(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  lua_pushlstring(L, (const char *)pl_buf_data(&w->log), pl_buf_len(&w->log));
  return 1;
}

// Fails an assertion when timers or work are left.
static int world_free(lua_State *L) {
  testing_world *w = luaL_checkudata(L, 1, WORLD);
  if (w->loop != NULL) pl_loop_free(w->loop);
  w->loop = NULL;
  pl_buf_fini(&w->log);
  return 0;
}

typedef struct later {
  pl_work work;
  testing_world *world;
  int fn;
} later;

static void run_later(pl_work *work) {
  later *l = pl_container(work, later, work);
  if (testing_begin_event(l->world, l->fn, "work")) testing_end_event(l->world, 0, 0);
  luaL_unref(l->world->L, LUA_REGISTRYINDEX, l->fn);
  pl_free(l);
}

// world:defer(fn): queues work that calls it
static int world_defer(lua_State *L) {
  later *l = pl_new(later);
  l->world = testing_check_world(L, 1);
  lua_settop(L, 2);
  l->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  pl_loop_defer(l->world->loop, &l->work, run_later);
  return 0;
}

// world:proxy(url, target) -> proxy
static int world_proxy(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  return testing_new_proxy(L, w->loop, w->L);
}

void testing_open_peer(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"advance", world_advance},
      {"shake", world_shake},
      {"stall", world_stall},
      {"defer", world_defer},
      {"now", world_now},
      {"metrics", world_metrics},
      {"log", world_log},
      {"free", world_free},
      {"proxy", world_proxy},
      {"sessions", testing_new_session_pair},
      {"session", testing_new_session},
      {"node", testing_new_node},
      {"raw", testing_dial_raw},
      {"deaf", testing_listen_deaf},
      {NULL, NULL},
  };
  static const luaL_Reg functions[] = {{"world", new_world}, {NULL, NULL}};
  testing_new_class(L, WORLD, methods, world_free);
  luaL_newlib(L, functions);
  testing_add_proxies(L);
  testing_add_handshake(L);
  testing_add_sessions(L);
  testing_add_nodes(L);
}
