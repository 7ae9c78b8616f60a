// From the labels of a session's circuits to the circuits.
//
// Labels are mostly given out one after the other, so each has a place of its own in a table and is
// found without a search. A label whose place another one has, which a stranger can bring about, is
// in a map instead, where he cannot do harm. Loop thread only.
#pragma once

#include <assert.h>

#include "base/map.h"

typedef struct pl_label {
  uint32_t label;  // 0: free
  void *value;
} pl_label;

// Zeroed is a valid empty table; it allocates with the first entry.
typedef struct pl_labels {
  pl_label *places;
  size_t mask;    // places - 1, or 0 without places
  size_t count;   // of all entries
  pl_map others;  // whose place is taken
} pl_labels;

// Frees the places, not the values.
void pl_labels_fini(pl_labels *t);

// NULL when absent.
void *pl_labels_remove(pl_labels *t, uint32_t label);

void *pl_labels_find_other(const pl_labels *t, uint32_t label);

// One end of a session gives out the odd labels, the other the even ones.
static inline pl_label *pl_labels_place(const pl_labels *t, uint32_t label) {
  return &t->places[(label >> 1) & t->mask];
}

void pl_labels_put_other(pl_labels *t, uint32_t label, void *value);

// `label` is not 0 and not there yet, `value` not NULL.
static inline void pl_labels_put(pl_labels *t, uint32_t label, void *value) {
  assert(label != 0 && value != NULL);
  bool room = 2 * t->count < t->mask && pl_labels_place(t, label)->label == 0;
  if (room) {
    *pl_labels_place(t, label) = (pl_label){label, value};
    t->count++;
  } else {
    pl_labels_put_other(t, label, value);
  }
}

// NULL when absent.
static inline void *pl_labels_find(const pl_labels *t, uint32_t label) {
  if (t->count == 0) return NULL;
  const pl_label *p = pl_labels_place(t, label);
  if (p->label == label) return p->value;
  return t->others.count == 0 ? NULL : pl_labels_find_other(t, label);
}
