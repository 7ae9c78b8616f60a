// A store: values under keys, both bytes, which outlives whoever uses it. One belongs to each
// script, shared by its generations and replicas, and one to the node; their owner is the host.
//
// Any thread, at any time: one mutex guards a store, for no longer than a look at the tables takes.
// What is read is an item that never changes and may be kept and looked at without the lock. So
// nothing is ever shared but bytes, and a change is one item for another.
//
// It has no clock: each function is told the time, in microseconds of the clock of the loops, which
// all threads share. A key whose time has come is absent at once, and leaves with one of the next
// operations.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct pl_store pl_store;

// One value of one key, as of one change.
typedef struct pl_item {
  atomic_uint refs;
  uint32_t key_len;
  size_t len;
  uint64_t version;     // greater than that of every earlier change of the store
  uint64_t expires_us;  // absent from then on; PL_NEVER
  uint8_t bytes[];      // the key, then the value
} pl_item;

static inline const uint8_t *pl_item_value(const pl_item *i) {
  return i->bytes + i->key_len;
}
void pl_item_drop(pl_item *i);  // NULL is fine

typedef struct pl_key {
  const void *data;
  size_t len;  // at most PL_STATE_KEY_MAX
} pl_key;

enum pl_store_expiry { PL_STORE_KEEP = 0 };  // for `expires_us`: what the key has now, if any
enum { PL_STORE_ANY = 0, PL_STORE_ABSENT = 1 };

// One reference. At most `limit` bytes, counting keys, values and PL_STATE_ENTRY for each; 0: no
// bound.
pl_store *pl_store_new(size_t limit);
// References, of any thread; NULL is fine. Items may outlive the last one.
pl_store *pl_store_hold(pl_store *s);
void pl_store_drop(pl_store *s);

// The item of the key, held: NULL when it is absent.
pl_item *pl_store_get(pl_store *s, uint64_t now_us, pl_key key);

// A change of one key, if it is as the caller believes.
typedef struct pl_change {
  pl_key key;
  // PL_STORE_ANY: whatever there is; PL_STORE_ABSENT: the key is absent; else the version it has.
  uint64_t expected;
  const void *value;  // NULL: the key goes
  size_t len;
  uint64_t expires_us;  // PL_STORE_KEEP, PL_NEVER, or when
} pl_change;

// PL_OK; CANCELLED: the key is not as expected; TOO_LARGE: past the limit; NO_MEMORY. Then nothing
// has changed.
pl_err pl_store_change(pl_store *s, uint64_t now_us, const pl_change *c);
// Removes every key.
void pl_store_clear(pl_store *s);

// All items at one moment, in the order in which their keys came into being.
typedef struct pl_items {
  pl_item **items;  // owned
  size_t count;
  uint64_t change;  // of the store at that moment
} pl_items;
// False: no memory.
bool pl_store_snapshot(pl_store *s, uint64_t now_us, pl_items *out);
void pl_items_drop(pl_items *i);

// The item that follows `key` in that order, or the first one (`key.data` NULL), held; NULL at the
// end. False: there is no such key.
bool pl_store_next(pl_store *s, uint64_t now_us, pl_key key, pl_item **out);

typedef struct pl_store_use {
  size_t keys, bytes;  // that are held now
  uint64_t change;     // grows with every change
  uint64_t refused;    // changes that were TOO_LARGE
} pl_store_use;
pl_store_use pl_store_usage(pl_store *s);
size_t pl_store_limit(const pl_store *s);
