// `require('perilune.testing').route`: routers in virtual time, joined by links that take a while.
//
// A world has nodes with the numbers 1 to n, which are also their ids. Frames arrive in order,
// after the delay of their link.

#include "spec/support/testing_route.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "route/graph.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_wire.h"

void testing_open_route(lua_State *L);

void testing_route_id(uint32_t number, pl_id *id) {
  *id = (pl_id){{0}};
  for (int i = 0; i < 4; i++)
    id->bytes[15 - i] = (uint8_t)(number >> (8 * i));
}

uint32_t testing_route_number(const pl_id *id) {
  return (uint32_t)id->bytes[12] << 24 | (uint32_t)id->bytes[13] << 16 |
         (uint32_t)id->bytes[14] << 8 | id->bytes[15];
}

static void deliver(wire *w, message *m) {
  pl_frame f = {.type = m->type,
                .body = {.data = m->body->data, .len = m->body->len, .owner = m->body}};
  if (w->to->router != NULL && w->arrive != NULL) {
    if (pl_router_frame(w->to->router, w->arrive, &f) != PL_OK) w->to->world->refused++;
  }
  pl_slice_drop(m->body);
  pl_free(m);
}

static void on_due(pl_timer *t) {
  wire *w = pl_container(t, wire, timer);
  pl_clock *clock = &w->from->world->loop->clock;
  if (w->held) return;
  while (!pl_list_empty(&w->queue)) {
    message *m = pl_container(w->queue.next, message, node);
    if (m->due_us > clock->now_us) {
      pl_timer_start(clock, t, m->due_us - clock->now_us, on_due);
      return;
    }
    pl_list_remove(&m->node);
    deliver(w, m);
  }
}

static void transmit(wire *w, uint8_t type, pl_bytes body) {
  pl_clock *clock = &w->from->world->loop->clock;
  message *m = pl_new(message);
  m->due_us = clock->now_us + w->delay_us;
  m->type = type;
  m->body = pl_slice_copy(body.data, body.len);
  pl_list_push(&w->queue, &m->node);
  if (!pl_timer_active(&w->timer)) pl_timer_start(clock, &w->timer, w->delay_us, on_due);
}

static void tape(world *w, const wire *on, uint8_t type, pl_bytes body) {
  lua_State *L = w->L;
  if (w->taped == LUA_NOREF) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->taped);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, on->from->number);
  lua_setfield(L, -2, "from");
  lua_pushinteger(L, on->to->number);
  lua_setfield(L, -2, "to");
  lua_pushinteger(L, type);
  lua_setfield(L, -2, "type");
  lua_pushlstring(L, (const char *)body.data, body.len);
  lua_setfield(L, -2, "body");
  lua_rawseti(L, -2, luaL_len(L, -2) + 1);
  lua_pop(L, 1);
}

// The user of a link is the wire on which its owner sends.
static void on_send(pl_router_link *link, uint8_t type, pl_bytes body, void *user) {
  wire *w = pl_router_link_user(link);
  world *of = ((node *)user)->world;
  of->frames++;
  of->bytes += body.len + PL_FRAME_HEADER;
  tape(of, w, type, body);
  if (!w->mute) transmit(w, type, body);
}

static bool is_writable(pl_router_link *link, void *user) {
  (void)link, (void)user;
  return true;
}

static uint64_t rtt_us(pl_router_link *link, void *user) {
  (void)user;
  return ((wire *)pl_router_link_user(link))->delay_us * 2;
}

static void on_item(pl_mesh_node *n, const pl_msg_advert_item *item, void *user) {
  node *of = user;
  lua_State *L = of->world->L;
  if (of->world->known == LUA_NOREF) return;
  char key[32];
  snprintf(key, sizeof key, "%u %u", of->number, testing_route_number(pl_mesh_node_id(n)));
  lua_rawgeti(L, LUA_REGISTRYINDEX, of->world->known);
  luaL_getsubtable(L, -1, key);
  lua_pushlstring(L, (const char *)item->kind.data, item->kind.len);
  lua_pushliteral(L, " ");
  lua_pushlstring(L, (const char *)item->name.data, item->name.len);
  lua_concat(L, 3);
  lua_pushlstring(L, (const char *)item->attributes.data, item->attributes.len);
  if (item->withdrawn) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  lua_rawset(L, -3);
  lua_pop(L, 2);
}

static void on_route(pl_mesh_node *n, const pl_route *route, void *user) {
  (void)n, (void)route, (void)user;
}

static void on_forgotten(pl_mesh_node *n, void *user) {
  (void)n, (void)user;
}

static void on_synced(pl_router_link *link, void *user) {
  (void)link, (void)user;
}

static void on_change(void *user) {
  (void)user;
}

static void on_taken(void *user) {
  ((node *)user)->taken++;
}

static void on_raised(uint64_t epoch, void *user) {
  ((node *)user)->epoch = epoch;
}

static void on_renewed(pl_router_link *link, uint64_t epoch, void *user) {
  (void)link, (void)epoch, (void)user;
}

static const pl_router_ops ops = {
    .send = on_send,
    .writable = is_writable,
    .rtt_us = rtt_us,
    .on_item = on_item,
    .on_route = on_route,
    .on_forgotten = on_forgotten,
    .on_synced = on_synced,
    .on_change = on_change,
    .on_raised = on_raised,
    .on_renewed = on_renewed,
    .on_taken = on_taken,
};

// The world.

world *testing_route_world(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  luaL_argcheck(L, w->loop != NULL, 1, "freed");
  return w;
}

node *testing_route_node(lua_State *L, world *w, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 1 && n <= w->count, arg, "no such node");
  return &w->nodes[n - 1];
}

node *testing_route_up(lua_State *L, world *w, int arg) {
  node *n = testing_route_node(L, w, arg);
  luaL_argcheck(L, n->router != NULL, arg, "is down");
  return n;
}

static bool keep_line(const char *line, size_t len, void *user) {
  return pl_buf_append(&((world *)user)->log, line, len);
}

// world(n [, {seed=, known=, cost=}])
static int new_world(lua_State *L) {
  uint32_t count = (uint32_t)luaL_checkinteger(L, 1);
  if (lua_isnone(L, 2)) lua_newtable(L);
  lua_settop(L, 2);
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  w->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, keep_line, w);
  lua_getfield(L, 2, "seed");
  w->loop = pl_loop_new_virtual(log, (uint64_t)luaL_optinteger(L, -1, 1));
  lua_getfield(L, 2, "cost");
  w->link_cost = (uint64_t)luaL_optinteger(L, -1, 0);
  w->known = w->taped = LUA_NOREF;
  if (lua_getfield(L, 2, "known") == LUA_TTABLE) w->known = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_settop(L, 3);
  w->count = count;
  w->nodes = pl_alloc(count * sizeof *w->nodes);
  pl_list_init(&w->wires);
  for (uint32_t i = 0; i < count; i++) {
    w->nodes[i].world = w;
    w->nodes[i].number = i + 1;
    testing_route_id(i + 1, &w->nodes[i].id);
  }
  luaL_setmetatable(L, WORLD);
  return 1;
}

// start(node [, epoch [, another]]): a router that has not joined; with the id of another node.
static int world_start(lua_State *L) {
  world *w = testing_route_world(L);
  node *n = testing_route_node(L, w, 2);
  luaL_argcheck(L, n->router == NULL, 2, "is up");
  n->epoch = (uint64_t)luaL_optinteger(L, 3, (lua_Integer)n->epoch + 1);
  n->taken = 0;
  testing_route_id((uint32_t)luaL_optinteger(L, 4, n->number), &n->id);
  const pl_router_config config = {
      .loop = w->loop, .id = &n->id, .epoch = n->epoch, .link_cost = w->link_cost};
  n->router = pl_router_new(&config, &ops, n);
  return 0;
}

// join(node [, relays])
static int world_join(lua_State *L) {
  world *w = testing_route_world(L);
  pl_router_join(testing_route_up(L, w, 2)->router, lua_isnoneornil(L, 3) || lua_toboolean(L, 3));
  return 0;
}

static int world_leave(lua_State *L) {
  pl_router_leave(testing_route_up(L, testing_route_world(L), 2)->router);
  return 0;
}

static wire *find_wire(world *w, const node *from, const node *to) {
  for (pl_list *at = w->wires.next; at != &w->wires; at = at->next) {
    wire *x = pl_container(at, wire, all);
    if (x->from == from && x->to == to) return x;
  }
  return NULL;
}

static wire *new_wire(world *w, node *from, node *to, uint64_t delay_us) {
  wire *x = pl_new(wire);
  x->from = from;
  x->to = to;
  x->delay_us = delay_us;
  pl_list_init(&x->queue);
  pl_list_push(&w->wires, &x->all);
  return x;
}

// link(a, b [, delay in microseconds [, a is a leaf [, b is one]]]); the leaves are what the
// handshake tells.
static int world_link(lua_State *L) {
  world *w = testing_route_world(L);
  node *a = testing_route_up(L, w, 2), *b = testing_route_up(L, w, 3);
  uint64_t delay = (uint64_t)luaL_optinteger(L, 4, 100);
  bool a_leaf = lua_toboolean(L, 5), b_leaf = lua_toboolean(L, 6);
  luaL_argcheck(L, find_wire(w, a, b) == NULL, 3, "linked already");
  wire *to = new_wire(w, a, b, delay), *from = new_wire(w, b, a, delay);
  to->back = from;
  from->back = to;
  from->arrive = pl_router_link_up(a->router, &b->id, b->epoch, !b_leaf, to);
  to->arrive = pl_router_link_up(b->router, &a->id, a->epoch, !a_leaf, from);
  return 0;
}

static void cut(wire *w) {
  if (w->back->arrive != NULL) pl_router_link_down(w->from->router, w->back->arrive);
  w->back->arrive = NULL;
  pl_timer_stop(&w->timer);
  for (pl_list *at; (at = pl_list_pop(&w->queue)) != NULL;) {
    message *m = pl_container(at, message, node);
    pl_slice_drop(m->body);
    pl_free(m);
  }
  pl_list_remove(&w->all);
}

static void unlink_wire(wire *w) {
  wire *back = w->back;
  cut(w);
  cut(back);
  pl_free(w);
  pl_free(back);
}

static int world_unlink(lua_State *L) {
  world *w = testing_route_world(L);
  wire *x = find_wire(w, testing_route_node(L, w, 2), testing_route_node(L, w, 3));
  luaL_argcheck(L, x != NULL, 3, "not linked");
  unlink_wire(x);
  return 0;
}

static void stop(world *w, node *n) {
  for (pl_list *at = w->wires.next, *next; at != &w->wires; at = next) {
    next = at->next;
    wire *x = pl_container(at, wire, all);
    if (x->from != n && x->to != n) continue;
    if (next == &x->back->all) next = next->next;
    unlink_wire(x);
  }
  pl_router_free(n->router);
  n->router = NULL;
}

static int world_stop(lua_State *L) {
  world *w = testing_route_world(L);
  stop(w, testing_route_up(L, w, 2));
  return 0;
}

// mute(a, b, on): what a sends to b is lost.
static int world_mute(lua_State *L) {
  world *w = testing_route_world(L);
  find_wire(w, testing_route_node(L, w, 2), testing_route_node(L, w, 3))->mute =
      lua_toboolean(L, 4);
  return 0;
}

static void hold(wire *w, bool away) {
  w->held = away;
  pl_router_link_away(w->from->router, w->back->arrive, away);
  if (!away) pl_timer_start(&w->from->world->loop->clock, &w->timer, 0, on_due);
}

// away(a, b, on): the link has broken and may come back, or is back: then comes what was sent.
static int world_away(lua_State *L) {
  world *w = testing_route_world(L);
  wire *x = find_wire(w, testing_route_node(L, w, 2), testing_route_node(L, w, 3));
  hold(x, lua_toboolean(L, 4));
  hold(x->back, lua_toboolean(L, 4));
  return 0;
}

// delay(a, b, microseconds): both ways, from now on.
static int world_delay(lua_State *L) {
  world *w = testing_route_world(L);
  wire *x = find_wire(w, testing_route_node(L, w, 2), testing_route_node(L, w, 3));
  x->delay_us = x->back->delay_us = (uint64_t)luaL_checkinteger(L, 4);
  return 0;
}

// inject(a, b, type, body): as if a had sent it.
static int world_inject(lua_State *L) {
  world *w = testing_route_world(L);
  transmit(find_wire(w, testing_route_node(L, w, 2), testing_route_node(L, w, 3)),
           (uint8_t)luaL_checkinteger(L, 4), testing_check_bytes(L, 5));
  return 0;
}

// -> nil, or the error
static int world_set(lua_State *L) {
  const node *n = testing_route_up(L, testing_route_world(L), 2);
  pl_err err = pl_router_set(n->router, testing_check_bytes(L, 3), testing_check_bytes(L, 4),
                             testing_check_bytes(L, 5));
  if (err == PL_OK) return 0;
  lua_pushstring(L, pl_err_name(err));
  return 1;
}

static int world_unset(lua_State *L) {
  node *n = testing_route_up(L, testing_route_world(L), 2);
  pl_router_unset(n->router, testing_check_bytes(L, 3), testing_check_bytes(L, 4));
  return 0;
}

static int world_advance(lua_State *L) {
  pl_loop_advance(testing_route_world(L)->loop, (uint64_t)(luaL_checknumber(L, 2) * 1e6 + 0.5));
  return 0;
}

// tape(): frames sent from now on, as a list that grows; tape(false) ends that.
static int world_tape(lua_State *L) {
  world *w = testing_route_world(L);
  luaL_unref(L, LUA_REGISTRYINDEX, w->taped);
  w->taped = LUA_NOREF;
  if (!lua_isnone(L, 2)) return 0;
  lua_newtable(L);
  lua_pushvalue(L, -1);
  w->taped = luaL_ref(L, LUA_REGISTRYINDEX);
  return 1;
}

// Fails an assertion when a timer or work is left.
static int world_free(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  if (w->loop == NULL) return 0;
  for (uint32_t i = 0; i < w->count; i++) {
    if (w->nodes[i].router != NULL) stop(w, &w->nodes[i]);
  }
  pl_free(w->nodes);
  pl_loop_free(w->loop);
  pl_buf_fini(&w->log);
  luaL_unref(L, LUA_REGISTRYINDEX, w->known);
  luaL_unref(L, LUA_REGISTRYINDEX, w->taped);
  w->loop = NULL;
  return 0;
}

void testing_open_route(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"start", world_start}, {"join", world_join},     {"leave", world_leave},
      {"link", world_link},   {"unlink", world_unlink}, {"stop", world_stop},
      {"mute", world_mute},   {"delay", world_delay},   {"inject", world_inject},
      {"set", world_set},     {"unset", world_unset},   {"advance", world_advance},
      {"tape", world_tape},   {"free", world_free},     {"away", world_away},
      {NULL, NULL},
  };
  static const luaL_Reg functions[] = {{"world", new_world}, {NULL, NULL}};
  testing_new_class(L, WORLD, methods, world_free);
  luaL_getmetatable(L, WORLD);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, testing_route_questions, 0);
  lua_pop(L, 2);
  luaL_newlib(L, functions);
  testing_push_graph(L);
  lua_setfield(L, -2, "paths");
}
