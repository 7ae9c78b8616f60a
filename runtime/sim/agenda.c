#include "sim/agenda.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

enum { CAP_MIN = 64 };

void pl_agenda_init(pl_agenda *a, uint64_t now_us) {
  *a = (pl_agenda){.now_us = now_us};
}

void pl_agenda_fini(pl_agenda *a) {
  assert(a->count == 0);
  pl_free(a->heap);
  *a = (pl_agenda){0};
}

static bool is_before(const pl_event *a, const pl_event *b) {
  return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put(pl_agenda *a, size_t place, pl_event *e) {
  a->heap[place] = e;
  e->place = place;
}

// Finds the place of `e`, for which the one at `place` is free.
static void rise(pl_agenda *a, size_t place, pl_event *e) {
  for (; place > 1 && is_before(e, a->heap[place / 2]); place /= 2)
    put(a, place, a->heap[place / 2]);
  put(a, place, e);
}

static void sink(pl_agenda *a, size_t place, pl_event *e) {
  for (size_t child; (child = place * 2) <= a->count; place = child) {
    if (child < a->count && is_before(a->heap[child + 1], a->heap[child])) child++;
    if (!is_before(a->heap[child], e)) break;
    put(a, place, a->heap[child]);
  }
  put(a, place, e);
}

void pl_agenda_cancel(pl_agenda *a, pl_event *e) {
  size_t place = e->place;
  if (place == 0) return;
  e->place = 0;
  pl_event *last = a->heap[a->count--];
  if (last == e) return;
  if (place > 1 && is_before(last, a->heap[place / 2]))
    rise(a, place, last);
  else
    sink(a, place, last);
}

void pl_agenda_set(pl_agenda *a, pl_event *e, uint64_t at_us, void (*fire)(pl_event *)) {
  pl_agenda_cancel(a, e);
  e->at_us = at_us > a->now_us ? at_us : a->now_us;
  e->order = a->next_order++;
  e->fire = fire;
  if (a->count + 1 >= a->cap) {
    a->cap = a->cap == 0 ? CAP_MIN : a->cap * 2;
    a->heap = pl_try_realloc(a->heap, a->cap * sizeof(pl_event *));
    if (a->heap == NULL) abort();  // as every small allocation
  }
  rise(a, ++a->count, e);
}

bool pl_agenda_step(pl_agenda *a, uint64_t until_us) {
  if (a->count == 0 || a->heap[1]->at_us > until_us) return false;
  pl_event *e = a->heap[1];
  a->now_us = e->at_us;
  pl_agenda_cancel(a, e);
  e->fire(e);
  return true;
}
