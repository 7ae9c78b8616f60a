#include "service/directory.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "service/channel.h"
#include "wire/msgpack.h"

void pl_provider_init(pl_provider *p, const pl_id *id, const char *name) {
  *p = (pl_provider){.id = *id, .name = pl_strdup(name)};
  pl_list_init(&p->offers);
}

void pl_provider_fini(pl_provider *p) {
  assert(pl_list_empty(&p->offers));
  pl_free(p->name);
}

void pl_provider_rename(pl_provider *p, const char *name, size_t len) {
  if (strlen(p->name) == len && memcmp(p->name, name, len) == 0) return;
  pl_free(p->name);
  p->name = pl_alloc(len + 1);
  memcpy(p->name, name, len);
}

void pl_directory_fini(pl_directory *d) {
  pl_map_fini(&d->entries);
}

// The attribute `serializer` decides the codec; anything unknown reads as MessagePack.
static int codec_of(pl_bytes attributes) {
  pl_mp_reader r = {attributes.data, attributes.data + attributes.len};
  pl_mp_token t;
  if (attributes.len == 0 || pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_MAP) return 0;
  for (uint32_t pairs = t.len; pairs > 0; pairs--) {
    if (pl_mp_read(&r, &t) != PL_OK) return 0;
    bool match = t.kind == PL_MP_STR && t.len == 10 && memcmp(t.data, "serializer", 10) == 0;
    if (match) {
      return pl_mp_read(&r, &t) == PL_OK && t.kind == PL_MP_STR && t.len == 4 &&
             memcmp(t.data, "json", 4) == 0;
    }
    if ((t.kind == PL_MP_ARRAY || t.kind == PL_MP_MAP) || pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK)
      return 0;
  }
  return 0;
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

static pl_offer *offer_of(pl_entry *e, const pl_provider *p) {
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
  pl_list_remove(&o->in_provider);
  o->provider->offer_count--;
  pl_bytes_drop(&o->attributes);
  pl_free(o);
  if (!pl_list_empty(&e->offers)) return;
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
    pl_list_push(&p->offers, &o->in_provider);
    p->offer_count++;
  }
  pl_bytes_drop(&o->attributes);
  o->attributes = kept;
  o->codec = codec_of(kept);
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

static bool reachable(const pl_offer *o) {
  return o->provider->channel != NULL && !o->provider->draining;
}

pl_offer *pl_directory_choose(pl_entry *e, const pl_id *only) {
  pl_offer *best = NULL;
  for (pl_list *at = e->offers.next; at != &e->offers; at = at->next) {
    pl_offer *o = pl_container(at, pl_offer, in_entry);
    if (only != NULL && !pl_id_equal(&o->provider->id, only)) continue;
    if (!reachable(o)) continue;
    if (best == NULL || o->provider->channel->calls_open < best->provider->channel->calls_open)
      best = o;
  }
  if (best != NULL && e->offers.prev != &best->in_entry) {
    pl_list_remove(&best->in_entry);
    pl_list_push(&e->offers, &best->in_entry);
  }
  return best;
}

bool pl_directory_drains(const pl_entry *e, const pl_id *only) {
  for (const pl_list *at = e->offers.next; at != &e->offers; at = at->next) {
    const pl_offer *o = pl_container(at, const pl_offer, in_entry);
    if (only != NULL && !pl_id_equal(&o->provider->id, only)) continue;
    if (o->provider->channel != NULL && o->provider->draining) return true;
  }
  return false;
}
