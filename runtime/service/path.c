// Where circuits leave this node.

#include "base/mem.h"
#include "service/channel.h"

pl_channel *pl_service_path(pl_service *sv, const pl_id *node, const pl_id *not_via) {
  if (not_via != NULL && pl_id_equal(node, not_via)) return NULL;
  for (pl_list *at = sv->neighbours.next; at != &sv->neighbours; at = at->next) {
    pl_neighbour *n = pl_container(at, pl_neighbour, node);
    if (n->channel != NULL && pl_id_equal(pl_peer_id(n->peer), node)) return n->channel;
  }
  return NULL;
}
