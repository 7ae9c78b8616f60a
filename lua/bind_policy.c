#include "lua/bind_policy.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/error.h"

// Policies. A userdata with its lists behind it; user value 1: the table that keeps the texts.

// Number of texts in the list `name` of the table at the top.
static size_t count_texts(lua_State *L, const char *name) {
  lua_getfield(L, -1, name);
  size_t n = lua_istable(L, -1) ? (size_t)luaL_len(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}

static void read_texts(lua_State *L, const char *name, pl_bytes *out, size_t n) {
  lua_getfield(L, -1, name);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    out[i].data = (const uint8_t *)luaL_checklstring(L, -1, &out[i].len);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void read_plain(lua_State *L, pl_policy *p) {
  size_t len;
  lua_getfield(L, -1, "strategy");
  const char *strategy = luaL_optlstring(L, -1, "", &len);
  p->strategy = pl_strategy_find(strategy, len);
  lua_getfield(L, -2, "key");
  p->keyed = !lua_isnil(L, -1);
  if (p->keyed) p->key.data = (const uint8_t *)luaL_checklstring(L, -1, &p->key.len);
  lua_getfield(L, -3, "retries");
  p->limited = !lua_isnil(L, -1);
  p->retries = (unsigned)luaL_optinteger(L, -1, 0);
  lua_pop(L, 3);
}

const pl_policy *pl_policy_new(lua_State *L, int index) {
  lua_pushvalue(L, index);
  size_t providers = count_texts(L, "providers"), regions = count_texts(L, "regions");
  size_t size = sizeof(pl_policy) + (providers + regions) * sizeof(pl_bytes);
  pl_policy *p = lua_newuserdatauv(L, size, 1);
  memset(p, 0, size);
  lua_insert(L, -2);
  pl_bytes *texts = (pl_bytes *)(void *)(p + 1);
  read_texts(L, "providers", texts, providers);
  read_texts(L, "regions", texts + providers, regions);
  p->providers = texts;
  p->provider_count = providers;
  p->regions = texts + providers;
  p->region_count = regions;
  read_plain(L, p);
  lua_setiuservalue(L, -2, 1);
  return p;
}

// Standings: collected first, because what walks them survives no error of Lua.

typedef struct standings {
  pl_buf rows;  // of pl_standing
  bool failed;
  pl_explanation how;
} standings;

static int standings_free(lua_State *L) {
  pl_buf_fini(&((standings *)lua_touserdata(L, 1))->rows);
  return 0;
}

static void keep(const pl_standing *row, void *user) {
  standings *s = user;
  s->failed |= !pl_buf_append(&s->rows, row, sizeof *row);
}

// [-0, +1]
static const standings *look(lua_State *L, pl_node *n, const pl_call_options *o, pl_bytes args) {
  standings *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (standings){0};
  if (luaL_newmetatable(L, "perilune.Standings")) {
    lua_pushcfunction(L, standings_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  const pl_parts parts = pl_parts_of(args);
  pl_node_explain(n, o, &parts, &s->how, keep, s);
  if (s->failed) pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for the list of providers");
  return s;
}

static const pl_standing *rows_of(const standings *s, size_t *count) {
  *count = pl_buf_len(&s->rows) / sizeof(pl_standing);
  return (const void *)pl_buf_data(&s->rows);
}

static void set_text(lua_State *L, const char *key, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_seconds(lua_State *L, const char *key, uint64_t us) {
  lua_pushnumber(L, (double)us / 1e6);
  lua_setfield(L, -2, key);
}

static void set_id(lua_State *L, const char *key, const pl_id *id) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  set_text(L, key, hex);
}

static void push_row(lua_State *L, const pl_standing *s) {
  lua_createtable(L, 0, 16);
  set_id(L, "id", &s->id);
  set_text(L, "name", s->name);
  if (s->region[0] != '\0') set_text(L, "region", s->region);
  set_integer(L, "hops", s->hops);
  set_seconds(L, "cost", s->cost_us);
  if (s->latency_us > 0) set_seconds(L, "latency", s->latency_us);
  set_integer(L, "outstanding", s->outstanding);
  set_integer(L, "load", s->load);
  set_integer(L, "weight", s->weight);
  set_text(L, "health", s->health);
}

// Functions that choose.

// The list of those that could take the call, for the function; their number. [-0, +1]
static size_t push_choices(lua_State *L, const pl_standing *rows, size_t count) {
  size_t n = 0;
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    if (!rows[i].able) continue;
    push_row(L, &rows[i]);
    lua_rawseti(L, -2, (lua_Integer)++n);
  }
  return n;
}

static const pl_standing *nth_choice(const pl_standing *rows, size_t count, lua_Integer nth) {
  for (size_t i = 0; i < count; i++) {
    if (rows[i].able && --nth == 0) return &rows[i];
  }
  return NULL;
}

static const pl_standing *named_choice(const pl_standing *rows, size_t count, const char *name,
                                       size_t len) {
  pl_id id;
  bool by_id = pl_id_parse(&id, name, len);
  for (size_t i = 0; i < count; i++) {
    bool is = by_id ? pl_id_equal(&id, &rows[i].id)
                    : strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0;
    if (rows[i].able && is) return &rows[i];
  }
  return NULL;
}

// Replaces the answer at the top by the id of the provider that it means.
static void to_id(lua_State *L, const pl_standing *rows, size_t count) {
  const pl_standing *s = NULL;
  size_t len;
  if (lua_isinteger(L, -1)) {
    s = nth_choice(rows, count, lua_tointeger(L, -1));
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const char *name = lua_tolstring(L, -1, &len);
    s = named_choice(rows, count, name, len);
  }
  if (s == NULL) {
    bool typed = lua_isinteger(L, -1) || lua_type(L, -1) == LUA_TSTRING;
    luaL_error(L, "the strategy function returned %s, which is no candidate's index, id or name",
               typed ? luaL_tolstring(L, -1, NULL) : luaL_typename(L, -1));
  }
  char hex[PL_ID_HEX];
  pl_id_format(&s->id, hex);
  lua_pushstring(L, hex);
  lua_replace(L, -2);
}

// Replaces the answer at the top, one or a list, by a list of ids.
static void to_ids(lua_State *L, const pl_standing *rows, size_t count) {
  bool list = lua_istable(L, -1);
  lua_Integer n = list ? luaL_len(L, -1) : 1;
  if (n > PL_PATTERNS_MAX) n = PL_PATTERNS_MAX;
  if (n < 1) luaL_error(L, "the strategy function returned an empty list");
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_pushvalue(L, -2);
    if (list) {
      lua_rawgeti(L, -1, i);
      lua_replace(L, -2);
    }
    to_id(L, rows, count);
    lua_rawseti(L, -2, i);
  }
  lua_replace(L, -2);
}

const pl_policy *pl_policy_ask(lua_State *L, pl_node *n, int chooser, const pl_call_options *o,
                               const pl_policy *base) {
  luaL_checkstack(L, 12, NULL);
  chooser = lua_absindex(L, chooser);
  size_t count;
  pl_call_options asked = *o;
  asked.policy = base;
  const pl_standing *rows = rows_of(look(L, n, &asked, (pl_bytes){0}), &count);
  lua_pushvalue(L, chooser);
  if (push_choices(L, rows, count) == 0) {
    lua_pop(L, 2);
    return NULL;
  }
  lua_pushlstring(L, (const char *)o->action.data, o->action.len);
  lua_call(L, 2, 1);
  to_ids(L, rows, count);
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "providers");
  if (base != NULL && base->limited) set_integer(L, "retries", base->retries);
  const pl_policy *p = pl_policy_new(L, lua_gettop(L));
  lua_replace(L, -3);  // the standings
  lua_pop(L, 1);
  return p;
}

// Explaining.

void pl_policy_explain(lua_State *L, pl_node *n, const pl_call_options *o, pl_bytes args,
                       bool function) {
  luaL_checkstack(L, 12, NULL);
  size_t count;
  const standings *s = look(L, n, o, args);
  const pl_standing *rows = rows_of(s, &count);
  lua_createtable(L, 0, 6);
  lua_pushlstring(L, (const char *)o->action.data, o->action.len);
  lua_setfield(L, -2, "action");
  set_text(L, "strategy", function ? "function" : pl_strategy_name(s->how.strategy));
  set_text(L, "said_by", function ? "call" : s->how.said_by);
  set_text(L, "reason", s->how.reason);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_row(L, &rows[i]);
    set_text(L, "standing", rows[i].fitness);
    if (!function && rows[i].able) set_integer(L, "score", rows[i].score);
    if (rows[i].hops > 0 && !pl_id_is_zero(&rows[i].via)) set_id(L, "via", &rows[i].via);
    lua_pushboolean(L, rows[i].chosen);
    lua_setfield(L, -2, "chosen");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
    if (!rows[i].chosen) continue;
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    lua_getfield(L, -1, "id");
    lua_setfield(L, -4, "choice");
    lua_pop(L, 1);
  }
  lua_setfield(L, -2, "candidates");
  lua_replace(L, -2);  // the standings
}
