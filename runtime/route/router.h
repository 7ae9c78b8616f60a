// The mesh as this node knows it, and the way to every node of it.
//
// Every full node tells all others what it is, what it provides and which links it has: its record,
// a set of items under a version. The router keeps the records of all (lsdb.h), exchanges them with
// the neighbours (docs/protocol.md, section 8), and computes the shortest paths (graph.h). What it
// learns goes up through pl_router_ops. It has no I/O and no clock of its own: its owner tells it
// of links and hands it frames. Loop thread only.
#pragma once

#include "base/limits.h"
#include "base/loop.h"
#include "wire/frame.h"
#include "wire/message.h"

typedef struct pl_router pl_router;
// A node that is known: by its record, or because there is a link to it. Never this node itself.
typedef struct pl_mesh_node pl_mesh_node;
// A neighbour, as long as there is a link to it.
typedef struct pl_router_link pl_router_link;

// The best path to a node.
typedef struct pl_route {
  pl_id via;      // the neighbour that is its first step; the node itself when the link is the path
  uint64_t cost;  // sum of the costs of its links, which are round trips in microseconds
  unsigned hops;
} pl_route;

// Upcalls, from the loop, from pl_router_frame and pl_router_link_up. They may ask, but must not
// change the links. `on_forgotten` also from pl_router_free.
typedef struct pl_router_ops {
  // Sends one frame, ADVERT or ROUTE, to a neighbour. `body` is at most PL_FRAGMENT_MAX.
  void (*send)(pl_router_link *link, uint8_t type, pl_bytes body, void *user);
  // Whether the link takes more now; if not, pl_router_drained follows. Only what may be much asks.
  bool (*writable)(pl_router_link *link, void *user);
  // Smoothed round trip of the link, microseconds, 0 when not known yet.
  uint64_t (*rtt_us)(pl_router_link *link, void *user);
  // What is said of the cost of the link, microseconds; 0: nothing. May be NULL.
  uint64_t (*cost_us)(pl_router_link *link, void *user);
  // An item of a node's record was added, changed, or withdrawn. All but those of kind "link".
  void (*on_item)(pl_mesh_node *n, const pl_msg_advert_item *item, void *user);
  // A node can be reached, by another path than before or for the first time; NULL: no longer.
  void (*on_route)(pl_mesh_node *n, const pl_route *route, void *user);
  // The last of it, before it is freed; its items have been withdrawn.
  void (*on_forgotten)(pl_mesh_node *n, void *user);
  // The neighbour has sent all that it knows, and the paths to that have been told.
  void (*on_synced)(pl_router_link *link, void *user);
  // Something of the above happened; once after a batch of them.
  void (*on_change)(void *user);
  // This node goes on under a greater epoch, because its id was known with a later one than its
  // own.
  void (*on_raised)(uint64_t epoch, void *user);
  // The same of the neighbour.
  void (*on_renewed)(pl_router_link *link, uint64_t epoch, void *user);
  // Another node with the id of this one lives, and was started earlier: this one has no place in
  // the mesh, and its links are to be closed.
  void (*on_taken)(void *user);
} pl_router_ops;

typedef struct pl_router_config {
  pl_loop *loop;
  const pl_id *id;     // outlives the router
  uint64_t epoch;      // with which it was started
  uint64_t link_cost;  // of each link of which nothing else is said; 0: measured
} pl_router_config;

pl_router *pl_router_new(const pl_router_config *config, const pl_router_ops *ops, void *user);
// All links must be down.
void pl_router_free(pl_router *r);

// This node.

// Adds or replaces an item of the own record; PL_TOO_LARGE when it does not fit a frame. Told to
// the mesh from the loop, together with other changes of 10 ms, once this is a full member.
pl_err pl_router_set(pl_router *r, pl_bytes kind, pl_bytes name, pl_bytes attributes);
void pl_router_unset(pl_router *r, pl_bytes kind, pl_bytes name);
// From now on the own record is told, and links are claimed. `relays`: others may go through here.
void pl_router_join(pl_router *r, bool relays);
// What changed of this node is told before this returns, whatever the pace: nobody should choose a
// node that is about to stop.
void pl_router_hurry(pl_router *r);
// The id of this node is known with that epoch: takes a greater one, and tells that.
void pl_router_surpass(pl_router *r, uint64_t epoch);
// Takes the own record out of the mesh: told to all neighbours before this returns.
void pl_router_leave(pl_router *r);

// Links.

// A link to that node came into use, or another took its place (`link` is that of before): all that
// both know is compared. `full`: the node is a full member, as far as its handshake tells.
pl_router_link *pl_router_link_up(pl_router *r, const pl_id *id, uint64_t epoch, bool full,
                                  void *user);
void pl_router_link_down(pl_router *r, pl_router_link *link);
// The link has broken and may come back, or is back: meanwhile it is the last choice for what is
// new. Another link that came into use is none that is away.
void pl_router_link_away(pl_router *r, pl_router_link *link, bool away);
// ADVERT or ROUTE, of any link to that neighbour. PL_PROTOCOL.
pl_err pl_router_frame(pl_router *r, pl_router_link *link, const pl_frame *f);
// The link takes more again.
void pl_router_drained(pl_router *r, pl_router_link *link);
void *pl_router_link_user(const pl_router_link *link);
pl_mesh_node *pl_router_link_node(const pl_router_link *link);
bool pl_router_link_synced(const pl_router_link *link);

// The mesh.

// False when there is no path to it now, or it is not known. The path to this node itself has 0
// hops.
bool pl_router_find(const pl_router *r, const pl_id *node, pl_route *out);
// Links over which `node` (NULL: nobody) is reached without a loop, best first, only those that are
// up now and do not lead to `not_via` (NULL: anybody). Those that are away only when there are no
// others. The number of them; 0: no path.
size_t pl_router_next_hops(pl_router *r, const pl_mesh_node *node, const pl_id *not_via,
                           pl_router_link *out[PL_NEXT_HOPS_MAX]);

// How many are known, this one included.
uint32_t pl_router_count(const pl_router *r);
// NULL when it is not known.
pl_mesh_node *pl_router_node(const pl_router *r, const pl_id *id);
// Walks all that are known, in the order of their ids: start with NULL. The set must not change.
pl_mesh_node *pl_router_next(const pl_router *r, const pl_mesh_node *after);

const pl_id *pl_mesh_node_id(const pl_mesh_node *n);
uint64_t pl_mesh_node_epoch(const pl_mesh_node *n);  // of its record; of its link without one
const pl_route *pl_mesh_node_route(const pl_mesh_node *n);  // NULL: no path
pl_router_link *pl_mesh_node_link(const pl_mesh_node *n);   // NULL: no link to it
void pl_mesh_node_set_data(pl_mesh_node *n, void *data);    // of the layer above; NULL at first
void *pl_mesh_node_data(const pl_mesh_node *n);
