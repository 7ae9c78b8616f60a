#include "base/store.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

enum {
  SWEEP = 16,   // keys past their time that leave with one operation
  NOWHERE = 0,  // place in the heap
};

typedef struct slot {
  pl_item *item;  // one reference
  pl_list node;   // of the store, oldest key first
  size_t place;   // in the heap, from 1; NOWHERE: it stays for ever
} slot;

struct pl_store {
  atomic_uint refs;
  pthread_mutex_t lock;  // guards all below
  size_t limit, bytes;
  pl_map slots;  // by key
  pl_list order;
  slot **heap;  // of those that expire, from 1: none does so before its parent, at half its place
  size_t heap_count, heap_cap;
  uint64_t change;
  uint64_t refused;
};

// Items.

static pl_item *new_item(const pl_change *c) {
  pl_item *i = pl_try_alloc(sizeof *i + c->key.len + c->len);
  if (i == NULL) return NULL;
  atomic_init(&i->refs, 1);
  i->key_len = (uint32_t)c->key.len;
  i->len = c->len;
  if (c->key.len > 0) memcpy(i->bytes, c->key.data, c->key.len);
  if (c->len > 0) memcpy(i->bytes + c->key.len, c->value, c->len);
  return i;
}

static pl_item *hold(pl_item *i) {
  atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
  return i;
}

void pl_item_drop(pl_item *i) {
  if (i == NULL) return;
  if (atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) == 1) pl_free(i);
}

static size_t cost(const pl_item *i) {
  return PL_STATE_ENTRY + i->key_len + i->len;
}

// The heap.

static uint64_t due(const pl_store *s, size_t place) {
  return s->heap[place]->item->expires_us;
}

static void seat(pl_store *s, slot *x, size_t place) {
  s->heap[place] = x;
  x->place = place;
}

static void swap(pl_store *s, size_t a, size_t b) {
  slot *x = s->heap[a];
  seat(s, s->heap[b], a);
  seat(s, x, b);
}

// What is at `place` may be earlier or later than it should be there.
static void settle(pl_store *s, size_t place) {
  for (; place > 1 && due(s, place) < due(s, place / 2); place /= 2)
    swap(s, place, place / 2);
  for (;;) {
    size_t least = place, left = 2 * place;
    if (left <= s->heap_count && due(s, left) < due(s, least)) least = left;
    if (left < s->heap_count && due(s, left + 1) < due(s, least)) least = left + 1;
    if (least == place) return;
    swap(s, place, least);
    place = least;
  }
}

static bool grow_heap(pl_store *s) {
  if (s->heap_count + 1 < s->heap_cap) return true;
  size_t cap = s->heap_cap == 0 ? 16 : s->heap_cap * 2;
  slot **heap = pl_try_realloc(s->heap, cap * sizeof *heap);
  if (heap == NULL) return false;
  s->heap = heap;
  s->heap_cap = cap;
  return true;
}

static void leave_heap(pl_store *s, slot *x) {
  size_t place = x->place;
  if (place == NOWHERE) return;
  x->place = NOWHERE;
  slot *last = s->heap[s->heap_count--];
  if (last == x) return;
  seat(s, last, place);
  settle(s, place);
}

// Its item is new. There is room for it.
static void enter_heap(pl_store *s, slot *x) {
  if (x->item->expires_us == PL_NEVER) {
    leave_heap(s, x);
    return;
  }
  if (x->place == NOWHERE) seat(s, x, ++s->heap_count);
  settle(s, x->place);
}

// Slots.

static bool is_over(const slot *x, uint64_t now_us) {
  return x->item->expires_us <= now_us;
}

static void remove_slot(pl_store *s, slot *x) {
  leave_heap(s, x);
  pl_list_remove(&x->node);
  pl_map_remove_bytes(&s->slots, x->item->bytes, x->item->key_len);
  s->bytes -= cost(x->item);
  pl_item_drop(x->item);
  pl_free(x);
}

static void sweep(pl_store *s, uint64_t now_us, size_t most) {
  for (; most > 0 && s->heap_count > 0 && due(s, 1) <= now_us; most--) {
    remove_slot(s, s->heap[1]);
    s->change++;
  }
}

static void lock(pl_store *s, uint64_t now_us) {
  pthread_mutex_lock(&s->lock);
  sweep(s, now_us, SWEEP);
}

static void unlock(pl_store *s) {
  pthread_mutex_unlock(&s->lock);
}

// NULL when the key is absent.
static slot *find(pl_store *s, uint64_t now_us, pl_key key) {
  slot *x = pl_map_find_bytes(&s->slots, key.data, key.len);
  return x == NULL || is_over(x, now_us) ? NULL : x;
}

pl_store *pl_store_new(size_t limit) {
  pl_store *s = pl_new(pl_store);
  atomic_init(&s->refs, 1);
  pthread_mutex_init(&s->lock, NULL);
  s->limit = limit;
  s->change = PL_STORE_ABSENT;  // versions are greater
  pl_list_init(&s->order);
  return s;
}

static void clear(pl_store *s) {
  while (!pl_list_empty(&s->order)) {
    slot *x = pl_container(pl_list_pop(&s->order), slot, node);
    pl_item_drop(x->item);
    pl_free(x);
  }
  pl_map_fini(&s->slots);
  s->heap_count = 0;
  s->bytes = 0;
}

pl_store *pl_store_hold(pl_store *s) {
  if (s != NULL) atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

void pl_store_drop(pl_store *s) {
  if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
  clear(s);
  pl_free(s->heap);
  pthread_mutex_destroy(&s->lock);
  pl_free(s);
}

void pl_store_clear(pl_store *s) {
  pthread_mutex_lock(&s->lock);
  if (s->slots.count > 0) s->change++;
  clear(s);
  unlock(s);
}

// Reading.

pl_item *pl_store_get(pl_store *s, uint64_t now_us, pl_key key) {
  lock(s, now_us);
  const slot *x = find(s, now_us, key);
  pl_item *i = x == NULL ? NULL : hold(x->item);
  unlock(s);
  return i;
}

bool pl_store_snapshot(pl_store *s, uint64_t now_us, pl_items *out) {
  *out = (pl_items){0};
  lock(s, now_us);
  out->change = s->change;
  bool ok = true;
  if (s->slots.count > 0) {
    out->items = pl_try_alloc(s->slots.count * sizeof *out->items);
    ok = out->items != NULL;
  }
  for (const pl_list *n = s->order.next; ok && n != &s->order; n = n->next) {
    const slot *x = pl_container(n, slot, node);
    if (!is_over(x, now_us)) out->items[out->count++] = hold(x->item);
  }
  unlock(s);
  return ok;
}

void pl_items_drop(pl_items *i) {
  for (size_t k = 0; k < i->count; k++)
    pl_item_drop(i->items[k]);
  pl_free(i->items);
  *i = (pl_items){0};
}

bool pl_store_next(pl_store *s, uint64_t now_us, pl_key key, pl_item **out) {
  lock(s, now_us);
  *out = NULL;
  const pl_list *at = &s->order;
  if (key.data != NULL) {
    const slot *x = pl_map_find_bytes(&s->slots, key.data, key.len);
    at = x == NULL ? NULL : &x->node;
  }
  bool known = at != NULL;
  while (known && (at = at->next) != &s->order) {
    const slot *x = pl_container(at, slot, node);
    if (is_over(x, now_us)) continue;
    *out = hold(x->item);
    break;
  }
  unlock(s);
  return known;
}

pl_store_use pl_store_usage(pl_store *s) {
  pthread_mutex_lock(&s->lock);
  pl_store_use use = {
      .keys = s->slots.count, .bytes = s->bytes, .change = s->change, .refused = s->refused};
  unlock(s);
  return use;
}

size_t pl_store_limit(const pl_store *s) {
  return s->limit;
}

// Changing.

static bool fits(const pl_store *s, const pl_item *i, const slot *old) {
  if (s->limit == 0) return true;
  size_t without = s->bytes - (old == NULL ? 0 : cost(old->item));
  return cost(i) <= s->limit && without <= s->limit - cost(i);
}

// Gives the key of `i` that item; takes the reference when it is PL_OK.
static pl_err put(pl_store *s, uint64_t now_us, pl_item *i) {
  pl_key key = {i->bytes, i->key_len};
  slot *x = pl_map_find_bytes(&s->slots, key.data, key.len);
  if (!fits(s, i, x)) {
    sweep(s, now_us, SIZE_MAX);
    x = pl_map_find_bytes(&s->slots, key.data, key.len);
    if (!fits(s, i, x)) return PL_TOO_LARGE;
  }
  if (!grow_heap(s)) return PL_NO_MEMORY;
  if (x != NULL) {
    s->bytes -= cost(x->item);
    pl_item_drop(x->item);
  } else {
    x = pl_new(slot);
    pl_list_push(&s->order, &x->node);
    pl_map_put_bytes(&s->slots, key.data, key.len, x);
  }
  s->bytes += cost(i);
  i->version = ++s->change;
  x->item = i;
  enter_heap(s, x);
  return PL_OK;
}

static bool is_expected(const slot *x, uint64_t expected) {
  if (expected == PL_STORE_ANY) return true;
  if (expected == PL_STORE_ABSENT) return x == NULL;
  return x != NULL && x->item->version == expected;
}

pl_err pl_store_change(pl_store *s, uint64_t now_us, const pl_change *c) {
  assert(c->key.len <= PL_STATE_KEY_MAX);
  pl_item *i = NULL;
  if (c->value != NULL && (i = new_item(c)) == NULL) return PL_NO_MEMORY;

  pl_err err = PL_OK;
  lock(s, now_us);
  slot *x = find(s, now_us, c->key);
  if (!is_expected(x, c->expected)) {
    err = PL_CANCELLED;
  } else if (i != NULL) {
    i->expires_us = c->expires_us;
    if (c->expires_us == PL_STORE_KEEP) i->expires_us = x == NULL ? PL_NEVER : x->item->expires_us;
    err = put(s, now_us, i);
    if (err == PL_TOO_LARGE) s->refused++;
  } else if (x != NULL) {
    remove_slot(s, x);
    s->change++;
  }
  unlock(s);
  if (err != PL_OK) pl_item_drop(i);
  return err;
}
