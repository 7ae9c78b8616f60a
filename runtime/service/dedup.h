// What became of calls to idempotent actions, so that a repeat of one gets its answer instead of
// another run. Bounded, and answers are kept for a while only; what is forgotten may run again,
// which is what idempotent says. Pure bookkeeping.
#pragma once

#include "base/failure.h"
#include "base/list.h"
#include "base/map.h"

typedef struct pl_dedup {
  pl_map entries;    // caller and call id -> pl_dedup_entry
  pl_list finished;  // of pl_dedup_entry, oldest first
  size_t bytes;      // of their answers
} pl_dedup;

typedef struct pl_dedup_entry {
  pl_list node;       // in `finished`, once it is
  pl_list followers;  // of the owner: repeats that wait for the answer
  void *owner;        // whatever runs; NULL once it is finished
  uint64_t of;        // the action: a hash of its name
  uint64_t until_us;
  pl_bytes result;     // kept
  pl_failure failure;  // kept, if `failed`
  bool failed;
  uint8_t key[24];
} pl_dedup_entry;

void pl_dedup_init(pl_dedup *d);
// Forgets what is finished. Nothing may run any more.
void pl_dedup_fini(pl_dedup *d);

// NULL when nothing is known of that call of `caller` to `of`.
pl_dedup_entry *pl_dedup_find(pl_dedup *d, const pl_id *caller, uint64_t call_id, uint64_t of);
// A call begins. NULL when one of that id is known: it is not looked after then.
pl_dedup_entry *pl_dedup_open(pl_dedup *d, const pl_id *caller, uint64_t call_id, uint64_t of,
                              void *owner);
// It ended: its answer is kept until PL_DEDUP_US have passed, unless it is too large or memory is
// short. Older answers make room: their number.
unsigned pl_dedup_finish(pl_dedup *d, pl_dedup_entry *e, const pl_parts *result,
                         const pl_failure *failure, uint64_t now_us);
// As if it had never been.
void pl_dedup_forget(pl_dedup *d, pl_dedup_entry *e);

// Forgets answers whose time is over. Returns when to look again; PL_NEVER: there are none.
uint64_t pl_dedup_expire(pl_dedup *d, uint64_t now_us);
