// What happens when in a simulation: events in exact order of their time, and of being set when
// the time is the same. A binary heap of pointers; the events belong to their owners.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pl_event {
  uint64_t at_us;
  uint64_t order;  // of being set
  size_t place;    // in the heap, from 1; 0: it is not set
  void (*fire)(struct pl_event *e);
} pl_event;

typedef struct pl_agenda {
  uint64_t now_us;
  uint64_t next_order;
  pl_event **heap;  // [1, count]
  size_t count, cap;
} pl_agenda;

void pl_agenda_init(pl_agenda *a, uint64_t now_us);
void pl_agenda_fini(pl_agenda *a);  // nothing may be set any more

// Sets `e`, a zeroed event or one that is set already, to fire once at `at_us`, or now if that has
// passed. Never fires inside this call. The owner cancels it before freeing it.
void pl_agenda_set(pl_agenda *a, pl_event *e, uint64_t at_us, void (*fire)(pl_event *));
void pl_agenda_cancel(pl_agenda *a, pl_event *e);  // fine when it is not set
static inline bool pl_event_is_set(const pl_event *e) {
  return e->place != 0;
}
// Moves the time to the first event, if that is due by `until_us`, and fires it. False: none is.
bool pl_agenda_step(pl_agenda *a, uint64_t until_us);
