#include "service/action.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "service/admission.h"

static void tell_gone(pl_work *w) {
  pl_action *a = pl_container(w, pl_action, gone);
  if (a->ops->on_gone != NULL) a->ops->on_gone(a->user);
  pl_free(a);
}

void pl_action_drop(pl_action *a) {
  assert(a->refs > 0);
  if (--a->refs == 0) pl_loop_defer(a->service->loop, &a->gone, tell_gone);
}

void pl_action_free(pl_action *a) {
  pl_work_cancel(&a->gone);
  tell_gone(&a->gone);
}

pl_action *pl_action_find(pl_service *sv, pl_bytes name) {
  return pl_map_find_bytes(&sv->actions, name.data, name.len);
}

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

pl_err pl_service_add_action(pl_service *sv, pl_bytes name, const pl_action_options *o,
                             const pl_action_ops *ops, void *user) {
  if (!name_is_valid(name)) return PL_INVALID;
  pl_err err = is_public(name) ? pl_adverts_add(sv, name, o->attributes) : PL_OK;
  if (err == PL_OK) err = pl_directory_offer(&sv->directory, &sv->local, name, o->attributes);
  if (err != PL_OK) {
    if (pl_action_find(sv, name) == NULL) pl_adverts_remove(sv, name);
    return err;
  }

  pl_action *a = pl_alloc(sizeof *a + name.len);
  a->service = sv;
  a->options = *o;
  a->options.attributes = (pl_bytes){0};
  a->ops = ops;
  a->user = user;
  a->refs = 1;
  a->name_len = name.len;
  memcpy(a->name, name.data, name.len);
  pl_gate_init(&a->gate, a->options.queue >= 0);

  pl_action *old = pl_map_put_bytes(&sv->actions, name.data, name.len, a);
  if (old != NULL) pl_action_drop(old);
  sv->config.on_change(sv->config.user);
  return PL_OK;
}

pl_err pl_service_remove_action(pl_service *sv, pl_bytes name) {
  pl_action *a = pl_map_remove_bytes(&sv->actions, name.data, name.len);
  if (a == NULL) return PL_NOT_FOUND;
  pl_directory_withdraw(&sv->directory, &sv->local, name);
  pl_adverts_remove(sv, name);
  pl_action_drop(a);
  sv->config.on_change(sv->config.user);
  return PL_OK;
}

size_t pl_service_action_count(const pl_service *sv) {
  return sv->actions.count;
}
