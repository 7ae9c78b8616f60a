#include "service/action.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "service/admission.h"
#include "service/system.h"

// Handlers.

static void tell_gone(pl_work *w) {
  pl_handler *h = pl_container(w, pl_handler, gone);
  if (h->ops->on_gone != NULL) h->ops->on_gone(h->user);
  pl_free(h);
}

static pl_handler *handler_new(pl_loop *loop, const pl_action_ops *ops, void *user) {
  pl_handler *h = pl_new(pl_handler);
  h->loop = loop;
  h->ops = ops;
  h->user = user;
  h->refs = 1;
  return h;
}

void pl_handler_drop(pl_handler *h) {
  assert(h->refs > 0);
  if (--h->refs == 0) pl_loop_defer(h->loop, &h->gone, tell_gone);
}

// Actions.

static void run_gone(pl_work *w) {
  pl_action *a = pl_container(w, pl_action, gone);
  pl_handler_drop(a->handler);
  pl_meters_drop(&a->service->meters, a->meter);
  pl_free(a);
}

void pl_action_drop(pl_action *a) {
  assert(a->refs > 0);
  if (--a->refs == 0) pl_loop_defer(a->service->loop, &a->gone, run_gone);
}

void pl_action_free(pl_action *a) {
  assert(a->handler->refs == 1);
  tell_gone(&a->handler->gone);
  pl_free(a);
}

pl_action *pl_action_new(pl_service *sv, pl_bytes name, bool system, const pl_action_options *o,
                         const pl_action_ops *ops, void *user) {
  pl_action *a = pl_alloc(sizeof *a + name.len);
  *a = (pl_action){.service = sv, .options = *o, .refs = 1, .system = system, .name_len = name.len};
  a->options.attributes = (pl_bytes){0};
  a->handler = handler_new(sv->loop, ops, user);
  a->meter = system ? &sv->meters.unlisted : pl_meters_hold(&sv->meters, name);
  memcpy(a->name, name.data, name.len);
  pl_gate_init(&a->gate, sv, o);
  return a;
}

pl_action *pl_action_find(pl_service *sv, pl_bytes name) {
  return pl_map_find_bytes(&sv->actions, name.data, name.len);
}

void *pl_service_action_user(pl_service *sv, pl_bytes name, const pl_action_ops *ops) {
  const pl_action *a = pl_action_find(sv, name);
  return a != NULL && a->handler->ops == ops ? a->handler->user : NULL;
}

size_t pl_service_action_count(const pl_service *sv) {
  return sv->actions.count;
}

// What others are told of an action, and this node knows of itself.

static bool name_is_valid(pl_bytes name) {
  if (name.len == 0 || name.len > PL_NAME_MAX) return false;
  for (size_t i = 0; i < name.len; i++) {
    if (name.data[i] < 0x20 || name.data[i] == 0x7f) return false;
  }
  return true;
}

// Names beginning with `_` stay in this node.
static bool is_public(pl_bytes name) {
  return name.data[0] != '_';
}

static pl_err tell(pl_service *sv, pl_bytes name, pl_bytes attributes) {
  pl_err err = is_public(name) ? pl_adverts_add(sv, name, attributes) : PL_OK;
  return err == PL_OK ? pl_directory_offer(&sv->directory, &sv->local, name, attributes) : err;
}

static void withdraw(pl_service *sv, pl_bytes name) {
  pl_directory_withdraw(&sv->directory, &sv->local, name);
  pl_adverts_remove(sv, name);
}

// Changes.

// What was told before a change.
typedef struct before {
  bool told;
  pl_bytes attributes;  // one reference
} before;

static void undo(pl_service *sv, const pl_action_change *c, const before *b) {
  if (b->told) {
    tell(sv, c->name, b->attributes);
  } else {
    withdraw(sv, c->name);
  }
}

static pl_err tell_change(pl_service *sv, const pl_action_change *c, before *b) {
  *b = (before){0};
  bool refused = !name_is_valid(c->name) || pl_system_is_known(sv, c->name);
  if (c->ops != NULL && refused) return PL_INVALID;
  const pl_offer *o = pl_directory_own(&sv->directory, &sv->local, c->name);
  if (o == NULL && c->ops == NULL) return PL_NOT_FOUND;
  if (o != NULL && !pl_bytes_keep(&b->attributes, o->attributes)) return PL_NO_MEMORY;
  b->told = o != NULL;
  if (c->ops == NULL) {
    withdraw(sv, c->name);
    return PL_OK;
  }
  pl_err err = tell(sv, c->name, c->options->attributes);
  if (err != PL_OK) undo(sv, c, b);
  return err;
}

static void put(pl_service *sv, const pl_action_change *c) {
  pl_action *a = pl_action_find(sv, c->name);
  if (a != NULL) {
    pl_handler *old = a->handler;
    a->handler = handler_new(sv->loop, c->ops, c->user);
    pl_handler_drop(old);
    pl_admission_change(a, c->options);
    return;
  }
  a = pl_action_new(sv, c->name, false, c->options, c->ops, c->user);
  pl_map_put_bytes(&sv->actions, c->name.data, c->name.len, a);
}

static void carry_out(pl_service *sv, const pl_action_change *c) {
  if (c->ops != NULL) {
    put(sv, c);
  } else {
    pl_action_drop(pl_map_remove_bytes(&sv->actions, c->name.data, c->name.len));
  }
}

pl_err pl_service_change_actions(pl_service *sv, const pl_action_change *changes, size_t count,
                                 size_t *failed) {
  before *told = pl_alloc((count + 1) * sizeof *told);
  pl_err err = PL_OK;
  size_t done = 0;
  while (done < count && (err = tell_change(sv, &changes[done], &told[done])) == PL_OK)
    done++;
  *failed = done;
  if (err != PL_OK) pl_bytes_drop(&told[done].attributes);
  for (size_t i = err == PL_OK ? 0 : done; i-- > 0;)
    undo(sv, &changes[i], &told[i]);
  for (size_t i = 0; i < done; i++) {
    if (err == PL_OK) carry_out(sv, &changes[i]);
    pl_bytes_drop(&told[i].attributes);
  }
  pl_free(told);
  if (err == PL_OK) sv->config.on_change(sv->config.user);
  return err;
}

pl_err pl_service_add_action(pl_service *sv, pl_bytes name, const pl_action_options *o,
                             const pl_action_ops *ops, void *user) {
  const pl_action_change change = {.name = name, .options = o, .ops = ops, .user = user};
  size_t failed;
  return pl_service_change_actions(sv, &change, 1, &failed);
}

pl_err pl_service_remove_action(pl_service *sv, pl_bytes name) {
  const pl_action_change change = {.name = name};
  size_t failed;
  return pl_service_change_actions(sv, &change, 1, &failed);
}
