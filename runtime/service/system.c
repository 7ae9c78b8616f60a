#include "service/system.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/ancestry.h"
#include "service/request_impl.h"

enum { BUSY_RETRY_MS = 100 };  // they are short, as a rule

// Ping.

static void on_ping(pl_request *r, void *user) {
  (void)user;
  const pl_parts nothing = pl_parts_of(pl_bytes_of("\x90", 1));
  pl_request_end(r, &nothing, NULL);
}

static const pl_action_ops ping_ops = {.on_start = on_ping};

// Names.

bool pl_system_is_guarded(pl_bytes name) {
  static const char prefix[] = PL_SYSTEM_PREFIX;
  return name.len >= sizeof prefix - 1 && memcmp(name.data, prefix, sizeof prefix - 1) == 0;
}

bool pl_system_lets_in(const pl_channel *ch) {
  if (!pl_channel_is_trusted(ch)) return false;
  if (pl_session_identity(ch->session).len > 0) return true;
  return !pl_link_is_foreign(pl_session_link(ch->session));
}

pl_action *pl_system_find(pl_service *sv, pl_bytes name) {
  if (name.len == 0 || name.data[0] != '_') return NULL;
  return pl_map_find_bytes(&sv->system, name.data, name.len);
}

// Life.

void pl_service_add_system_action(pl_service *sv, const char *name, const pl_action_ops *ops,
                                  void *user) {
  const pl_action_options o = {.concurrency = PL_SYSTEM_CALLS, .queue = -1};
  pl_action *a = pl_action_new(sv, pl_bytes_of(name, strlen(name)), true, &o, ops, user);
  pl_action *old = pl_map_put_bytes(&sv->system, name, strlen(name), a);
  if (old != NULL) pl_action_drop(old);
}

void pl_system_init(pl_service *sv) {
  pl_service_add_system_action(sv, PL_PING_ACTION, &ping_ops, NULL);
}

void pl_system_fini(pl_service *sv) {
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&sv->system, &at)) != NULL;)
    pl_action_free(e->value);
  pl_map_fini(&sv->system);
}

// Requests.

void pl_system_admit(pl_request *r) {
  pl_action *a = r->action;
  int64_t most = a->options.concurrency;
  if (most > 0 && a->gate.running >= (size_t)most) {
    pl_request_refuse(r, PL_BUSY, "too many calls of this action of the node run", BUSY_RETRY_MS);
    return;
  }
  r->state = PL_REQUEST_RUNNING;
  r->started_us = pl_now_us(r->service->loop);
  a->gate.running++;
  r->service->loop->metrics.requests_system++;
  r->handler = pl_handler_hold(a->handler);
  a->handler->ops->on_start(r, a->handler->user);
}

void pl_system_release(pl_request *r) {
  r->action->gate.running--;
  pl_ancestry_end(r);
}
