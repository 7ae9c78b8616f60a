#include "route/items.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static pl_bytes part(pl_slice *s, uint16_t at, uint16_t len) {
  return (pl_bytes){.data = pl_item_of(s)->raw + at, .len = len, .owner = s};
}

pl_bytes pl_item_raw(pl_slice *s) {
  return part(s, 0, pl_item_of(s)->raw_len);
}

pl_bytes pl_item_kind(pl_slice *s) {
  return part(s, pl_item_of(s)->kind_at, pl_item_of(s)->kind_len);
}

pl_bytes pl_item_name(pl_slice *s) {
  return part(s, pl_item_of(s)->name_at, pl_item_of(s)->name_len);
}

pl_bytes pl_item_attributes(pl_slice *s) {
  return part(s, pl_item_of(s)->attributes_at, pl_item_of(s)->attributes_len);
}

void pl_item_view(pl_slice *s, pl_msg_advert_item *out) {
  *out = (pl_msg_advert_item){
      .kind = pl_item_kind(s),
      .name = pl_item_name(s),
      .attributes = pl_item_attributes(s),
      .raw = pl_item_raw(s),
      .withdrawn = pl_item_of(s)->withdrawn,
  };
}

static uint16_t offset_in(pl_bytes raw, pl_bytes piece) {
  return piece.len == 0 ? 0 : (uint16_t)(piece.data - raw.data);
}

pl_slice *pl_item_new(const pl_msg_advert_item *item) {
  pl_slice *s = pl_slice_new(sizeof(pl_item) + item->raw.len);
  if (s == NULL) return NULL;
  s->len = sizeof(pl_item) + item->raw.len;
  *pl_item_of(s) = (pl_item){
      .kind_at = offset_in(item->raw, item->kind),
      .kind_len = (uint16_t)item->kind.len,
      .name_at = offset_in(item->raw, item->name),
      .name_len = (uint16_t)item->name.len,
      .attributes_at = offset_in(item->raw, item->attributes),
      .attributes_len = (uint16_t)item->attributes.len,
      .raw_len = (uint16_t)item->raw.len,
      .withdrawn = item->withdrawn,
  };
  memcpy(pl_item_of(s)->raw, item->raw.data, item->raw.len);
  return s;
}

// Order.

static int compare_bytes(pl_bytes a, pl_bytes b) {
  size_t shorter = a.len < b.len ? a.len : b.len;
  int by_text = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
  return by_text != 0 ? by_text : (a.len > b.len) - (a.len < b.len);
}

static int compare_key(pl_slice *s, pl_bytes kind, pl_bytes name) {
  int by_kind = compare_bytes(pl_item_kind(s), kind);
  return by_kind != 0 ? by_kind : compare_bytes(pl_item_name(s), name);
}

static int compare(pl_slice *a, pl_slice *b) {
  return compare_key(a, pl_item_kind(b), pl_item_name(b));
}

// Where the key is, or would be.
static uint32_t place(const pl_items *set, pl_bytes kind, pl_bytes name, bool *there) {
  uint32_t low = 0, high = set->count;
  *there = false;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = compare_key(set->list[middle], kind, name);
    if (order == 0) {
      *there = true;
      return middle;
    }
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The set.

void pl_items_fini(pl_items *set) {
  for (uint32_t i = 0; i < set->count; i++)
    pl_slice_drop(set->list[i]);
  pl_free(set->list);
  *set = (pl_items){0};
}

static void grow(pl_items *set) {
  if (set->count < set->cap) return;
  uint32_t cap = set->cap == 0 ? 4 : set->cap * 2;
  pl_slice **list = pl_alloc(cap * sizeof *list);
  if (set->count > 0) memcpy(list, set->list, set->count * sizeof *list);
  pl_free(set->list);
  set->list = list;
  set->cap = cap;
}

void pl_items_push(pl_items *set, pl_slice *item) {
  grow(set);
  set->list[set->count++] = item;
  set->bytes += pl_item_bytes(item);
}

static int by_key(const void *a, const void *b) {
  return compare(*(pl_slice *const *)a, *(pl_slice *const *)b);
}

// Lists of nodes of this kind come in order. Of keys that come twice, which nobody may send, any
// may stay.
void pl_items_order(pl_items *set) {
  bool ordered = true;
  for (uint32_t i = 1; ordered && i < set->count; i++)
    ordered = compare(set->list[i - 1], set->list[i]) < 0;
  if (ordered) return;
  qsort(set->list, set->count, sizeof *set->list, by_key);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < set->count; i++) {
    bool repeated = i + 1 < set->count && compare(set->list[i], set->list[i + 1]) == 0;
    if (repeated) {
      set->bytes -= pl_item_bytes(set->list[i]);
      pl_slice_drop(set->list[i]);
    } else {
      set->list[kept++] = set->list[i];
    }
  }
  set->count = kept;
}

pl_slice *pl_items_find(const pl_items *set, pl_bytes kind, pl_bytes name) {
  bool there;
  uint32_t at = place(set, kind, name, &there);
  return there ? set->list[at] : NULL;
}

void pl_items_put(pl_items *set, pl_slice *item) {
  bool there;
  uint32_t at = place(set, pl_item_kind(item), pl_item_name(item), &there);
  set->bytes += pl_item_bytes(item);
  if (there) {
    set->bytes -= pl_item_bytes(set->list[at]);
    pl_slice_drop(set->list[at]);
  } else {
    grow(set);
    memmove(&set->list[at + 1], &set->list[at], (set->count - at) * sizeof *set->list);
    set->count++;
  }
  set->list[at] = item;
}

bool pl_items_remove(pl_items *set, pl_bytes kind, pl_bytes name) {
  bool there;
  uint32_t at = place(set, kind, name, &there);
  if (!there) return false;
  set->bytes -= pl_item_bytes(set->list[at]);
  pl_slice_drop(set->list[at]);
  set->count--;
  memmove(&set->list[at], &set->list[at + 1], (set->count - at) * sizeof *set->list);
  return true;
}

void pl_items_compare(const pl_items *was, const pl_items *now, pl_items_changed_fn *changed,
                      void *user) {
  uint32_t i = 0, j = 0;
  while (i < was->count || j < now->count) {
    int order = i == was->count ? 1 : j == now->count ? -1 : compare(was->list[i], now->list[j]);
    if (order < 0) {
      changed(was->list[i], true, user);
    } else if (order > 0) {
      changed(now->list[j], false, user);
    } else if (compare_bytes(pl_item_raw(was->list[i]), pl_item_raw(now->list[j])) != 0) {
      changed(now->list[j], false, user);
    }
    i += order <= 0;
    j += order >= 0;
  }
}
