// What a link keeps for another one that may follow it.
#include "base/mem.h"
#include "link/link_impl.h"

// Parked: a link that leads nowhere.

static void parked_nothing(pl_link *l) {
  (void)l;
}

static void parked_stop(pl_link *l, bool reset) {
  (void)reset;
  pl_link_stopped_later(l);
}

static const pl_link_type parked_type = {
    .scheme = "parked",
    .start = parked_nothing,
    .flush = parked_nothing,
    .finish = parked_nothing,
    .stop = parked_stop,
};

static void end_silently(pl_link *l) {
  l->ops = NULL;
  pl_link_abort(l, PL_PEER_LOST, "");
}

pl_link *pl_link_park(pl_link *l) {
  if (!l->out.keep) return NULL;
  pl_link *parked = pl_new(pl_link);
  pl_link_init(parked, &parked_type, l->loop, PL_LINK_OPEN);
  pl_link_set_remote(parked, pl_link_remote(l));
  parked->local = l->local;
  parked->peer_uid = l->peer_uid;
  parked->out = l->out;
  parked->high = true;
  l->out = (pl_outq){0};
  end_silently(l);
  return parked;
}

// Kept.

void pl_link_keep(pl_link *l) {
  l->out.keep = true;
}

bool pl_link_acknowledge(pl_link *l, uint64_t position) {
  bool possible = position <= l->out.told || pl_outq_covers(&l->out, position);
  if (!possible) return false;
  pl_outq_acknowledge(&l->out, &l->env->pool, position);
  pl_link_relax(l);
  return true;
}

uint64_t pl_link_acknowledged(const pl_link *l) {
  return l->out.acknowledged;
}

bool pl_link_covers(const pl_link *l, uint64_t position) {
  return pl_outq_covers(&l->out, position);
}

bool pl_link_resume(pl_link *l, pl_link *parked, uint64_t position) {
  pl_batch_pool *pool = &l->env->pool;
  if (!pl_outq_rewind(&parked->out, pool, position)) return false;
  l->loop->metrics.bytes_resent += parked->out.reached - position;
  if (!pl_outq_follow(&l->out, &parked->out, pool)) return false;
  l->high = true;
  pl_link_relax(l);
  pl_link_flush_later(l);
  end_silently(parked);
  return true;
}
