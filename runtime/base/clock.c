#include "base/clock.h"

#include <assert.h>

#include "base/mem.h"

// Where a timer waits follows from the highest digit (of 6 bits) in which its tick differs
// from the current one:
//
//   level 2   [ ][ ][x][ ]...   one slot: 4096 ticks, 4 s
//   level 1   [ ][x][ ][ ]...   64 ticks, 65 ms
//   level 0   [x][ ][x][x]...   1 tick, 1 ms
//
// So a slot of level n > 0 is ahead of the current digit n, all slots of a lower level come
// before it, and the next event is the lowest bit of the lowest level in use. When the time
// reaches such a slot its timers move to lower levels, and so on down to level 0.
enum { TICK_BITS = 10, DIGIT_BITS = 6, DIGIT_MASK = PL_CLOCK_SLOTS - 1 };

// The end of the wheel, 142 years of uptime; later timers count as then.
static const uint64_t last_tick = (UINT64_C(1) << (DIGIT_BITS * PL_CLOCK_LEVELS)) - 1;

static unsigned digit(uint64_t tick, unsigned level) {
  return (unsigned)(tick >> (DIGIT_BITS * level)) & DIGIT_MASK;
}

static uint64_t tick_of(uint64_t at_us) {
  uint64_t tick = at_us >> TICK_BITS;
  return tick < last_tick ? tick : last_tick;
}

static unsigned level_of(uint64_t difference) {
  return difference == 0 ? 0 : (63U - (unsigned)__builtin_clzll(difference)) / DIGIT_BITS;
}

static void place(pl_clock *c, pl_timer *t) {
  uint64_t tick = tick_of(t->at_us);
  assert(tick >= c->tick);
  unsigned level = level_of(tick ^ c->tick);
  unsigned slot = digit(tick, level);
  pl_list_push(&c->slots[level][slot], &t->node);
  c->occupied[level] |= UINT64_C(1) << slot;
  if (tick == c->tick && t->at_us < c->due_us) c->due_us = t->at_us;
}

// The first tick at which a slot has to be looked at; false when all are empty.
static bool next_slot(const pl_clock *c, unsigned *level, uint64_t *tick) {
  for (unsigned n = 0; n < PL_CLOCK_LEVELS; n++) {
    if (c->occupied[n] == 0) continue;
    uint64_t slot = (uint64_t)__builtin_ctzll(c->occupied[n]);
    unsigned shift = DIGIT_BITS * n;
    *level = n;
    *tick = ((c->tick >> shift & ~(uint64_t)DIGIT_MASK) | slot) << shift;
    return true;
  }
  return false;
}

static void empty_slot(pl_clock *c, unsigned level, uint64_t tick, pl_list *out) {
  unsigned slot = digit(tick, level);
  pl_list_take(out, &c->slots[level][slot]);
  c->occupied[level] &= ~(UINT64_C(1) << slot);
}

// Moves the wheel on to `target`, and what is due on the way to `due`.
static void turn_wheel(pl_clock *c, uint64_t target, pl_list *due) {
  unsigned level;
  uint64_t tick;
  while (next_slot(c, &level, &tick) && tick <= target) {
    if (tick == c->tick && c->due_us > c->now_us) return;
    c->tick = tick;
    c->due_us = PL_NEVER;

    pl_list timers;
    empty_slot(c, level, tick, &timers);
    for (pl_list *node; (node = pl_list_pop(&timers)) != NULL;) {
      pl_timer *t = pl_container(node, pl_timer, node);
      if (level == 0 && t->at_us <= c->now_us) {
        pl_list_push(due, node);
      } else {
        place(c, t);  // also what is due: a slot of many ticks is not in order
      }
    }
  }
  if (target > c->tick) {
    c->tick = target;
    c->due_us = PL_NEVER;
  }
}

void pl_clock_init(pl_clock *c, uint64_t now_us) {
  *c = (pl_clock){.now_us = now_us, .tick = tick_of(now_us), .due_us = PL_NEVER};
  for (unsigned level = 0; level < PL_CLOCK_LEVELS; level++) {
    for (unsigned slot = 0; slot < PL_CLOCK_SLOTS; slot++)
      pl_list_init(&c->slots[level][slot]);
  }
}

void pl_clock_advance(pl_clock *c, uint64_t now_us) {
  if (now_us > c->now_us) c->now_us = now_us;

  // All that is due is taken off the wheel before the first callback, which may start
  // timers that are due at once; as members of the list those taken can still be stopped.
  pl_list due;
  pl_list_init(&due);
  turn_wheel(c, tick_of(c->now_us), &due);
  for (pl_list *node; (node = pl_list_pop(&due)) != NULL;) {
    pl_timer *t = pl_container(node, pl_timer, node);
    t->clock = NULL;
    c->active--;
    t->fire(t);
  }
}

uint64_t pl_clock_next_us(const pl_clock *c) {
  unsigned level;
  uint64_t tick;
  if (!next_slot(c, &level, &tick)) return PL_NEVER;
  return tick == c->tick ? c->due_us : tick << TICK_BITS;
}

void pl_timer_start(pl_clock *c, pl_timer *t, uint64_t delay_us, void (*fire)(pl_timer *)) {
  pl_timer_stop(t);
  t->at_us = delay_us < PL_NEVER - c->now_us ? c->now_us + delay_us : PL_NEVER;
  t->fire = fire;
  t->clock = c;
  c->active++;
  place(c, t);
}

void pl_timer_stop(pl_timer *t) {
  pl_clock *c = t->clock;
  if (c == NULL) return;
  assert(c->active > 0);
  pl_list *head = t->node.next;
  pl_list_remove(&t->node);
  t->clock = NULL;
  c->active--;

  // If it was the last of a slot, its neighbour was the head of that slot.
  size_t slot = (size_t)((uintptr_t)head - (uintptr_t)c->slots) / sizeof *head;
  if (pl_list_empty(head) && slot < PL_CLOCK_LEVELS * PL_CLOCK_SLOTS) {
    c->occupied[slot / PL_CLOCK_SLOTS] &= ~(UINT64_C(1) << slot % PL_CLOCK_SLOTS);
  }
}
