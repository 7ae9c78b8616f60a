// A link that has broken and may come back.
//
// At once it is the last choice for what is new: another neighbour is asked where one is known from
// which no path leads back here (paths.c). If it is not back soon, the mesh is told to go round it:
// its claim is at the greatest cost there is. The same claim of the other end, which can come here
// only on another way, is what makes this node go that way as well: whoever is on it has heard of
// it by then. Where there is no other way, the link stays what it is, and what goes there waits.

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"

static void on_still_away(pl_timer *t) {
  pl_router_link *l = pl_container(t, pl_router_link, still_away);
  l->shunned = true;
  if (l->claimed) pl_own_claim(l->router, l);
}

void pl_router_link_away(pl_router *r, pl_router_link *l, bool away) {
  if (l->away == away) return;
  l->away = away;
  if (away) {
    pl_timer_start(&r->config.loop->clock, &l->still_away, PL_LINK_AWAY_US, on_still_away);
    return;
  }
  pl_timer_stop(&l->still_away);
  if (!l->shunned) return;
  l->shunned = false;
  if (l->claimed) pl_own_claim(r, l);
}
