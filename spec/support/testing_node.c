// Nodes that are nothing but their peers.

#include <string.h>

#include "base/mem.h"
#include "peer/peer.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_peer.h"

#define NODE "perilune.testing.PeerNode"
#define DIAL "perilune.testing.Dial"

enum { SESSIONS_MAX = 16 };

// Holds itself in the registry until it was freed; lives in user value 1.
typedef struct node {
  pl_peers *peers;  // NULL once freed
  testing_world *world;
  pl_identity self;
  bool renews;
  int fn;
  int box;
  bool counts;                         // the spec knows the circuits of each session
  size_t circuits;                     // else what every session is said to have
  pl_session *sessions[SESSIONS_MAX];  // seen and not down
} node;

// Numbered, because a handle may be gone before Lua forgets it.
typedef struct dial {
  node *node;
  pl_dial *dial;
} dial;

static const char *const states[] = {
    [PL_PEER_CONNECTING] = "connecting",
    [PL_PEER_UP] = "up",
    [PL_PEER_RECONNECTING] = "reconnecting",
    [PL_PEER_GONE] = "gone",
};

static void push_session(lua_State *L, const pl_session *s) {
  const pl_session *known = s;
  lua_newtable(L);
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  lua_setfield(L, -2, "handle");
  testing_push_id(L, pl_session_nonce(known, true));
  lua_setfield(L, -2, "nonce");
  lua_pushboolean(L, pl_session_is_dialler(known));
  lua_setfield(L, -2, "dialler");
  lua_pushinteger(L, (lua_Integer)pl_session_rtt_us(known));
  lua_setfield(L, -2, "rtt_us");
}

static void push_peer(lua_State *L, pl_peer *p) {
  lua_newtable(L);
  testing_push_id(L, pl_peer_id(p));
  lua_setfield(L, -2, "id");
  lua_pushstring(L, pl_peer_name(p));
  lua_setfield(L, -2, "name");
  lua_pushstring(L, states[pl_peer_status(p)]);
  lua_setfield(L, -2, "state");
  lua_pushinteger(L, (lua_Integer)pl_peer_epoch(p));
  lua_setfield(L, -2, "epoch");
  lua_pushinteger(L, pl_peer_role(p));
  lua_setfield(L, -2, "role");
  lua_pushfstring(L, "%p", (void *)p);
  lua_setfield(L, -2, "object");
  if (pl_peer_session(p) == NULL) return;
  push_session(L, pl_peer_session(p));
  lua_setfield(L, -2, "session");
}

static void see(node *n, pl_session *s, bool there) {
  size_t free_at = SESSIONS_MAX;
  for (size_t i = 0; i < SESSIONS_MAX; i++) {
    if (n->sessions[i] == s) {
      if (!there) n->sessions[i] = NULL;
      return;
    }
    if (n->sessions[i] == NULL && free_at == SESSIONS_MAX) free_at = i;
  }
  if (there && free_at < SESSIONS_MAX) n->sessions[free_at] = s;
}

static void on_session(pl_peer *p, pl_session *s, void *user) {
  node *n = user;
  lua_State *L = n->world->L;
  see(n, s, true);
  if (!testing_begin_event(n->world, n->fn, "session")) return;
  push_peer(L, p);
  push_session(L, s);
  testing_end_event(n->world, 2, 0);
}

static pl_err on_frame(pl_peer *p, pl_session *s, const pl_frame *f, void *user) {
  node *n = user;
  lua_State *L = n->world->L;
  see(n, s, true);
  if (!testing_begin_event(n->world, n->fn, "frame")) return PL_OK;
  push_peer(L, p);
  push_session(L, s);
  lua_pushlstring(L, (const char *)f->body.data, f->body.len);
  lua_pushinteger(L, f->type);
  lua_pushinteger(L, f->label);
  testing_end_event(n->world, 5, 0);
  return PL_OK;
}

static void on_drained(pl_peer *p, pl_session *s, void *user) {
  (void)p, (void)s, (void)user;
}

static void on_unkept(pl_peer *p, pl_session *s, void *user) {
  node *n = user;
  if (!n->counts || !testing_begin_event(n->world, n->fn, "unkept")) return;
  push_peer(n->world->L, p);
  push_session(n->world->L, s);
  testing_end_event(n->world, 2, 0);
}

static void on_session_down(pl_peer *p, pl_session *s, pl_err why, const char *detail, void *user) {
  node *n = user;
  lua_State *L = n->world->L;
  see(n, s, false);
  if (!testing_begin_event(n->world, n->fn, "down")) return;
  push_peer(L, p);
  push_session(L, s);
  testing_push_err(L, why);
  lua_pushstring(L, detail);
  testing_end_event(n->world, 4, 0);
}

static void on_state(pl_peer *p, pl_peer_state was, void *user) {
  node *n = user;
  if (!testing_begin_event(n->world, n->fn, "state")) return;
  push_peer(n->world->L, p);
  lua_pushstring(n->world->L, states[was]);
  testing_end_event(n->world, 2, 0);
}

// The spec is asked for `which` circuits: "circuits" or "opened".
static size_t count(pl_session *s, const char *which, node *n) {
  lua_State *L = n->world->L;
  if (!n->counts) return n->circuits;
  if (!testing_begin_event(n->world, n->fn, which)) return 0;
  push_session(L, s);
  if (!testing_end_event(n->world, 1, 1)) return 0;
  size_t circuits = (size_t)luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return circuits;
}

static size_t circuits(pl_session *s, void *user) {
  return count(s, "circuits", user);
}

static size_t opened(pl_session *s, void *user) {
  return count(s, "opened", user);
}

static void on_surpassed(uint64_t epoch, void *user) {
  node *n = user;
  if (n->renews) n->self.epoch = epoch + 1;
}

static const pl_peers_ops peers_ops = {
    .on_surpassed = on_surpassed,
    .on_session = on_session,
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_unkept = on_unkept,
    .on_session_down = on_session_down,
    .on_state = on_state,
    .circuits = circuits,
    .opened = opened,
};

// world:node(options, fn): the identity, and reconnect_max, max_peers, insecure; renews: it takes a
// greater epoch when it is told to; counts: fn('circuits', session) says how many
// there are, fn('opened', session) how many of its own
int testing_new_node(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  node *n = lua_newuserdatauv(L, sizeof *n, 1);
  memset(n, 0, sizeof *n);
  n->world = w;
  testing_check_identity(L, 2, &n->self);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_getfield(L, 2, "reconnect_max");
  lua_getfield(L, 2, "max_peers");
  lua_getfield(L, 2, "insecure");
  const pl_peers_config config = {
      .identity = &n->self,
      .reconnect_max_us = (uint64_t)(luaL_optnumber(L, -3, 2) * 1e6),
      .max_peers = (unsigned)luaL_optinteger(L, -2, 1024),
      .insecure = lua_toboolean(L, -1),
  };
  lua_pop(L, 3);
  lua_getfield(L, 2, "renews");
  n->renews = lua_toboolean(L, -1);
  lua_getfield(L, 2, "counts");
  n->counts = lua_toboolean(L, -1);
  lua_pop(L, 2);
  n->peers = pl_peers_new(w->loop, &config, &peers_ops, n);
  luaL_setmetatable(L, NODE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, 3);
  n->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, -1);
  n->box = luaL_ref(L, LUA_REGISTRYINDEX);
  return 1;
}

static node *check_node(lua_State *L) {
  node *n = luaL_checkudata(L, 1, NODE);
  luaL_argcheck(L, n->peers != NULL, 1, "freed");
  return n;
}

static int push_failure(lua_State *L, pl_err err, const char *detail) {
  lua_pushnil(L);
  testing_push_err(L, err);
  lua_pushstring(L, detail);
  return 3;
}

// node:listen(url) -> the bound address, or nil, code, detail
static int node_listen(lua_State *L) {
  node *n = check_node(L);
  char bound[PL_URL_MAX], detail[PL_URL_MAX];
  pl_err err = pl_peers_listen(n->peers, luaL_checkstring(L, 2), bound, detail);
  if (err != PL_OK) return push_failure(L, err, detail);
  lua_pushstring(L, bound);
  return 1;
}

static int node_unlisten(lua_State *L) {
  pl_peers_unlisten_all(check_node(L)->peers);
  return 0;
}

typedef struct pending_dial {
  node *node;
  int fn;
} pending_dial;

// fn(code, detail, peer)
static void on_dialled(pl_dial *d, pl_err err, const char *detail, pl_peer *p, void *user) {
  (void)d;
  pending_dial *pending = user;
  lua_State *L = pending->node->world->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, pending->fn);
  luaL_unref(L, LUA_REGISTRYINDEX, pending->fn);
  testing_push_err(L, err);
  lua_pushstring(L, detail);
  if (p != NULL) {
    push_peer(L, p);
  } else {
    lua_pushnil(L);
  }
  testing_end_event(pending->node->world, 2, 0);
  pl_free(pending);
}

// node:dial(url, keep, fn) -> dial, or nil, code, detail
static int node_dial(lua_State *L) {
  node *n = check_node(L);
  const char *url = luaL_checkstring(L, 2);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  dial *box = lua_newuserdatauv(L, sizeof *box, 0);
  luaL_setmetatable(L, DIAL);
  pending_dial *pending = pl_new(pending_dial);
  pending->node = n;
  lua_pushvalue(L, 4);
  pending->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  char detail[PL_URL_MAX];
  box->node = n;
  pl_err err =
      pl_peers_dial(&box->dial, n->peers, url, lua_toboolean(L, 3), on_dialled, pending, detail);
  if (err == PL_OK) return 1;
  luaL_unref(L, LUA_REGISTRYINDEX, pending->fn);
  pl_free(pending);
  return push_failure(L, err, detail);
}

// dial:stop(): once, and not after its end (see pl_dial_stop)
static int dial_stop(lua_State *L) {
  dial *box = luaL_checkudata(L, 1, DIAL);
  pl_dial_stop(box->dial);
  return 0;
}

// dial:unkeep(): the same, and its link is given up
static int dial_unkeep(lua_State *L) {
  dial *box = luaL_checkudata(L, 1, DIAL);
  pl_dial_unkeep(box->dial);
  return 0;
}

static int node_peers(lua_State *L) {
  node *n = check_node(L);
  lua_newtable(L);
  lua_Integer i = 0;
  for (pl_peer *p = NULL; (p = pl_peers_next(n->peers, p)) != NULL;) {
    push_peer(L, p);
    lua_rawseti(L, -2, ++i);
  }
  return 1;
}

static pl_peer *first_peer(lua_State *L, node *n) {
  pl_peer *p = pl_peers_next(n->peers, NULL);
  luaL_argcheck(L, p != NULL, 1, "has no peers");
  return p;
}

// node:disconnect(reason, allow_reconnect, abort): its first peer
static int node_disconnect(lua_State *L) {
  node *n = check_node(L);
  pl_peer_disconnect(first_peer(L, n), luaL_checkstring(L, 2), lua_toboolean(L, 3),
                     lua_toboolean(L, 4));
  return 0;
}

// node:send(body): a frame of a circuit to the first peer that is up -> whether there was one
static int node_send(lua_State *L) {
  node *n = check_node(L);
  pl_session *s = NULL;
  for (pl_peer *p = NULL; s == NULL && (p = pl_peers_next(n->peers, p)) != NULL;) {
    s = pl_peer_session(p);
  }
  size_t len;
  const char *body = luaL_checklstring(L, 2, &len);
  pl_slice *slice = pl_slice_copy(body, len);
  pl_bytes view = {.data = slice->data, .len = len, .owner = slice};
  if (s != NULL) pl_session_send(s, PL_FRAME_CALL, 0, 0, 1, view);
  pl_slice_drop(slice);
  lua_pushboolean(L, s != NULL);
  return 1;
}

static pl_session *check_session(lua_State *L, int arg, const node *n) {
  pl_session *s = lua_touserdata(L, arg);
  for (size_t i = 0; i < SESSIONS_MAX; i++) {
    if (s != NULL && n->sessions[i] == s) return s;
  }
  luaL_argerror(L, arg, "no such session");
  return NULL;
}

// node:put(handle, type, label): a frame on that session
static int node_put(lua_State *L) {
  node *n = check_node(L);
  pl_session *s = check_session(L, 2, n);
  pl_session_send(s, (uint8_t)luaL_checkinteger(L, 3), 0, 0, (uint32_t)luaL_checkinteger(L, 4),
                  (pl_bytes){0});
  return 0;
}

// node:idle(handle): a circuit of that session has ended
static int node_idle(lua_State *L) {
  node *n = check_node(L);
  pl_peers_idle(n->peers, check_session(L, 2, n));
  return 0;
}

// node:set_circuits(n): from now on. At 0 every session is told to be idle.
static int node_set_circuits(lua_State *L) {
  node *n = check_node(L);
  n->circuits = (size_t)luaL_checkinteger(L, 2);
  for (size_t i = 0; i < SESSIONS_MAX && n->circuits == 0; i++) {
    if (n->sessions[i] != NULL) pl_peers_idle(n->peers, n->sessions[i]);
  }
  return 0;
}

static int node_up(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_peers_up(check_node(L)->peers));
  return 1;
}

static void on_stopped(void *user) {
  node *n = user;
  lua_State *L = n->world->L;
  if (testing_begin_event(n->world, n->fn, "stopped")) testing_end_event(n->world, 0, 0);
  pl_peers_free(n->peers);
  n->peers = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, n->fn);
  luaL_unref(L, LUA_REGISTRYINDEX, n->box);
  n->fn = n->box = LUA_NOREF;
}

// node:shutdown(reason): frees it when all is closed
static int node_shutdown(lua_State *L) {
  node *n = check_node(L);
  pl_peers_shutdown(n->peers, PL_OK, luaL_optstring(L, 2, "done"), on_stopped, n);
  return 0;
}

static int node_is_free(lua_State *L) {
  node *n = luaL_checkudata(L, 1, NODE);
  lua_pushboolean(L, n->peers == NULL);
  return 1;
}

static int nothing_to_free(lua_State *L) {
  (void)L;  // a node is alive until it was freed, and a dial is only a pointer
  return 0;
}

void testing_add_nodes(lua_State *L) {
  static const luaL_Reg node_methods[] = {
      {"listen", node_listen},
      {"unlisten", node_unlisten},
      {"dial", node_dial},
      {"peers", node_peers},
      {"up", node_up},
      {"disconnect", node_disconnect},
      {"send", node_send},
      {"put", node_put},
      {"idle", node_idle},
      {"set_circuits", node_set_circuits},
      {"shutdown", node_shutdown},
      {"is_free", node_is_free},
      {NULL, NULL},
  };
  static const luaL_Reg dial_methods[] = {
      {"stop", dial_stop}, {"unkeep", dial_unkeep}, {NULL, NULL}};
  testing_new_class(L, NODE, node_methods, nothing_to_free);
  testing_new_class(L, DIAL, dial_methods, nothing_to_free);
}
