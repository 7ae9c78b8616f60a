#include "service/line.h"

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"

static pl_waiter *waiter_of(pl_list *node) {
  return pl_container(node, pl_waiter, in_line);
}

void pl_line_init(pl_line *line, pl_line_kind kind) {
  *line = (pl_line){.kind = kind};
  pl_list_init(&line->awaited);
  pl_list_init(&line->waiters);
}

static void watch(pl_line *line, uint64_t now_us) {
  pl_surge_begin(&line->surge, now_us, line->kind == PL_LINE_UNBOUNDED);
}

void pl_line_become(pl_line *line, pl_line_kind kind, uint64_t now_us) {
  line->kind = kind;
  line->surge = (pl_surge){0};
  if (kind != PL_LINE_PROMISED && line->others > 0) watch(line, now_us);
}

static uint64_t oldest_us(const pl_line *line) {
  return waiter_of(line->waiters.next)->since_us;
}

void pl_line_push(pl_line *line, pl_waiter *w, uint64_t now_us) {
  w->since_us = now_us;
  pl_list_push(w->awaited ? &line->awaited : &line->waiters, &w->in_line);
  line->count++;
  if (w->awaited) return;
  line->others++;
  if (line->kind == PL_LINE_PROMISED) return;
  if (line->others == 1) watch(line, now_us);
  pl_surge_came(&line->surge, now_us, line->others, oldest_us(line));
}

// Where hardly more come than go nobody is refused while few wait, so they go in turn: below others
// who call again as soon as they are answered they would wait for ever.
static bool newest_first(const pl_line *line) {
  return line->surge.over && (line->surge.grows || line->others > PL_QUEUE_SHORT);
}

pl_waiter *pl_line_take(pl_line *line, uint64_t now_us) {
  assert(line->count > 0);
  if (line->others < line->count) {
    pl_waiter *w = waiter_of(line->awaited.next);
    pl_line_remove(line, w);
    return w;
  }
  pl_waiter *w = waiter_of(newest_first(line) ? line->waiters.prev : line->waiters.next);
  uint64_t since_us = oldest_us(line);
  pl_line_remove(line, w);
  if (line->kind != PL_LINE_PROMISED) pl_surge_went(&line->surge, now_us, line->others, since_us);
  return w;
}

void pl_line_remove(pl_line *line, pl_waiter *w) {
  assert(line->count > 0);
  pl_list_remove(&w->in_line);
  line->count--;
  if (!w->awaited) line->others--;
}

pl_waiter *pl_line_overdue(const pl_line *line, uint64_t now_us, uint64_t patience_us) {
  if (!line->surge.over || line->others <= PL_QUEUE_SHORT) return NULL;
  return now_us - oldest_us(line) > patience_us ? waiter_of(line->waiters.next) : NULL;
}

pl_waiter *pl_line_last(const pl_line *line) {
  assert(line->count > 0);
  if (line->others == 0) return waiter_of(line->awaited.prev);
  return waiter_of(newest_first(line) ? line->waiters.next : line->waiters.prev);
}
