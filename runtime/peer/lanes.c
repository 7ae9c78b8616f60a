#include "peer/lanes.h"

#include <assert.h>

#include "base/mem.h"

void pl_lanes_init(pl_lanes *l, pl_loop *loop, pl_session *session) {
  *l = (pl_lanes){.session = session, .loop = loop};
  pl_list_init(&l->ready);
}

void pl_lanes_fini(pl_lanes *l) {
  assert(pl_list_empty(&l->ready));
  pl_work_cancel(&l->pump);
  pl_buf_fini(&l->scratch);
  l->session = NULL;
}

static void pump(pl_work *work) {
  pl_lanes *l = pl_container(work, pl_lanes, pump);
  while (!pl_list_empty(&l->ready) && !pl_lanes_full(l)) {
    pl_turn *t = pl_container(pl_list_pop(&l->ready), pl_turn, node);
    t->write(t);
  }
}

void pl_lanes_drained(pl_lanes *l) {
  if (!pl_list_empty(&l->ready)) pl_loop_defer(l->loop, &l->pump, pump);
}

void pl_turn_ask(pl_turn *t, pl_lanes *l) {
  if (!pl_list_empty(&t->node)) return;
  pl_list_push(&l->ready, &t->node);
  if (pl_lanes_full(l)) {
    l->loop->metrics.send_waits++;
  } else {
    pl_loop_defer(l->loop, &l->pump, pump);
  }
}
