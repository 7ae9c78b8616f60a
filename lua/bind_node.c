// The node as scripts see it: mesh.node, self, nodes, actions, ping, connect, disconnect, stop, and
// waiting for changes.

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_call.h"
#include "lua/bind_options.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/rows.h"
#include "lua/sandbox.h"
#include "lua/script.h"
#include "lua/task.h"
#include "lua/value.h"

static int joined(lua_State *L) {
  (void)L;
  return 0;
}

// What the node of the process has, no script on a worker thread can say.
static void check_housed(lua_State *L) {
  static const char *const of_the_node[] = {"name",      "listen",    "peers",    "mesh", "id",
                                            "advertise", "relay",     "insecure", "psk",  "http",
                                            "state_dir", "link_cost", "admin"};
  if (!pl_host_is_housed(pl_host_of(L))) return;
  for (size_t i = 0; i < sizeof of_the_node / sizeof *of_the_node; i++) {
    if (lua_getfield(L, 1, of_the_node[i]) != LUA_TNIL)
      luaL_error(L,
                 "mesh.node: %s: the script lives on a worker thread; give this to the node, on "
                 "the command line",
                 of_the_node[i]);
    lua_pop(L, 1);
  }
}

// configure(options): sets them, starts the node, waits until it has joined.
static int l_configure(lua_State *L) {
  if (!lua_istable(L, 1))
    return luaL_error(L, "mesh.node: a table of options is expected, got %s", luaL_typename(L, 1));
  pl_sandbox_check_options(L, 1);
  check_housed(L);
  const pl_generation *g = pl_generation_of(L);
  if (g->number > 1 && pl_host_node(pl_script_host(g->script)) != NULL) {
    pl_options_check(L, "mesh.node", 1, pl_node_options(pl_host_start(L)));  // it goes on as it is
  } else {
    pl_options_read(L, "mesh.node", 1, pl_host_options(L));
  }
  pl_host_start(L);
  return pl_host_joined(pl_host_of(L)) ? 0 : pl_wait_joined(L, joined);
}

// start(): the node, started and joined.
static int l_start(lua_State *L) {
  pl_host_start(L);
  return pl_host_joined(pl_host_of(L)) ? 0 : pl_wait_joined(L, joined);
}

// Questions.

static void set_id(lua_State *L, const char *key, const pl_id *id) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  lua_pushstring(L, hex);
  lua_setfield(L, -2, key);
}

static void set_text(lua_State *L, const char *key, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

static int l_self(lua_State *L) {
  pl_node *n = pl_host_start(L);
  lua_createtable(L, 0, 6);
  set_id(L, "id", pl_node_id(n));
  set_text(L, "name", pl_node_name(n));
  set_text(L, "version", PL_VERSION);
  lua_pushnumber(L, (double)pl_node_started_wall_us(n) / 1e6);
  lua_setfield(L, -2, "started");
  lua_pushinteger(L, pl_generation_of(L)->number);
  lua_setfield(L, -2, "generation");
  lua_newtable(L);
  const char *address;
  for (size_t i = 0; (address = pl_node_address(n, i)) != NULL; i++) {
    lua_pushstring(L, address);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "addresses");
  return 1;
}

static void keep_node(const pl_node_info *info, void *user) {
  pl_rows_add(user, info);
}

static void keep_action(const pl_action_info *info, void *user) {
  pl_rows_add(user, info);
}

static void set_place(lua_State *L, const pl_id *id, const char *name, unsigned hops,
                      uint64_t cost_us) {
  set_id(L, "id", id);
  set_text(L, "name", name);
  lua_pushinteger(L, hops);
  lua_setfield(L, -2, "hops");
  lua_pushnumber(L, (double)cost_us / 1e6);
  lua_setfield(L, -2, "cost");
}

static void push_node(lua_State *L, const void *row) {
  const pl_node_info *i = row;
  lua_createtable(L, 0, 10);
  set_place(L, &i->id, i->name, i->hops, i->cost_us);
  set_id(L, "via", &i->via);
  lua_pushboolean(L, i->leaf);
  lua_setfield(L, -2, "leaf");
  lua_pushboolean(L, i->draining);
  lua_setfield(L, -2, "draining");
  set_text(L, "state", i->state);
  if (i->worker_of != NULL) set_id(L, "worker_of", i->worker_of);
}

// nodes() -> list of nodes; the Lua side adds their actions.
static int l_nodes(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_rows *r = pl_rows_new(L, sizeof(pl_node_info));
  pl_node_each(n, keep_node, r);
  return pl_rows_push(L, r, push_node);
}

static void keep_route(const pl_route_info *info, void *user) {
  pl_rows_add(user, info);
}

static void push_route(lua_State *L, const void *row) {
  const pl_route_info *i = row;
  lua_createtable(L, 0, 5);
  set_place(L, &i->id, i->name, i->hops, i->cost_us);
  lua_createtable(L, (int)i->next_count, 0);
  for (size_t k = 0; k < i->next_count; k++) {
    char hex[PL_ID_HEX];
    pl_id_format(&i->next[k], hex);
    lua_pushstring(L, hex);
    lua_rawseti(L, -2, (lua_Integer)k + 1);
  }
  lua_setfield(L, -2, "next");
}

// routes() -> list of {id, name, hops, cost, next = {ids}}
static int l_routes(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_rows *r = pl_rows_new(L, sizeof(pl_route_info));
  pl_node_each_route(n, keep_route, r);
  return pl_rows_push(L, r, push_route);
}

static void push_action(lua_State *L, const void *row) {
  const pl_action_info *i = row;
  lua_createtable(L, 0, 5);
  lua_pushlstring(L, (const char *)i->name.data, i->name.len);
  lua_setfield(L, -2, "name");
  set_id(L, "node", &i->provider);
  set_text(L, "node_name", i->provider_name);
  lua_pushinteger(L, i->hops);
  lua_setfield(L, -2, "hops");
  if (i->attributes.len > 0) {
    pl_value_decode(L, PL_CODEC_MSGPACK, i->attributes);
    lua_setfield(L, -2, "attributes");
  }
}

// offers() -> list of {name, node, node_name, hops, attributes}, one a provider.
static int l_offers(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_rows *r = pl_rows_new(L, sizeof(pl_action_info));
  pl_node_each_action(n, keep_action, r);
  return pl_rows_push(L, r, push_action);
}

// options() -> name = {value, source}, as far as they are known before the node has started
static int l_options(lua_State *L) {
  const pl_node *n = pl_host_node(pl_host_of(L));
  pl_options_push(L, n != NULL ? pl_node_options(n) : pl_host_options(L));
  return 1;
}

static void keep_contact(const pl_contact_info *info, void *user) {
  pl_rows_add(user, info);
}

static void push_contact(lua_State *L, const void *row) {
  const pl_contact_info *i = row;
  lua_createtable(L, 0, 4);
  set_text(L, "url", i->url);
  lua_pushboolean(L, i->found);
  lua_setfield(L, -2, "found");
  if (i->err == PL_OK) return;
  set_text(L, "code", pl_err_name(i->err));
  set_text(L, "message", i->why[0] != '\0' ? i->why : pl_err_text(i->err));
}

// contacts() -> list of {url, found, code, message}, one an address to keep connected; `found` in
// the local mesh; the last two when the first attempt failed.
static int l_contacts(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_rows *r = pl_rows_new(L, sizeof(pl_contact_info));
  pl_node_each_contact(n, keep_contact, r);
  return pl_rows_push(L, r, push_contact);
}

static pl_id check_node(lua_State *L, pl_node *n, int arg) {
  size_t len;
  const char *name = luaL_checklstring(L, arg, &len);
  char detail[PL_URL_MAX];
  pl_id id;
  pl_err err = pl_node_find(n, name, len, &id, detail);
  if (err != PL_OK) pl_raise_code(L, err, PL_NOT_SENT, "%s", detail);
  return id;
}

// knows(id): everything that the node provides has been heard of, or will not be.
static int l_knows(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_id id = check_node(L, n, 1);
  lua_pushboolean(L, pl_node_knows(n, &id));
  return 1;
}

// Waiting for a change.

typedef struct change_op {
  pl_op op;
  pl_watch watch;
} change_op;

static int push_changes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_host_changes(pl_host_of(L)));
  return 1;
}

static int change_finish(lua_State *L, pl_op *op) {
  pl_free(pl_container(op, change_op, op));
  return push_changes(L);
}

static void change_cancel(pl_op *op) {
  change_op *c = pl_container(op, change_op, op);
  pl_watch_cancel(&c->watch);
  pl_free(c);
}

static const pl_op_type change_type = {
    .name = "mesh.wait", .finish = change_finish, .cancel = change_cancel};

static void on_change(pl_watch *w) {
  pl_op_wake(&pl_container(w, change_op, watch)->op);
}

// changed([seen]): how often the directory or the neighbours changed; with `seen`, as soon as that
// is no longer it. Whoever asked before it looked at what it waits for misses nothing, though its
// task lost its turn in between.
static int l_changed(lua_State *L) {
  pl_host_start(L);
  lua_Integer changes = (lua_Integer)pl_host_changes(pl_host_of(L));
  if (luaL_optinteger(L, 1, -1) != changes) return push_changes(L);
  pl_op_check(L, &change_type);
  change_op *c = pl_new(change_op);
  c->op.type = &change_type;
  pl_host_on_change(pl_host_of(L), &c->watch, on_change);
  return pl_op_wait(L, &c->op);
}

// Errands: one answer from the host. An errand that is cancelled is forgotten by its task and freed
// by its answer.

typedef struct errand {
  pl_op op;
  bool orphan;
  bool done;
  pl_err err;
  uint64_t rtt_us;
  pl_id id;
  pl_connecting *connecting;
  char detail[PL_URL_MAX];
} errand;

static void errand_cancel(pl_op *op) {
  errand *e = pl_container(op, errand, op);
  e->orphan = true;
  if (e->done) pl_free(e);
}

static void errand_done(errand *e, pl_err err) {
  e->err = err;
  e->done = true;
  if (e->orphan) {
    pl_free(e);
  } else {
    pl_op_wake(&e->op);
  }
}

static int errand_raise(lua_State *L, pl_err err, const char *detail) {
  return pl_raise_code(L, err, PL_NOT_SENT, "%s", detail[0] != '\0' ? detail : pl_err_text(err));
}

static int ping_finish(lua_State *L, pl_op *op) {
  errand e = *pl_container(op, errand, op);
  pl_free(pl_container(op, errand, op));
  if (e.err != PL_OK) return errand_raise(L, e.err, "");
  lua_pushnumber(L, (double)e.rtt_us / 1e6);
  return 1;
}

static const pl_op_type ping_type = {
    .name = "mesh.ping", .finish = ping_finish, .cancel = errand_cancel};

static void on_pong(pl_err err, uint64_t rtt_us, void *user) {
  errand *e = user;
  e->rtt_us = rtt_us;
  errand_done(e, err);
}

// ping(node, timeout) -> seconds
static int l_ping(lua_State *L) {
  pl_node *n = pl_host_start(L);
  pl_id id = check_node(L, n, 1);
  lua_Number timeout = luaL_checknumber(L, 2);
  luaL_argcheck(L, timeout > 0, 2, "not above 0");
  pl_op_check(L, &ping_type);
  errand *e = pl_new(errand);
  e->op.type = &ping_type;
  pl_err err = pl_node_ping(n, &id, (uint64_t)(timeout * 1e6), on_pong, e);
  if (err != PL_OK) {
    pl_free(e);
    return errand_raise(L, err, err == PL_NO_ROUTE ? "there is no path to the node" : "");
  }
  return pl_op_wait(L, &e->op);
}

static int connect_finish(lua_State *L, pl_op *op) {
  errand *e = pl_container(op, errand, op);
  if (e->err != PL_OK) {
    lua_pushstring(L, e->detail);
    pl_err err = e->err;
    pl_free(e);
    return errand_raise(L, err, lua_tostring(L, -1));
  }
  char hex[PL_ID_HEX];
  pl_id_format(&e->id, hex);
  pl_free(e);
  lua_pushstring(L, hex);
  return 1;
}

static void connect_cancel(pl_op *op) {
  errand *e = pl_container(op, errand, op);
  if (!e->done) pl_connecting_cancel(e->connecting);
  errand_cancel(op);
}

static const pl_op_type connect_type = {
    .name = "mesh.connect", .finish = connect_finish, .cancel = connect_cancel};

static void on_connect(pl_err err, const pl_id *id, const char *detail, void *user) {
  errand *e = user;
  if (id != NULL) e->id = *id;
  if (detail != NULL) memccpy(e->detail, detail, '\0', sizeof e->detail - 1);
  errand_done(e, err);
}

// connect(url) -> id
static int l_connect(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_NET, "mesh.connect");
  const char *url = luaL_checkstring(L, 1);
  pl_node *n = pl_host_start(L);
  pl_op_check(L, &connect_type);
  errand *e = pl_new(errand);
  e->op.type = &connect_type;
  pl_err err = pl_node_connect(&e->connecting, n, url, on_connect, e, e->detail);
  if (err != PL_OK) {
    const char *format = err == PL_INVALID ? "mesh.connect: '%s' is not an address: %s" : "%s: %s";
    lua_pushfstring(L, format, url, e->detail);
    pl_free(e);
    return errand_raise(L, err, lua_tostring(L, -1));
  }
  return pl_op_wait(L, &e->op);
}

// disconnect(node, reason, allow_reconnect, abort)
static int l_disconnect(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_NET, "mesh.disconnect");
  pl_node *n = pl_host_start(L);
  pl_id id = check_node(L, n, 1);
  pl_err err = pl_node_disconnect(n, &id, luaL_optstring(L, 2, "closed by a script"),
                                  lua_toboolean(L, 3), lua_toboolean(L, 4));
  return err == PL_OK ? 0
                      : errand_raise(L, err, err == PL_NO_ROUTE ? "the node is not connected" : "");
}

// keep(node, boolean)
static int l_keep(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_NET, "mesh.keep");
  pl_node *n = pl_host_start(L);
  pl_id id = check_node(L, n, 1);
  char detail[PL_URL_MAX];
  pl_err err = pl_node_keep(n, &id, lua_toboolean(L, 2), detail);
  if (err == PL_NO_ROUTE) return errand_raise(L, err, "the node is not connected");
  return err == PL_OK ? 0 : errand_raise(L, err, detail);
}

// Stopping.

// stop(drain | nil): begins to stop and returns.
static int l_stop(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_PROCESS, "mesh.stop");
  lua_Number drain = luaL_optnumber(L, 1, NAN);
  luaL_argcheck(L, isnan(drain) || drain >= 0, 1, "below 0");
  if (pl_generation_is_beside(pl_generation_of(L)))
    return pl_raise_code(L, PL_INVALID, PL_NOT_EXECUTED, "mesh.stop: the script is being loaded");
  pl_host_exit_within(pl_host_of(L), -1, isnan(drain) ? PL_NEVER : (uint64_t)(drain * 1e6));
  return 0;
}

// option_list() -> list of {name, type, text}
static int l_option_list(lua_State *L) {
  pl_options_push_list(L);
  return 1;
}

// stopping(): whether the node has begun to stop.
static int l_stopping(lua_State *L) {
  const pl_node *n = pl_host_node(pl_host_of(L));
  lua_pushboolean(L, n != NULL && pl_node_stopping(n));
  return 1;
}

// Of a version that is loaded beside another: it ends that version alone.
static int quit_loading(lua_State *L) {
  char place[PL_PLACE_MAX], text[PL_PLACE_MAX + 64];
  pl_report_place(L, place, sizeof place);
  snprintf(text, sizeof text, "%s: os.exit was called while the new version was loaded", place);
  const pl_failure why = pl_failure_of(PL_INVALID, PL_EXECUTED, text);
  return pl_task_quit(L, "os.exit", &why);
}

int pl_os_exit(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_PROCESS, "os.exit");
  if (pl_generation_is_beside(pl_generation_of(L))) return quit_loading(L);
  // What a process can end with; negative codes are the host's own.
  int code = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)(luaL_optinteger(L, 1, 0) & 0xff);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_EXECUTED, "the script called os.exit");
  pl_host_exit_within(pl_host_of(L), code, PL_NEVER);
  return pl_task_quit(L, "os.exit", &why);
}

int pl_open_node(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"configure", l_configure}, {"start", l_start},
      {"self", l_self},           {"nodes", l_nodes},
      {"routes", l_routes},       {"keep", l_keep},
      {"offers", l_offers},       {"changed", l_changed},
      {"knows", l_knows},         {"ping", l_ping},
      {"connect", l_connect},     {"disconnect", l_disconnect},
      {"stop", l_stop},           {"stopping", l_stopping},
      {"options", l_options},     {"option_list", l_option_list},
      {"contacts", l_contacts},   {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
