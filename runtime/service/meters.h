// The figures of many actions, for as many as there is room; all others share one.
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/meter.h"

// The figures of an action stay when it goes, until the room is needed and no call counts there any
// more. So an action that comes back goes on counting.
typedef struct pl_meters {
  pl_map by_name;        // of a held_meter
  pl_list idle;          // of these, nobody holds them, the oldest first
  pl_meter *rest;        // of actions for which there was no room; NULL: none yet
  pl_meter unlisted;     // of what is told nowhere: actions of the node itself
  struct pl_laps *laps;  // to be settled before any is forgotten
} pl_meters;

// `laps` outlives it.
void pl_meters_init(pl_meters *s, struct pl_laps *laps);
void pl_meters_fini(pl_meters *s);
// The figures of that action, held. Never NULL.
pl_meter *pl_meters_hold(pl_meters *s, pl_bytes name);
void pl_meters_drop(pl_meters *s, pl_meter *m);

// One after the other: start with *at = 0; false ends. `name` is empty for those that share one.
bool pl_meters_next(const pl_meters *s, size_t *at, pl_bytes *name, const pl_meter **m);

// Ends of a turn whose time is not known before the turn ends: what began in it ends in it, and
// its clock stands still. They are told to their histograms when its answers leave.
enum { PL_LAPS_MAX = 128 };
typedef struct pl_laps {
  pl_loop *loop;
  pl_work work;
  unsigned count;
  struct {
    pl_histogram *of;
    uint64_t began_us;
  } list[PL_LAPS_MAX];
} pl_laps;

void pl_laps_settle(pl_laps *l);  // now
void pl_laps_run(pl_work *work);

static inline void pl_laps_add(pl_laps *l, pl_histogram *of, uint64_t began_us) {
  if (l->count == PL_LAPS_MAX) pl_laps_settle(l);
  if (l->count == 0) pl_loop_flush_later(l->loop, &l->work, pl_laps_run);
  l->list[l->count].of = of;
  l->list[l->count++].began_us = began_us;
}
