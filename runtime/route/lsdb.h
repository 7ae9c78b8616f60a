// The records of all nodes, by id. Bookkeeping only: what is newer, what has changed, what is too
// much.
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/metric.h"
#include "route/items.h"
#include "route/router.h"

enum { PL_LINK_COST_MAX = 60 * 1000 * 1000 };  // a minute; more is as good as no link

// A link as its node claims it.
typedef struct pl_claim {
  pl_id id;
  uint32_t cost;
  uint32_t place;  // of the node in pl_lsdb.sorted, of the generation below; UINT32_MAX: unknown
} pl_claim;

struct pl_mesh_node {
  pl_id id;
  uint32_t place;  // in pl_lsdb.sorted
  // The record. Version 0: none has come.
  uint64_t epoch, version;
  uint64_t boot, over;  // as in pl_msg_advert
  uint64_t surpassed;   // an epoch that it has to be told of as soon as there is a path; 0: none
  pl_items items;
  pl_claim *claims;  // ascending
  uint32_t claim_count;
  uint64_t claims_generation;
  bool relays;
  bool gone;       // it has left: kept for a while, so that old news does not revive it
  bool connected;  // part of the mesh around this node, at whatever distance
  bool owed;       // a neighbour lacks the record, and was not told while it was not connected
  // The paths, as computed last.
  bool reachable;
  bool told;  // whether the layer above knows that it is,
  pl_route told_route;
  pl_route route;
  unsigned next_count;
  pl_router_link *next[PL_NEXT_HOPS_MAX];
  pl_router_link *link;  // NULL: no link to it
  uint64_t lost_us;      // since when it is not connected
  uint64_t asked_us;     // when its record was asked for last; 0: never
  void *data;
};

typedef struct pl_lsdb {
  pl_map by_id;
  pl_mesh_node **sorted;  // by id
  uint32_t count, cap;
  uint64_t generation;  // changes with the set of nodes
  size_t bytes;         // of all items
} pl_lsdb;

void pl_lsdb_fini(pl_lsdb *db);  // and all nodes
pl_mesh_node *pl_lsdb_find(pl_lsdb *db, const pl_id *id);
pl_mesh_node *pl_lsdb_add(pl_lsdb *db, const pl_id *id);
void pl_lsdb_remove(pl_lsdb *db, pl_mesh_node *n);
// Place of the first node with a greater id.
uint32_t pl_lsdb_after(const pl_lsdb *db, const pl_id *id);

// Whether (epoch, version) is later than what is known of the node.
static inline bool pl_record_is_newer(const pl_mesh_node *n, uint64_t epoch, uint64_t version) {
  return epoch != n->epoch ? epoch > n->epoch : version > n->version;
}
// Replaces or changes the items. BUSY when a bound would be passed, and then nothing has changed.
// `changes` is ordered; its items move. Tells each difference.
pl_err pl_record_replace(pl_lsdb *db, pl_mesh_node *n, pl_items *changes,
                         pl_items_changed_fn *changed, void *user);
pl_err pl_record_change(pl_lsdb *db, pl_mesh_node *n, pl_items *changes,
                        pl_items_changed_fn *changed, void *user);
// Removes all items.
void pl_record_clear(pl_lsdb *db, pl_mesh_node *n, pl_items_changed_fn *changed, void *user);
// The claims and what the node says of itself, out of the items of the kinds "link" and "node".
// True when that matters for paths.
bool pl_record_read(pl_mesh_node *n);
// A part of the hash of the database.
uint64_t pl_record_hash(const pl_mesh_node *n);
