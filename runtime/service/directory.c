#include "service/directory.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "service/channel.h"
#include "wire/msgpack.h"

void pl_provider_init(pl_provider *p, const pl_id *id, const char *name) {
  *p = (pl_provider){.id = *id, .name = pl_strdup(name), .tally = pl_node_tally_new()};
  pl_list_init(&p->offers);
}

void pl_provider_fini(pl_provider *p) {
  assert(pl_list_empty(&p->offers));
  pl_node_tally_drop(p->tally);
  pl_free(p->name);
  pl_free(p->region);
}

static void set_text(char **text, const char *to, size_t len) {
  if (*text != NULL && strlen(*text) == len && memcmp(*text, to, len) == 0) return;
  pl_free(*text);
  *text = pl_alloc(len + 1);
  memcpy(*text, to, len);
}

void pl_provider_rename(pl_provider *p, const char *name, size_t len) {
  set_text(&p->name, name, len);
}

void pl_provider_place(pl_provider *p, const char *region, size_t len) {
  set_text(&p->region, region, len < PL_REGION_MAX ? len : PL_REGION_MAX);
}

void pl_directory_init(pl_directory *d, pl_laps *laps) {
  *d = (pl_directory){0};
  pl_meters_init(&d->meters, laps);
}

void pl_directory_fini(pl_directory *d) {
  pl_meters_fini(&d->meters);
  pl_map_fini(&d->entries);
}

static bool is(const pl_mp_token *t, const char *text) {
  return t->kind == PL_MP_STR && t->len == strlen(text) && memcmp(t->data, text, t->len) == 0;
}

uint32_t pl_slots_of(const pl_mp_token *v) {
  if (v->kind != PL_MP_INT || v->v.integer <= 0) return 0;
  return v->v.integer < PL_LOAD_MAX ? (uint32_t)v->v.integer : PL_LOAD_MAX;
}

// Seconds of which a call may make use, as microseconds; 0 when they are none.
static uint64_t timeout_of(const pl_mp_token *v) {
  static const double LONGEST = 1e9;
  double seconds = v->kind == PL_MP_INT     ? (double)v->v.integer
                   : v->kind == PL_MP_FLOAT ? v->v.number
                                            : 0;
  return seconds > 0 && seconds <= LONGEST ? (uint64_t)(seconds * 1e6) : 0;
}

// What concerns who calls; anything unknown, or of another type, is as if it were not said.
static void read_attribute(pl_offer *o, const pl_mp_token *key, const pl_mp_token *v) {
  if (is(key, "serializer")) o->codec = is(v, "json");
  if (is(key, "idempotent")) o->idempotent = v->kind == PL_MP_BOOL && v->v.boolean;
  if (is(key, "strategy") && v->kind == PL_MP_STR)
    o->strategy = (uint8_t)pl_strategy_find((const char *)v->data, v->len);
  if (is(key, "weight") && v->kind == PL_MP_INT && v->v.integer > 0)
    o->weight = (uint16_t)(v->v.integer < PL_WEIGHT_MAX ? v->v.integer : PL_WEIGHT_MAX);
  if (is(key, "concurrency")) o->slots = pl_slots_of(v);
  if (is(key, "timeout")) o->timeout_us = timeout_of(v);
}

static void read_attributes(pl_offer *o) {
  o->codec = 0;
  o->idempotent = false;
  o->strategy = PL_STRATEGY_UNSET;
  o->weight = 0;
  o->slots = 0;
  o->timeout_us = 0;
  pl_mp_reader r = {o->attributes.data, o->attributes.data + o->attributes.len};
  pl_mp_token map, key, v;
  if (o->attributes.len == 0 || pl_mp_read(&r, &map) != PL_OK || map.kind != PL_MP_MAP) return;
  for (uint32_t pairs = map.len; pairs > 0; pairs--) {
    if (pl_mp_read(&r, &key) != PL_OK || key.kind != PL_MP_STR) return;
    pl_mp_reader value = r;
    if (pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK || pl_mp_read(&value, &v) != PL_OK) return;
    read_attribute(o, &key, &v);
  }
}

pl_entry *pl_directory_find(pl_directory *d, pl_bytes name) {
  return pl_map_find_bytes(&d->entries, name.data, name.len);
}

static pl_entry *entry_get(pl_directory *d, pl_bytes name) {
  pl_entry *e = pl_directory_find(d, name);
  if (e != NULL) return e;
  e = pl_alloc(sizeof *e + name.len);
  pl_list_init(&e->offers);
  e->name_len = name.len;
  memcpy(e->name, name.data, name.len);
  pl_map_put_bytes(&d->entries, name.data, name.len, e);
  return e;
}

// Looks through the shorter list: a thousand nodes may provide one action, or one a thousand.
static pl_offer *offer_of(pl_entry *e, const pl_provider *p) {
  if (p->offer_count < e->count) {
    for (const pl_list *at = p->offers.next; at != &p->offers; at = at->next) {
      pl_offer *o = pl_container(at, pl_offer, in_provider);
      if (o->entry == e) return o;
    }
    return NULL;
  }
  for (pl_list *at = e->offers.next; at != &e->offers; at = at->next) {
    pl_offer *o = pl_container(at, pl_offer, in_entry);
    if (o->provider == p) return o;
  }
  return NULL;
}

pl_offer *pl_directory_own(pl_directory *d, const pl_provider *p, pl_bytes name) {
  pl_entry *e = pl_directory_find(d, name);
  return e == NULL ? NULL : offer_of(e, p);
}

static void offer_free(pl_directory *d, pl_offer *o) {
  pl_entry *e = o->entry;
  pl_list_remove(&o->in_entry);
  e->count--;
  pl_list_remove(&o->in_provider);
  o->provider->offer_count--;
  pl_bytes_drop(&o->attributes);
  if (o->tally != NULL) pl_tally_drop(o->tally);
  pl_free(o);
  if (e->count > 0) return;
  if (e->meter != NULL) pl_meters_drop(&d->meters, e->meter);
  pl_map_remove_bytes(&d->entries, e->name, e->name_len);
  pl_free(e);
}

pl_err pl_directory_offer(pl_directory *d, pl_provider *p, pl_bytes name, pl_bytes attributes) {
  pl_offer *o = pl_directory_own(d, p, name);
  if (o == NULL && p->offer_count >= PL_ACTIONS_PER_NODE) return PL_BUSY;

  pl_bytes kept;
  pl_bytes copy = pl_bytes_of(attributes.data, attributes.len);  // must not pin a read slab
  if (!pl_bytes_keep(&kept, copy)) return PL_NO_MEMORY;
  if (o == NULL) {
    o = pl_new(pl_offer);
    o->provider = p;
    o->entry = entry_get(d, name);
    pl_list_push(&o->entry->offers, &o->in_entry);
    o->entry->count++;
    pl_list_push(&p->offers, &o->in_provider);
    p->offer_count++;
  }
  pl_bytes_drop(&o->attributes);
  o->attributes = kept;
  read_attributes(o);
  d->has_json |= o->codec != 0;
  d->has_timeouts |= o->timeout_us > 0;
  return PL_OK;
}

bool pl_directory_withdraw(pl_directory *d, pl_provider *p, pl_bytes name) {
  pl_offer *o = pl_directory_own(d, p, name);
  if (o == NULL) return false;
  offer_free(d, o);
  return true;
}

void pl_directory_withdraw_all(pl_directory *d, pl_provider *p) {
  while (!pl_list_empty(&p->offers))
    offer_free(d, pl_container(p->offers.next, pl_offer, in_provider));
}

pl_offer *pl_entry_first(pl_entry *e) {
  return pl_container(e->offers.next, pl_offer, in_entry);
}

pl_offer *pl_entry_next(pl_entry *e, pl_offer *o) {
  return o->in_entry.next == &e->offers ? NULL : pl_container(o->in_entry.next, pl_offer, in_entry);
}

pl_tally *pl_offer_tally(pl_offer *o) {
  if (o->tally == NULL) o->tally = pl_tally_new(o->provider->tally);
  return o->tally;
}
