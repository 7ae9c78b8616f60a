#include "peer/lanes.h"

#include <assert.h>

#include "base/mem.h"

void pl_lanes_init(pl_lanes *l, pl_loop *loop, pl_session *session, uint64_t *held) {
  *l = (pl_lanes){.session = session, .loop = loop, .held = held};
  pl_list_init(&l->young);
  pl_list_init(&l->old);
}

void pl_lanes_fini(pl_lanes *l) {
  assert(!pl_lanes_waiting(l));
  pl_work_cancel(&l->pump);
  pl_buf_fini(&l->scratch);
  l->session = NULL;
}

enum {
  QUANTUM = PL_LANE_QUANTUM,
  PASS_MAX = 4 * QUANTUM,
  LEAST = QUANTUM / 8,  // left of a turn for which another frame is begun
  REST_US = 10000,      // after which a turn is young again
};

static bool is_young(const pl_turn *t) {
  return t->spent < QUANTUM;
}

static pl_turn *turn_of(pl_list *node) {
  return pl_container(node, pl_turn, node);
}

// Who comes next; NULL when everybody has had a turn in this round.
static pl_turn *next_turn(pl_lanes *l) {
  bool old_wait = !pl_list_empty(&l->old);
  if (!pl_list_empty(&l->young) && (l->passed < PASS_MAX || !old_wait))
    return turn_of(pl_list_pop(&l->young));
  if (!old_wait || turn_of(l->old.next)->round == l->round) return NULL;
  l->passed = 0;
  return turn_of(pl_list_pop(&l->old));
}

// Lets it write for a quantum.
static void serve(pl_lanes *l, pl_turn *t) {
  if (t->deficit < LEAST) t->deficit += QUANTUM;
  do {
    if (!t->write(t)) return;
  } while (t->deficit >= LEAST && !pl_lanes_full(l));
  if (t->deficit >= LEAST) {
    pl_list_push_front(&l->old, &t->node);  // it goes on with what is left of its turn
  } else {
    t->round = l->round;
    pl_list_push(&l->old, &t->node);
  }
}

// One round, then whoever else has work: those who wait for room in what they send must get to it,
// or they would have less than their part.
static void pump(pl_work *work) {
  pl_lanes *l = pl_container(work, pl_lanes, pump);
  l->round++;
  for (pl_turn *t; !pl_lanes_full(l) && (t = next_turn(l)) != NULL;) {
    uint64_t before = l->written;
    bool young = is_young(t);
    serve(l, t);
    if (young) l->passed += l->written - before;
  }
  if (pl_lanes_waiting(l) && !pl_lanes_full(l)) pl_loop_defer(l->loop, &l->pump, pump);
}

void pl_lanes_drained(pl_lanes *l) {
  if (pl_lanes_waiting(l)) pl_loop_defer(l->loop, &l->pump, pump);
}

void pl_turn_ask(pl_turn *t, pl_lanes *l) {
  if (!pl_list_empty(&t->node)) return;
  uint64_t now = pl_now_us(l->loop);
  if (now - t->asked_us > REST_US) t->spent = 0;
  if (t->deficit > 0) t->deficit = 0;  // what was not needed is lost
  t->asked_us = now;
  pl_list_push(is_young(t) ? &l->young : &l->old, &t->node);
  if (pl_lanes_full(l)) {
    l->loop->metrics.send_waits++;
  } else {
    pl_loop_defer(l->loop, &l->pump, pump);
  }
}
