// Requests of one action and one priority that wait for a slot. Pure: time is given.
//
// The first in line is served first. A line that is overloaded (surge.h) turns round: who came last
// is served first, since he has most of his time left, and who has waited for too long is told so,
// but for PL_QUEUE_SHORT that stay; when only those are left and hardly more come than go, they are
// served in turn. A line that was promised to hold whom it takes does neither. Who has no bound
// waits for the processor only.
// Before all of them are served those for whom others wait that have their slots already: it is
// they who free slots, and they are no sign of what comes.
#pragma once

#include "base/list.h"
#include "service/surge.h"

typedef enum pl_line_kind { PL_LINE_BOUNDED, PL_LINE_UNBOUNDED, PL_LINE_PROMISED } pl_line_kind;

typedef struct pl_waiter {
  pl_list in_line;
  uint64_t since_us;
  bool awaited;  // by one that has a slot
} pl_waiter;

typedef struct pl_line {
  pl_list awaited;  // oldest first
  pl_list waiters;  // the others, oldest first
  size_t count;     // of both
  size_t others;    // in `waiters`
  pl_surge surge;
  pl_line_kind kind;
} pl_line;

void pl_line_init(pl_line *line, pl_line_kind kind);
// From now on it is another one.
void pl_line_become(pl_line *line, pl_line_kind kind, uint64_t now_us);
// `w->awaited` is set.
void pl_line_push(pl_line *line, pl_waiter *w, uint64_t now_us);
// Takes out who is served next; the line is not empty.
pl_waiter *pl_line_take(pl_line *line, uint64_t now_us);
// Takes out one that is not served.
void pl_line_remove(pl_line *line, pl_waiter *w);
// One that has waited for longer than `patience_us` in a line that is overloaded; NULL: none.
pl_waiter *pl_line_overdue(const pl_line *line, uint64_t now_us, uint64_t patience_us);
// Who would be served last; the line is not empty.
pl_waiter *pl_line_last(const pl_line *line);
