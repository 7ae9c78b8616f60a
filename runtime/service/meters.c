#include "service/meters.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

typedef struct held_meter {
  pl_meter meter;  // first: one is the other
  unsigned holders;
  pl_list idle;
  size_t name_len;
  char name[];
} held_meter;

static held_meter *of_meter(pl_meter *m) {
  return pl_container(m, held_meter, meter);
}

void pl_meters_init(pl_meters *s, pl_laps *laps) {
  *s = (pl_meters){.laps = laps};
  pl_list_init(&s->idle);
}

void pl_meters_fini(pl_meters *s) {
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&s->by_name, &at)) != NULL;)
    pl_free(e->value);
  pl_map_fini(&s->by_name);
  pl_free(s->rest);
}

enum { LOOKED = 16 };  // at the oldest that nobody holds, for one of which no call is under way

// False: all are needed.
static bool make_room(pl_meters *s) {
  if (s->by_name.count < PL_METERS_MAX) return true;
  pl_laps_settle(s->laps);
  pl_list *n = s->idle.next;
  for (unsigned i = 0; i < LOOKED && n != &s->idle; i++, n = n->next) {
    held_meter *h = pl_container(n, held_meter, idle);
    if (pl_meter_under_way(&h->meter) > 0) continue;
    pl_list_remove(&h->idle);
    pl_map_remove_bytes(&s->by_name, h->name, h->name_len);
    pl_free(h);
    return true;
  }
  return false;
}

static held_meter *add(pl_meters *s, pl_bytes name) {
  held_meter *h = pl_alloc(sizeof *h + name.len);
  h->name_len = name.len;
  pl_list_init(&h->idle);
  memcpy(h->name, name.data, name.len);
  pl_map_put_bytes(&s->by_name, name.data, name.len, h);
  return h;
}

pl_meter *pl_meters_hold(pl_meters *s, pl_bytes name) {
  held_meter *h = pl_map_find_bytes(&s->by_name, name.data, name.len);
  if (h == NULL && !make_room(s)) {
    if (s->rest == NULL) s->rest = pl_new(pl_meter);
    return s->rest;
  }
  if (h == NULL) h = add(s, name);
  pl_list_remove(&h->idle);
  h->holders++;
  return &h->meter;
}

void pl_meters_drop(pl_meters *s, pl_meter *m) {
  if (m == s->rest || m == &s->unlisted) return;
  held_meter *h = of_meter(m);
  assert(h->holders > 0);
  if (--h->holders == 0) pl_list_push(&s->idle, &h->idle);
}

bool pl_meters_next(const pl_meters *s, size_t *at, pl_bytes *name, const pl_meter **m) {
  const pl_map_entry *e = *at == SIZE_MAX ? NULL : pl_map_next(&s->by_name, at);
  if (e != NULL) {
    const held_meter *h = e->value;
    *name = pl_bytes_of(h->name, h->name_len);
    *m = &h->meter;
    return true;
  }
  if (*at == SIZE_MAX || s->rest == NULL) return false;
  *at = SIZE_MAX;
  *name = (pl_bytes){0};
  *m = s->rest;
  return true;
}

void pl_laps_settle(pl_laps *l) {
  if (l->count == 0) return;
  uint64_t now_us = pl_now_precise_us(l->loop);
  for (unsigned i = 0; i < l->count; i++) {
    uint64_t began_us = l->list[i].began_us;
    pl_histogram_add(l->list[i].of, now_us > began_us ? now_us - began_us : 0);
  }
  l->count = 0;
}

void pl_laps_run(pl_work *work) {
  pl_laps_settle(pl_container(work, pl_laps, work));
}
