// The items of one record: a set ordered by kind and name.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wire/message.h"

// One item as it travels, [kind, name, attributes], and where its parts are. It lives in a slice,
// so that the directory can keep the attributes without a copy.
typedef struct pl_item {
  uint16_t kind_at, kind_len;
  uint16_t name_at, name_len;
  uint16_t attributes_at, attributes_len;
  uint16_t raw_len;
  bool withdrawn;  // only among changes
  bool fresh;      // of the own record: not told yet
  uint8_t raw[];
} pl_item;

typedef struct pl_items {
  pl_slice **list;  // of pl_item, one reference each
  uint32_t count, cap;
  size_t bytes;  // that they take, about
} pl_items;

static inline pl_item *pl_item_of(pl_slice *s) {
  return (pl_item *)(void *)s->data;
}
// Views that may be kept by their owner.
pl_bytes pl_item_raw(pl_slice *s);
pl_bytes pl_item_kind(pl_slice *s);
pl_bytes pl_item_name(pl_slice *s);
pl_bytes pl_item_attributes(pl_slice *s);
void pl_item_view(pl_slice *s, pl_msg_advert_item *out);

// A copy of `item`, which has its `raw`. NULL: no memory.
pl_slice *pl_item_new(const pl_msg_advert_item *item);

void pl_items_fini(pl_items *set);
// At the end, in no order. Takes the reference.
void pl_items_push(pl_items *set, pl_slice *item);
// Orders what was pushed; of several with one key one stays.
void pl_items_order(pl_items *set);

// In an ordered set. NULL: there is none.
pl_slice *pl_items_find(const pl_items *set, pl_bytes kind, pl_bytes name);
// Adds or replaces; takes the reference.
void pl_items_put(pl_items *set, pl_slice *item);
bool pl_items_remove(pl_items *set, pl_bytes kind, pl_bytes name);

static inline size_t pl_item_bytes(const pl_slice *s) {
  return s->cap + 2 * sizeof(pl_slice);
}

// Walks two ordered sets: calls `changed` for every item of `now` that `was` has not or has with
// other attributes, and (`withdrawn`) for every one of `was` whose key `now` lacks.
typedef void pl_items_changed_fn(pl_slice *item, bool withdrawn, void *user);
void pl_items_compare(const pl_items *was, const pl_items *now, pl_items_changed_fn *changed,
                      void *user);
