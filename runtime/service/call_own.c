// A call that outlives who made it.

#include <string.h>

#include "base/mem.h"
#include "service/call_impl.h"

// One block: the policy, its lists, and behind them the bytes of all.
typedef struct keep {
  pl_policy policy;
  pl_bytes lists[];
} keep;

static size_t bytes_of(const pl_bytes *list, size_t count) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++)
    n += list[i].len;
  return n;
}

static pl_bytes put(uint8_t **to, pl_bytes from) {
  uint8_t *start = *to;
  if (from.len > 0) memcpy(start, from.data, from.len);
  *to += from.len;
  return pl_bytes_of(start, from.len);
}

static const pl_bytes *put_list(pl_bytes *list, uint8_t **to, const pl_bytes *from, size_t count) {
  for (size_t i = 0; i < count; i++)
    list[i] = put(to, from[i]);
  return list;
}

void pl_call_own(pl_call *c) {
  static const pl_policy none;
  pl_order *o = &c->order;
  if (c->owned != NULL) return;
  const pl_policy *p = c->repeatable && o->policy != NULL ? o->policy : &none;
  size_t lists = p->provider_count + p->region_count;
  size_t bytes = c->action.len + (c->repeatable ? o->meta.len : 0) + p->key.len +
                 bytes_of(p->providers, p->provider_count) + bytes_of(p->regions, p->region_count);
  keep *k = pl_alloc(sizeof *k + lists * sizeof *k->lists + bytes);
  uint8_t *at = (uint8_t *)(k->lists + lists);
  k->policy = *p;
  k->policy.key = put(&at, p->key);
  k->policy.providers = put_list(k->lists, &at, p->providers, p->provider_count);
  k->policy.regions = put_list(k->lists + p->provider_count, &at, p->regions, p->region_count);
  c->owned = k;
  c->action = put(&at, c->action);
  if (!c->repeatable) return;
  o->action = c->action;
  o->meta = put(&at, o->meta);
  if (o->policy != NULL) o->policy = &k->policy;
}
