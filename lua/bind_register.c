// mesh.action and mesh.remove: a generation that loads in place of another holds back what it
// registers, until all of it takes the place of what is there.

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_action.h"
#include "lua/error.h"
#include "lua/script.h"
#include "lua/value.h"
#include "lua/watchdog.h"

#define NAME_TEXT                                         \
  "a name is 1 to 255 bytes without control characters, " \
  "and not one of the node itself"

static pl_bytes name_of(const pl_registration *r) {
  return pl_bytes_of(r->name, r->name_len);
}

static pl_registration *at(pl_list *node) {
  return pl_container(node, pl_registration, node);
}

static void registration_free(pl_registration *r) {
  if (r->generation != NULL) {
    lua_State *L = pl_vm_state(r->generation->vm);
    luaL_unref(L, LUA_REGISTRYINDEX, r->handler);
    luaL_unref(L, LUA_REGISTRYINDEX, r->schema_ref);
  }
  pl_list_remove(&r->node);
  pl_bytes_drop(&r->description);
  pl_bytes_drop(&r->options.attributes);
  pl_free(r);
}

void pl_registration_gone(void *registration) {
  pl_registration *r = registration;
  pl_generation *g = r->generation;
  registration_free(r);
  if (g != NULL && pl_list_empty(&g->actions)) pl_generation_actions_gone(g);
}

void pl_registrations_close(pl_generation *g) {
  g->state = PL_GENERATION_CLOSING;
  pl_map_fini(&g->held_back);  // what still cleans up finds nothing of it
  while (!pl_list_empty(&g->actions)) {
    pl_registration *r = at(g->actions.next);
    pl_list_remove(&r->node);
    if (r->held_back) {
      registration_free(r);
    } else {
      r->generation = NULL;
    }
  }
}

// Registering.

static pl_registration *find_held_back(pl_generation *g, pl_bytes name) {
  return pl_map_find_bytes(&g->held_back, name.data, name.len);
}

static pl_registration *registration_new(pl_generation *g, pl_bytes name) {
  pl_registration *r = pl_alloc(sizeof *r + name.len + 1);
  r->generation = g;
  r->topic = pl_watchdog_number();
  r->name_len = name.len;
  memcpy(r->name, name.data, name.len);
  return r;
}

static void read_options(lua_State *L, pl_registration *r) {
  pl_action_options *o = &r->options;
  lua_getfield(L, 3, "concurrency");
  o->concurrency = luaL_optinteger(L, -1, 0);
  lua_getfield(L, 3, "queue");
  o->queue = luaL_optinteger(L, -1, -1);
  lua_getfield(L, 3, "timeout");
  o->timeout_us = (uint64_t)(luaL_optnumber(L, -1, 0) * 1e6);
  lua_getfield(L, 3, "cpu_limit");
  r->cpu_limit_us = (uint64_t)(luaL_optnumber(L, -1, 0) * 1e6);
  lua_getfield(L, 3, "json");
  o->codec = lua_toboolean(L, -1) ? PL_CODEC_JSON : PL_CODEC_MSGPACK;
  lua_getfield(L, 3, "idempotent");
  o->idempotent = lua_toboolean(L, -1);
  lua_getfield(L, 3, "share");
  o->share = lua_toboolean(L, -1);
  lua_pop(L, 7);
}

static int refuse(lua_State *L, pl_err err, const char *name) {
  return pl_raise_code(L, err, PL_NOT_SENT, "mesh.action: '%s' cannot be registered: %s", name,
                       err == PL_INVALID ? NAME_TEXT : pl_err_text(err));
}

static pl_err publish(pl_node *n, pl_registration *r) {
  pl_err err = pl_node_add_action(n, name_of(r), &r->options, &pl_registration_ops, r);
  r->options.attributes = (pl_bytes){0};  // those of a buffer of the VM
  return err;
}

static pl_err hold_back(pl_registration *r) {
  if (!pl_bytes_keep(&r->options.attributes, r->options.attributes)) return PL_NO_MEMORY;
  r->held_back = true;
  pl_registration *before = pl_map_put_bytes(&r->generation->held_back, r->name, r->name_len, r);
  if (before != NULL) registration_free(before);
  return PL_OK;
}

// The schema of the rows at 5, which the registry keeps.
static void read_schema(lua_State *L, pl_registration *r) {
  r->schema_ref = LUA_NOREF;
  if (lua_isnoneornil(L, 5)) return;
  r->schema = pl_schema_new(L, 5);
  r->schema_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static bool keep_description(pl_registration *r, pl_bytes text) {
  return pl_bytes_keep(&r->description, pl_bytes_of(text.data, text.len));
}

static pl_registration *make(pl_generation *g, pl_bytes name, const pl_registration *settings) {
  pl_registration *r = registration_new(g, name);
  r->handler = settings->handler;
  r->schema = settings->schema;
  r->schema_ref = settings->schema_ref;
  r->cpu_limit_us = settings->cpu_limit_us;
  r->options = settings->options;
  return r;
}

// action(name, handler, {concurrency=, queue=, timeout=, cpu_limit=, json=, idempotent=, share=},
// attributes, rows of the schema or nil, description): checked by the Lua side.
int pl_register_action(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  pl_bytes description;
  description.data = (const uint8_t *)luaL_checklstring(L, 6, &description.len);
  if (description.len > PL_DESCRIPTION_MAX)
    return pl_raise_code(
        L, PL_TOO_LARGE, PL_NOT_SENT,
        "mesh.action: what is said of '%s' takes %zu bytes encoded, %d are possible", name,
        description.len, PL_DESCRIPTION_MAX);
  pl_node *n = pl_host_start(L);
  pl_generation *g = pl_generation_of(L);
  if (g->state >= PL_GENERATION_DRAINING)
    return pl_raise_code(L, PL_DRAINING, PL_NOT_SENT,
                         "mesh.action: a newer generation of the script serves");
  pl_buf *scratch = pl_vm_scratch(pl_vm_of(L));
  pl_value_encode(L, PL_CODEC_MSGPACK, 4, "attributes", PL_ADVERT_MAX, scratch);
  pl_registration settings = {0};
  read_options(L, &settings);
  settings.options.attributes = pl_bytes_of(pl_buf_data(scratch), pl_buf_len(scratch));
  read_schema(L, &settings);
  lua_pushvalue(L, 2);
  settings.handler = luaL_ref(L, LUA_REGISTRYINDEX);

  pl_registration *r = make(g, pl_bytes_of(name, len), &settings);
  r->value_max = (size_t)pl_node_options(n)->max_message;
  pl_err err = keep_description(r, description) ? PL_OK : PL_NO_MEMORY;
  if (err == PL_OK) err = pl_generation_is_beside(g) ? hold_back(r) : publish(n, r);
  pl_list_push(&g->actions, &r->node);
  if (err != PL_OK) {
    r->options.attributes = (pl_bytes){0};
    registration_free(r);
    return refuse(L, err, name);
  }
  g->keeps = true;
  char detail[PL_URL_MAX] = "";
  err = pl_node_promote(n, detail);
  return err == PL_OK ? 0 : pl_raise_code(L, err, PL_NOT_SENT, "%s", detail);
}

// remove(name) -> whether there was one
int pl_remove_action(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  pl_node *n = pl_host_start(L);
  pl_generation *g = pl_generation_of(L);
  pl_registration *r = pl_map_remove_bytes(&g->held_back, name, len);
  bool removed = r != NULL;
  if (removed) {
    registration_free(r);
  } else if (g->state < PL_GENERATION_DRAINING && !pl_generation_is_beside(g)) {
    removed = pl_node_remove_action(n, pl_bytes_of(name, len)) == PL_OK;
  }
  lua_pushboolean(L, removed);
  return 1;
}

// Generations.

// Whether calls of that name begin in `g`.
static bool serves(pl_generation *g, pl_bytes name) {
  pl_node *n = pl_host_node(pl_script_host(g->script));
  const pl_registration *r = n == NULL ? NULL : pl_node_action_user(n, name, &pl_registration_ops);
  return r != NULL && r->generation == g;
}

static bool is_current(pl_generation *g, pl_registration *r) {
  pl_node *n = pl_host_node(pl_script_host(g->script));
  return n != NULL && pl_node_action_user(n, name_of(r), &pl_registration_ops) == r;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(pl_texts *t) {
  if (t->count > 1) qsort(t->items, t->count, sizeof *t->items, by_name);
}

void pl_registrations_compare(pl_difference *out, pl_generation *old, pl_generation *next) {
  *out = (pl_difference){0};
  for (pl_list *node = next->actions.next; node != &next->actions; node = node->next) {
    pl_registration *r = at(node);
    pl_texts_add(serves(old, name_of(r)) ? &out->replaced : &out->added, r->name);
  }
  for (pl_list *node = old->actions.next; node != &old->actions; node = node->next) {
    pl_registration *r = at(node);
    if (is_current(old, r) && find_held_back(next, name_of(r)) == NULL)
      pl_texts_add(&out->removed, r->name);
  }
  sort(&out->added);
  sort(&out->removed);
  sort(&out->replaced);
}

void pl_difference_free(pl_difference *d) {
  pl_texts_free(&d->added);
  pl_texts_free(&d->removed);
  pl_texts_free(&d->replaced);
}

static size_t length(const pl_list *list) {
  size_t n = 0;
  for (const pl_list *node = list->next; node != list; node = node->next)
    n++;
  return n;
}

// What goes comes first: there is room then for what comes.
static size_t list_changes(pl_action_change *out, pl_generation *old, pl_generation *next) {
  size_t n = 0;
  for (pl_list *node = old->actions.next; node != &old->actions; node = node->next) {
    pl_registration *r = at(node);
    if (is_current(old, r) && find_held_back(next, name_of(r)) == NULL)
      out[n++] = (pl_action_change){.name = name_of(r)};
  }
  for (pl_list *node = next->actions.next; node != &next->actions; node = node->next) {
    pl_registration *r = at(node);
    out[n++] = (pl_action_change){
        .name = name_of(r), .options = &r->options, .ops = &pl_registration_ops, .user = r};
  }
  return n;
}

pl_err pl_registrations_swap(pl_generation *old, pl_generation *next, char *detail) {
  pl_node *n = pl_host_node(pl_script_host(next->script));
  size_t most = length(&old->actions) + length(&next->actions);
  if (most == 0) return PL_OK;
  pl_action_change *changes = pl_alloc(most * sizeof *changes);
  size_t count = list_changes(changes, old, next), failed = 0;
  pl_err err = count == 0 ? PL_OK : pl_node_change_actions(n, changes, count, &failed);
  if (err != PL_OK)
    snprintf(detail, PL_URL_MAX, "the action '%.*s' cannot be published: %s",
             (int)changes[failed].name.len, (const char *)changes[failed].name.data,
             err == PL_INVALID ? NAME_TEXT : pl_err_text(err));
  pl_free(changes);
  if (err != PL_OK) return err;
  for (pl_list *node = next->actions.next; node != &next->actions; node = node->next) {
    at(node)->held_back = false;
    pl_bytes_drop(&at(node)->options.attributes);
  }
  pl_map_fini(&next->held_back);
  return PL_OK;
}
