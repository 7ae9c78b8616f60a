// Shared by the files that implement router.h.
//
//   router.c    life, links, questions
//   own.c       the record of this node, and when a change of it is told
//   records.c   records that arrive: which are taken, and passed on
//   rivals.c    several starts that claim one id
//   exchange.c  comparing what two neighbours know
//   away.c      links that have broken and may come back
//   edges.c     the graph, out of the records
//   paths.c     when paths are computed, who is told, what is forgotten
#pragma once

#include "base/list.h"
#include "route/graph.h"
#include "route/lsdb.h"
#include "route/router.h"

#define PL_VERSION_MAX (1ULL << 48)  // of a record

// A record, or a change of one, in the frames in which it travels.
typedef struct pl_news {
  pl_slice **frames;
  uint32_t count;
  size_t bytes;
} pl_news;

// A record that arrives in several frames.
typedef struct pl_arriving {
  bool active;
  pl_id origin;
  uint64_t epoch, version, base;
  bool snapshot;
  bool skipped;    // refused: the rest of it is not looked at
  pl_items items;  // in the order in which they came
  pl_news news;
} pl_arriving;

struct pl_router_link {
  pl_list node;  // in pl_router.links
  pl_router *router;
  pl_mesh_node *to;
  void *user;
  uint64_t epoch;  // of the node there: by its handshake, or a greater one that it told since
  uint64_t rival;  // the greatest epoch that others told of it; 0: none above its own
  pl_id told_id;   // of whom it was told last that it is known with a later epoch,
  uint64_t told_epoch;
  uint64_t told_us;  // and when
  uint32_t cost;     // as measured here
  bool full;         // the node there is a full member
  bool doubted;      // a record of it is known, but by its handshake it is a leaf, which has none
  bool answered;     // it has been sent what it lacked, and gets all news
  bool synced;       // it has sent what was lacking here,
  bool known;        // and the layer above knows the paths to that
  bool synced_due;
  bool claimed;  // in the own record,
  bool shunned;  // at the greatest cost
  bool away;     // broken, and may come back
  pl_timer still_away;
  pl_buf due;  // of pl_id: records to be sent when there is room
  pl_arriving in;
  pl_path *around;      // paths from the node there, while they are known
  uint64_t compare_us;  // when the databases are compared next
};

// Something to pass on, at the end of the turn.
typedef struct pl_flood {
  pl_list node;
  pl_id origin;
  uint64_t epoch, version;
  pl_router_link *except[4];  // who has it already
  unsigned except_count;
  pl_news news;
} pl_flood;

// What the graph is made of: claims of other nodes, by places of nodes in pl_lsdb.sorted.
typedef struct pl_edges {
  uint32_t *first;  // as in pl_graph
  uint32_t *to, *cost;
  uint32_t *agreed;  // the cost of the link when the other end claims it, too
  uint32_t nodes_cap, links_cap;
  uint64_t generation;  // of the nodes that the graph numbers
} pl_edges;

struct pl_router {
  pl_router_config config;
  const pl_router_ops *ops;
  void *user;
  pl_lsdb *db;
  pl_mesh_node *self;
  pl_list links;
  pl_timer beat;         // looks at costs, and compares
  uint64_t measured_us;  // when it looked at them last

  // The own record.
  bool joined, left;
  bool taken;          // it was told to go, and was not let in again since
  uint64_t taken_by;   // the epoch of who has its id; 0: nobody
  unsigned echoes;     // times that others told its very epoch with versions it never had
  bool whole_due;      // a snapshot, not a change
  pl_items withdrawn;  // since it was told
  uint64_t paced_us;   // the moment to which the pace of its versions has been used up
  pl_work tell;
  pl_timer pace;

  // Passing on.
  pl_list floods;
  pl_work flush;
  size_t arriving_bytes;  // of all links

  // Paths.
  pl_graph graph;
  pl_edges edges;
  pl_path *paths;
  pl_graph_heap heap;
  uint64_t computed_us;
  uint64_t hash;     // of the records of connected nodes
  unsigned arounds;  // neighbours whose own paths have been computed since
  bool dirty;        // something that matters for paths has changed
  bool computed;     // paths are known that the layer above was not told of
  bool changed;      // something that the layer above is told of
  pl_work settle;
  pl_timer hold;
  pl_timer age;
  unsigned warned;  // bits of PL_WARN_*
};

// What is logged once.
enum {
  PL_WARN_ID = 1,
  PL_WARN_FULL = 2,
  PL_WARN_FOREIGN = 4,
  PL_WARN_CLOCK = 8,
  PL_WARN_TAKEN = 16,
};

static inline uint64_t pl_router_now(const pl_router *r) {
  return pl_now_us(r->config.loop);
}

// router.c: sends a frame, ADVERT or ROUTE.
void pl_router_send(pl_router *r, pl_router_link *l, uint8_t type, pl_bytes body);
// Looks at the round trip of the link. True when its cost has changed.
bool pl_link_measure(pl_router *r, pl_router_link *l);

// own.c
void pl_own_claim(pl_router *r, pl_router_link *l);  // or no longer
void pl_own_changed(pl_router *r);
// Another told a later version of the own record.
void pl_own_surpassed(pl_router *r, uint64_t version);
// It goes on under an epoch greater than `over`.
void pl_own_raise(pl_router *r, uint64_t over);
void pl_own_tell_now(pl_router *r);
void pl_own_fini(pl_router *r);

// records.c
pl_err pl_record_arrived(pl_router *r, pl_router_link *l, const pl_frame *f);
void pl_arriving_drop(pl_router *r, pl_router_link *l);
// Sends the whole record of a node.
void pl_record_send(pl_router *r, pl_router_link *l, pl_mesh_node *n);
// The whole record to all neighbours.
void pl_record_flood(pl_router *r, const pl_mesh_node *n);
// Passes news on at the end of the turn; takes them over. `from` may be NULL.
void pl_flood_add(pl_router *r, pl_router_link *from, const pl_mesh_node *n, pl_news *news);
void pl_flood_now(pl_router *r);
void pl_flood_forget(pl_router *r, const pl_router_link *l);
// Appends frames to `news`: items of `set`, all or only the fresh ones, and then `withdrawn`.
pl_err pl_news_encode(pl_news *news, const pl_msg_advert *head, const pl_items *set, bool all,
                      const pl_items *withdrawn);
void pl_news_fini(pl_news *news);

// rivals.c
enum { PL_EPOCH_BITS = 62 };  // greater ones are told by nobody
// What was told of an id.
typedef struct pl_rival {
  pl_id id;
  uint64_t epoch, boot, over;  // as in pl_msg_advert
} pl_rival;
// Of the id of this node.
void pl_rival_heard(pl_router *r, const pl_rival *v);
// Tells a neighbour that an id is known with a later epoch than it knows, or has.
void pl_rival_tell(pl_router *r, pl_router_link *l, const pl_rival *v);
void pl_rival_tell_of(pl_router *r, pl_router_link *l, const pl_mesh_node *n);  // by its record
// A record of `n`, to which there is a link here, is of epoch v->epoch: true when that is another
// start than the one at the link. `from` NULL: nobody told it, it was known.
bool pl_rival_beside(pl_router *r, pl_router_link *from, pl_mesh_node *n, const pl_rival *v);
// Passes n->surpassed on towards the node, if there is a path and it is still worth it.
void pl_rival_pass(pl_router *r, pl_mesh_node *n);
// A ROUTE that tells of one.
void pl_rival_arrived(pl_router *r, pl_router_link *l, const pl_rival *v);

// router.c: what was told of the node holds no more.
void pl_record_forget(pl_router *r, pl_mesh_node *n);

// exchange.c
pl_err pl_route_arrived(pl_router *r, pl_router_link *l, const pl_frame *f);
void pl_route_send(pl_router *r, pl_router_link *l, const pl_msg_route *m);
void pl_digest_send(pl_router *r, pl_router_link *l, bool answer);
// `n` NULL: not known yet.
void pl_pull_send(pl_router *r, pl_router_link *l, const pl_id *id, pl_mesh_node *n);
void pl_hash_send(pl_router *r, pl_router_link *l);
// Sends what is due, as long as there is room.
void pl_exchange_pump(pl_router *r, pl_router_link *l);
// Whether a record may be told to neighbours.
bool pl_record_is_told(const pl_router *r, const pl_mesh_node *n);

// edges.c: makes r->graph, and room for r->paths.
void pl_edges_build(pl_router *r);
// Cost of the link between two other nodes, by their places; PL_NO_PATH: there is none that both
// claim, or it has broken.
uint64_t pl_edges_between(const pl_router *r, uint32_t from, uint32_t to);
void pl_edges_fini(pl_router *r);

// paths.c
// Something that matters for paths has changed; `urgent`: a link of this node was lost or came.
void pl_paths_changed(pl_router *r, bool urgent);
void pl_paths_news(pl_router *r);  // the layer above is to be told that something changed
void pl_paths_compute(pl_router *r);
// Neighbours other than the first steps of the best paths, which do not lead back here.
size_t pl_paths_around(pl_router *r, const pl_mesh_node *n, const pl_id *not_via,
                       pl_router_link *out[PL_NEXT_HOPS_MAX]);
void pl_paths_fini(pl_router *r);
// An item of `user`, a pl_paths_item_of, has changed: tells the layer above.
typedef struct pl_item_news {
  pl_router *router;
  pl_mesh_node *node;
} pl_item_news;
void pl_paths_item(pl_slice *item, bool withdrawn, void *user);
