#include "spec/support/testing_proxy.h"

#include <string.h>

#include "base/mem.h"
#include "link/link.h"
#include "spec/support/testing_base.h"

#define PROXY "perilune.testing.Proxy"

// Directions, and the ends that bytes of a direction come from.
enum { FROM_DIALLER, TO_DIALLER };

enum { CUTS_MAX = 8 };  // planned ahead

// Lives in its own registry slot until it is closed and its last pair gone; the owner of the loop
// in user value 1.
typedef struct proxy {
  pl_loop *loop;
  lua_State *L;
  pl_listener *listener;  // NULL once closed
  pl_url target;
  pl_list pairs;
  uint64_t passed[2];     // bytes
  uint64_t cut_after[2];  // when so many have passed; PL_NEVER
  struct {
    int way;
    uint64_t after;
  } next[CUTS_MAX];  // the cuts that follow one another
  int next_count;
  uint64_t each;   // the same for each link, of bytes from the dialler; 0: not
  uint64_t every;  // and again after at most so many more; 0: not
  int unaware;     // the end that is not told of a cut, or -1
  bool deaf;       // what is accepted is cut at once
  bool stalled;    // whatever arrives is dropped
  lua_Integer cuts;
  int box;
} proxy;

typedef struct pair {
  pl_list node;  // in proxy.pairs
  proxy *proxy;
  pl_link *ends[2];  // [FROM_DIALLER]: accepted; NULL once closed
  bool dead;         // cut: what still arrives is dropped
} pair;

static void release(proxy *x) {
  if (x->listener != NULL || !pl_list_empty(&x->pairs)) return;
  luaL_unref(x->L, LUA_REGISTRYINDEX, x->box);
  x->box = LUA_NOREF;
}

static void plan_next(proxy *x) {
  if (x->next_count > 0) {
    x->cut_after[x->next[0].way] = x->passed[x->next[0].way] + x->next[0].after;
    memmove(&x->next[0], &x->next[1], (size_t)--x->next_count * sizeof x->next[0]);
    return;
  }
  if (x->every == 0) return;
  int way = (int)pl_random_below(&x->loop->random, 2);
  x->cut_after[way] = x->passed[way] + 1 + pl_random_below(&x->loop->random, x->every);
}

// What has passed arrives; the end it came from is reset.
static void cut(pair *p, int from) {
  proxy *x = p->proxy;
  x->cut_after[from] = PL_NEVER;
  x->cuts++;
  p->dead = true;
  plan_next(x);
  pl_link *source = p->ends[from], *target = p->ends[1 - from];
  if (target != NULL && x->unaware != 1 - from) pl_link_close(target);
  if (source != NULL && x->unaware != from) pl_link_abort(source, PL_PEER_LOST, "cut");
}

static size_t on_bytes(pl_link *l, pl_bytes bytes, void *user) {
  pair *p = user;
  proxy *x = p->proxy;
  int from = l == p->ends[FROM_DIALLER] ? FROM_DIALLER : TO_DIALLER;
  if (p->dead || x->stalled) return bytes.len;
  uint64_t room = x->cut_after[from] - x->passed[from];
  size_t n = bytes.len < room ? bytes.len : (size_t)room;
  pl_link *target = p->ends[1 - from];
  if (target != NULL && n > 0) pl_link_append(target, pl_bytes_of(bytes.data, n));
  x->passed[from] += n;
  if (n == room) cut(p, from);
  return bytes.len;
}

static void on_nothing(pl_link *l, void *user) {
  (void)l, (void)user;
}

static void on_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)why, (void)detail;
  pair *p = user;
  int from = l == p->ends[FROM_DIALLER] ? FROM_DIALLER : TO_DIALLER;
  p->ends[from] = NULL;
  pl_link *other = p->ends[1 - from];
  if (other != NULL) {
    if (p->proxy->unaware != 1 - from) pl_link_close(other);
    return;
  }
  proxy *x = p->proxy;
  pl_list_remove(&p->node);
  pl_free(p);
  release(x);
}

static const pl_link_ops link_ops = {
    .on_open = on_nothing,
    .on_bytes = on_bytes,
    .on_drained = on_nothing,
    .on_close = on_close,
};

static void on_accept(pl_listener *s, pl_link *l, void *user) {
  (void)s;
  proxy *x = user;
  if (x->deaf) {
    pl_link_abort(l, PL_PEER_LOST, "");
    return;
  }
  pair *p = pl_new(pair);
  p->proxy = x;
  p->ends[FROM_DIALLER] = l;
  pl_list_push(&x->pairs, &p->node);
  if (x->each > 0) x->cut_after[FROM_DIALLER] = x->passed[FROM_DIALLER] + x->each;
  pl_link_start(l, &link_ops, p);
  if (pl_link_dial(&p->ends[TO_DIALLER], x->loop, &x->target, &link_ops, p) != PL_OK) {
    pl_link_abort(l, PL_PEER_LOST, "");
  }
}

static void on_error(pl_listener *s, pl_err why, const char *detail, void *user) {
  (void)s, (void)why, (void)detail, (void)user;
}

static const pl_listener_ops listener_ops = {.on_accept = on_accept, .on_error = on_error};

static void check_url(lua_State *L, int arg, pl_url *out) {
  const char *why;
  if (pl_url_parse(out, luaL_checkstring(L, arg), &why) != PL_OK) luaL_argerror(L, arg, why);
}

int testing_new_proxy(lua_State *L, pl_loop *loop, lua_State *main) {
  pl_url url;
  check_url(L, 2, &url);
  proxy *x = lua_newuserdatauv(L, sizeof *x, 1);
  memset(x, 0, sizeof *x);
  x->loop = loop;
  x->L = main;
  x->unaware = -1;
  x->cut_after[0] = x->cut_after[1] = PL_NEVER;
  pl_list_init(&x->pairs);
  check_url(L, 3, &x->target);
  char detail[PL_URL_MAX];
  if (pl_listener_open(&x->listener, loop, &url, &listener_ops, x, detail) != PL_OK) {
    return luaL_error(L, "%s", detail);
  }
  luaL_setmetatable(L, PROXY);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  x->box = luaL_ref(L, LUA_REGISTRYINDEX);
  return 1;
}

static proxy *check_proxy(lua_State *L) {
  return luaL_checkudata(L, 1, PROXY);
}

static int proxy_url(lua_State *L) {
  char text[PL_URL_MAX];
  pl_url_format(pl_listener_url(check_proxy(L)->listener), text);
  lua_pushstring(L, text);
  return 1;
}

// proxy:passed() -> bytes from the dialler, bytes to it
static int proxy_passed(lua_State *L) {
  proxy *x = check_proxy(L);
  lua_pushinteger(L, (lua_Integer)x->passed[FROM_DIALLER]);
  lua_pushinteger(L, (lua_Integer)x->passed[TO_DIALLER]);
  return 2;
}

static int check_way(lua_State *L, int arg) {
  static const char *const ways[] = {"from", "to", NULL};
  return luaL_checkoption(L, arg, NULL, ways);
}

// proxy:cut_after('from' | 'to', n, ...): when n more bytes from, or to, the dialler have passed;
// then when so many more have, and so on
static int proxy_cut_after(lua_State *L) {
  proxy *x = check_proxy(L);
  x->next_count = 0;
  for (int arg = 2; arg < lua_gettop(L); arg += 2) {
    luaL_argcheck(L, x->next_count < CUTS_MAX, arg, "too many cuts");
    x->next[x->next_count].way = check_way(L, arg);
    x->next[x->next_count++].after = (uint64_t)luaL_checkinteger(L, arg + 1);
  }
  plan_next(x);
  return 0;
}

// proxy:aim(url): where new links lead
static int proxy_aim(lua_State *L) {
  check_url(L, 2, &check_proxy(L)->target);
  return 0;
}

// proxy:cut(): all there is
static int proxy_cut(lua_State *L) {
  proxy *x = check_proxy(L);
  for (pl_list *n = x->pairs.next, *next; n != &x->pairs; n = next) {
    next = n->next;
    pair *p = pl_container(n, pair, node);
    if (!p->dead) cut(p, FROM_DIALLER);
  }
  return 0;
}

// proxy:cut_every(n): after at most n bytes one way or the other, again and again; 0: no more
static int proxy_cut_every(lua_State *L) {
  proxy *x = check_proxy(L);
  x->every = (uint64_t)luaL_checkinteger(L, 2);
  x->cut_after[0] = x->cut_after[1] = PL_NEVER;
  plan_next(x);
  return 0;
}

// proxy:cut_each(n): each new link after n bytes from the dialler; 0: no more
static int proxy_cut_each(lua_State *L) {
  check_proxy(L)->each = (uint64_t)luaL_checkinteger(L, 2);
  return 0;
}

// proxy:leave_unaware('from' | 'to' | nil): the dialler, or the other end, is not told of a cut
static int proxy_leave_unaware(lua_State *L) {
  proxy *x = check_proxy(L);
  x->unaware = lua_isnoneornil(L, 2) ? -1 : check_way(L, 2);
  return 0;
}

static int proxy_deafen(lua_State *L) {
  check_proxy(L)->deaf = lua_toboolean(L, 2);
  return 0;
}

static int proxy_stall(lua_State *L) {
  check_proxy(L)->stalled = lua_toboolean(L, 2);
  return 0;
}

static int proxy_cuts(lua_State *L) {
  lua_pushinteger(L, check_proxy(L)->cuts);
  return 1;
}

// proxy:unlisten(): nobody is there any more; links stay
static int proxy_unlisten(lua_State *L) {
  proxy *x = check_proxy(L);
  if (x->listener != NULL) pl_listener_close(x->listener);
  x->listener = NULL;
  return 0;
}

static int proxy_close(lua_State *L) {
  proxy *x = check_proxy(L);
  proxy_unlisten(L);
  for (pl_list *n = x->pairs.next, *next; n != &x->pairs; n = next) {
    next = n->next;
    pair *p = pl_container(n, pair, node);
    for (int i = 0; i < 2; i++)
      if (p->ends[i] != NULL) pl_link_abort(p->ends[i], PL_PEER_LOST, "");
  }
  release(x);
  return 0;
}

static int nothing_to_free(lua_State *L) {
  (void)L;  // it is in the registry until nothing is left
  return 0;
}

void testing_add_proxies(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"url", proxy_url},
      {"passed", proxy_passed},
      {"cut_after", proxy_cut_after},
      {"cut", proxy_cut},
      {"aim", proxy_aim},
      {"cut_every", proxy_cut_every},
      {"cut_each", proxy_cut_each},
      {"cuts", proxy_cuts},
      {"leave_unaware", proxy_leave_unaware},
      {"deafen", proxy_deafen},
      {"stall", proxy_stall},
      {"unlisten", proxy_unlisten},
      {"close", proxy_close},
      {NULL, NULL},
  };
  testing_new_class(L, PROXY, methods, nothing_to_free);
}
