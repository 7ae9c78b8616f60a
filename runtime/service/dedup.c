#include "service/dedup.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

void pl_dedup_init(pl_dedup *d) {
  *d = (pl_dedup){0};
  pl_list_init(&d->finished);
}

void pl_dedup_fini(pl_dedup *d) {
  while (!pl_list_empty(&d->finished))
    pl_dedup_forget(d, pl_container(d->finished.next, pl_dedup_entry, node));
  assert(d->entries.count == 0);
  pl_map_fini(&d->entries);
}

static void make_key(uint8_t key[24], const pl_id *caller, uint64_t call_id) {
  memcpy(key, caller->bytes, sizeof caller->bytes);
  memcpy(key + sizeof caller->bytes, &call_id, sizeof call_id);
}

pl_dedup_entry *pl_dedup_find(pl_dedup *d, const pl_id *caller, uint64_t call_id, uint64_t of) {
  uint8_t key[24];
  make_key(key, caller, call_id);
  pl_dedup_entry *e = pl_map_find_bytes(&d->entries, key, sizeof key);
  return e != NULL && e->of == of ? e : NULL;
}

pl_dedup_entry *pl_dedup_open(pl_dedup *d, const pl_id *caller, uint64_t call_id, uint64_t of,
                              void *owner) {
  uint8_t key[24];
  make_key(key, caller, call_id);
  if (pl_map_find_bytes(&d->entries, key, sizeof key) != NULL) return NULL;
  pl_dedup_entry *e = pl_new(pl_dedup_entry);
  e->owner = owner;
  e->of = of;
  memcpy(e->key, key, sizeof key);
  pl_list_init(&e->node);
  pl_list_init(&e->followers);
  pl_map_put_bytes(&d->entries, key, sizeof key, e);
  return e;
}

static size_t size_of(const pl_dedup_entry *e) {
  const pl_failure *f = &e->failure;
  return sizeof *e + e->result.len + f->message.len + f->name.len + f->action.len +
         f->traceback.len + f->cause.len + f->details.len;
}

void pl_dedup_forget(pl_dedup *d, pl_dedup_entry *e) {
  assert(pl_list_empty(&e->followers));
  if (!pl_list_empty(&e->node)) d->bytes -= size_of(e);
  pl_list_remove(&e->node);
  pl_map_remove_bytes(&d->entries, e->key, sizeof e->key);
  pl_bytes_drop(&e->result);
  if (e->failed) pl_failure_drop(&e->failure);
  pl_free(e);
}

// What a view refers to may be a slab or a larger body: the answer is copied.
static bool keep(pl_dedup_entry *e, const pl_parts *result, const pl_failure *failure) {
  if (failure != NULL) {
    e->failure = pl_failure_keep(failure);
    e->failed = true;
    return true;
  }
  size_t len = pl_parts_len(result);
  pl_slice *copy = len <= PL_DEDUP_ANSWER_MAX ? pl_slice_new(len) : NULL;
  if (copy == NULL) return false;
  copy->len = pl_parts_copy(result, copy->data, len);
  e->result = (pl_bytes){copy->data, len, copy};
  return true;
}

unsigned pl_dedup_finish(pl_dedup *d, pl_dedup_entry *e, const pl_parts *result,
                         const pl_failure *failure, uint64_t now_us) {
  e->owner = NULL;
  if (!keep(e, result, failure)) {
    pl_dedup_forget(d, e);
    return 0;
  }
  e->until_us = now_us + PL_DEDUP_US;
  pl_list_push(&d->finished, &e->node);
  d->bytes += size_of(e);
  unsigned forgotten = 0;
  for (; d->bytes > PL_DEDUP_BYTES; forgotten++)
    pl_dedup_forget(d, pl_container(d->finished.next, pl_dedup_entry, node));
  return forgotten;
}

uint64_t pl_dedup_expire(pl_dedup *d, uint64_t now_us) {
  while (!pl_list_empty(&d->finished)) {
    pl_dedup_entry *e = pl_container(d->finished.next, pl_dedup_entry, node);
    if (e->until_us > now_us) return e->until_us;
    pl_dedup_forget(d, e);
  }
  return PL_NEVER;
}
