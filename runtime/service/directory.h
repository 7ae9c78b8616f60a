// Who provides which action: the actions of this node and what its neighbours advertised. Pure
// bookkeeping.
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "peer/peer.h"
#include "perilune.h"

struct pl_channel;

// A node that may provide actions: a neighbour, or this node itself.
typedef struct pl_neighbour {
  pl_list node;                // in pl_service.neighbours while it has a channel
  pl_peer *peer;               // held; NULL for this node
  struct pl_channel *channel;  // for new calls; NULL while there is none
  pl_list offers;              // of pl_offer
  size_t offer_count;
  uint64_t epoch;           // of its start that the directory is of
  uint64_t advert_version;  // of its directory, as far as it is known here
  bool complete;            // its whole directory has come
  bool draining;
} pl_neighbour;

// One action at one node.
typedef struct pl_offer {
  pl_list in_entry;
  pl_list in_neighbour;
  pl_neighbour *neighbour;
  struct pl_entry *entry;
  pl_bytes attributes;  // kept
  int codec;
} pl_offer;

typedef struct pl_entry {
  pl_list offers;
  size_t name_len;
  char name[];
} pl_entry;

typedef struct pl_directory {
  pl_map entries;  // name -> pl_entry
} pl_directory;

void pl_directory_fini(pl_directory *d);
void pl_neighbour_init(pl_neighbour *n, pl_peer *peer);

// Adds or replaces the offer. BUSY past PL_ACTIONS_PER_PEER, NO_MEMORY.
pl_err pl_directory_offer(pl_directory *d, pl_neighbour *n, pl_bytes name, pl_bytes attributes);
// False when there was none.
bool pl_directory_withdraw(pl_directory *d, pl_neighbour *n, pl_bytes name);
void pl_directory_withdraw_all(pl_directory *d, pl_neighbour *n);

// The offer of that neighbour; NULL when there is none.
pl_offer *pl_directory_own(pl_directory *d, const pl_neighbour *n, pl_bytes name);

// NULL when nobody offers it.
pl_entry *pl_directory_find(pl_directory *d, pl_bytes name);
// The offer with the fewest calls in flight from here among those that can be reached; equals take
// turns. With `only`, of that node. NULL when there is none.
pl_offer *pl_directory_choose(pl_entry *e, const pl_id *only, const pl_id *self);
// Whether there would be one if nobody were draining.
bool pl_directory_drains(const pl_entry *e, const pl_id *only, const pl_id *self);

// The id of a neighbour; `self` stands for this node.
const pl_id *pl_neighbour_id(const pl_neighbour *n, const pl_id *self);
