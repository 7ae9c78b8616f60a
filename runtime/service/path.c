// Where circuits leave this node.

#include "service/channel.h"

pl_channel *pl_service_path(pl_service *sv, const pl_mesh_node *node, const pl_id *not_via) {
  pl_router_link *hops[PL_NEXT_HOPS_MAX];
  if (node == NULL || (not_via != NULL && pl_id_equal(pl_mesh_node_id(node), not_via))) return NULL;
  if (pl_router_next_hops(sv->router, node, not_via, hops) == 0) return NULL;
  return ((pl_neighbour *)pl_router_link_user(hops[0]))->channel;
}

pl_channel *pl_service_path_to(pl_service *sv, const pl_provider *p) {
  if (p->channel != NULL && !pl_channel_is_away(p->channel)) return p->channel;
  pl_channel *other = pl_service_path(sv, p->node, NULL);
  return other != NULL ? other : p->channel;
}
