// Several starts that claim one id.
//
// Of two records of an id that with the greater epoch counts, everywhere but where there is a link
// to the node. So who hears that its id is known with a later epoch than its own takes a still
// greater one, and says which it surpassed. Mostly that is the end of it: the other was an earlier
// start of this node, before its clock was set back. If it is a node that lives, that hears in turn
// that it was surpassed, and does the same; and who finds its own epoch named so knows that the
// other lives. Of the two the one that was started first stays. A few records, and it is settled.

#include "base/limits.h"
#include "route/route_impl.h"

static uint64_t boot_of(const pl_rival *v) {
  return v->boot != 0 ? v->boot : v->epoch;
}

static void tell_once(pl_router *r, pl_log_level level, unsigned warning, const char *what) {
  if (r->warned & warning) return;
  r->warned |= warning;
  char id[PL_ID_HEX];
  pl_id_format(&r->self->id, id);
  pl_log_at(r->config.loop->log, level, what, pl_f_text("id", id));
}

void pl_router_surpass(pl_router *r, uint64_t epoch) {
  if (epoch < r->self->epoch || (epoch + 2) >> PL_EPOCH_BITS != 0 || r->left) return;
  tell_once(r, PL_LOG_INFO, PL_WARN_CLOCK, "this id is known with a later start: surpassing that");
  pl_own_raise(r, epoch);
}

void pl_rival_heard(pl_router *r, const pl_rival *v) {
  if (v->epoch < r->self->epoch || !r->joined || r->left || r->taken) return;
  // Who let this node in once more does not know of the other one as alive: then it may be gone.
  bool lives = v->over != 0 && v->over == r->self->epoch && v->epoch != r->taken_by;
  if (lives) r->config.loop->metrics.ids_claimed++;
  if (lives && boot_of(v) <= r->config.epoch) {
    tell_once(r, PL_LOG_ERROR, PL_WARN_TAKEN,
              "another node has the id of this one and was started earlier: this one has to leave");
    r->taken = true;
    r->taken_by = v->epoch;
    r->ops->on_taken(r->user);
    return;
  }
  if (lives) tell_once(r, PL_LOG_WARN, PL_WARN_ID, "another node claimed the id of this one");
  pl_router_surpass(r, v->epoch);
}

void pl_rival_tell(pl_router *r, pl_router_link *l, const pl_rival *v) {
  uint64_t now = pl_router_now(r);
  bool told = l->told_epoch == v->epoch && pl_id_equal(&l->told_id, &v->id) &&
              now - l->told_us < PL_RECORD_PACE_US;
  if (told) return;
  l->told_id = v->id;
  l->told_epoch = v->epoch;
  l->told_us = now;
  const pl_msg_route m = {.rival = v->id, .epoch = v->epoch, .boot = v->boot, .over = v->over};
  pl_route_send(r, l, &m);
}

void pl_rival_tell_of(pl_router *r, pl_router_link *l, const pl_mesh_node *n) {
  const pl_rival v = {.id = n->id, .epoch = n->epoch, .boot = n->boot, .over = n->over};
  if (n->version > 0) pl_rival_tell(r, l, &v);
}

bool pl_rival_beside(pl_router *r, pl_router_link *from, pl_mesh_node *n, const pl_rival *v) {
  pl_router_link *l = n->link;
  if (v->epoch == l->epoch) return false;
  if (v->epoch > l->epoch && from == l) {
    l->epoch = v->epoch;
    r->ops->on_renewed(l, v->epoch, r->user);
    return false;
  }
  if (v->epoch > l->epoch) {
    if (v->epoch > l->rival) l->rival = v->epoch;
    pl_rival_tell(r, l, v);
  } else if (from != l) {
    pl_rival_tell_of(r, from, n);
  }
  return true;
}

void pl_rival_pass(pl_router *r, pl_mesh_node *n) {
  if (n->epoch < n->surpassed && n->next_count == 0) return;
  const pl_rival v = {.id = n->id, .epoch = n->surpassed};
  if (n->epoch < n->surpassed) pl_rival_tell(r, n->next[0], &v);
  n->surpassed = 0;
}

void pl_rival_arrived(pl_router *r, pl_router_link *l, const pl_rival *v) {
  pl_mesh_node *n = pl_lsdb_find(r->db, &v->id);
  // A leaf may say so, too: who else would tell it of the new start, if nobody else remembers the
  // old.
  if (v->epoch >> PL_EPOCH_BITS != 0) return;
  if (n == r->self) {
    pl_rival_heard(r, v);
  } else if (n != NULL && n->link != NULL) {
    if (l != n->link && v->epoch > n->link->epoch) pl_rival_beside(r, l, n, v);
  } else if (n != NULL && n->epoch < v->epoch) {
    if (l->full) pl_pull_send(r, l, &v->id, n);
    // Where it came from it may be remembered only, and told to nobody: then the node has to act.
    if (n->next_count > 0 && n->next[0] != l) {
      pl_rival_tell(r, n->next[0], v);
    } else if (n->next_count == 0 && v->epoch > n->surpassed) {
      n->surpassed = v->epoch;
    }
  }
}
