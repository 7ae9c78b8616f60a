// Who provides which action: this node, and every node of the mesh that says so. Pure bookkeeping.
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "perilune.h"
#include "service/meters.h"
#include "service/tally.h"
#include "wire/msgpack.h"

struct pl_channel;
struct pl_mesh_node;

// A node that may provide actions: any of the mesh, this one included.
typedef struct pl_provider {
  pl_id id;
  const struct pl_mesh_node *node;  // as the router knows it; NULL: it is this node
  uint64_t epoch;                   // of the start that is known of it
  char *name;                       // owned
  char *region;                     // owned; NULL: none
  pl_node_tally *tally;             // held
  // For new calls that go there directly; NULL: there is no link to it, or a better path.
  struct pl_channel *channel;
  pl_list offers;  // of pl_offer
  size_t offer_count;
  uint64_t cost;   // of the path to it
  unsigned hops;   // 0: this node
  uint32_t slots;  // requests that run there at once; 0: no bound
  bool reachable;
  bool draining;
  bool leaf;
  bool is_worker;   // of the node `worker_of`, whose scripts it runs
  pl_id worker_of;  // if so
} pl_provider;

// One action at one node.
typedef struct pl_offer {
  pl_list in_entry;
  pl_list in_provider;
  pl_provider *provider;
  struct pl_entry *entry;
  pl_bytes attributes;  // kept
  pl_tally *tally;      // held; NULL: never called from here
  int codec;            // what follows is said in the attributes
  bool idempotent;
  uint8_t strategy;     // pl_strategy
  uint16_t weight;      // 0: not said
  uint32_t slots;       // as of the node, for this action
  uint64_t timeout_us;  // how long a call of it may take; 0: not said
} pl_offer;

typedef struct pl_entry {
  pl_list offers;
  size_t count;     // of them
  uint64_t pass;    // of PL_STRATEGY_WEIGHTED: where the line has come to
  pl_meter *meter;  // of calls from here, held; NULL: there was none yet
  size_t name_len;
  char name[];
} pl_entry;

typedef struct pl_directory {
  pl_map entries;     // name -> pl_entry
  pl_meters meters;   // of calls from here
  bool has_json;      // some offer had a codec of its own
  bool has_timeouts;  // some offer said how long a call may take
} pl_directory;

// `laps` outlives it.
void pl_directory_init(pl_directory *d, pl_laps *laps);
void pl_directory_fini(pl_directory *d);
void pl_provider_init(pl_provider *p, const pl_id *id, const char *name);
// Its offers must have been withdrawn.
void pl_provider_fini(pl_provider *p);
void pl_provider_rename(pl_provider *p, const char *name, size_t len);
// Longer than PL_REGION_MAX is cut.
void pl_provider_place(pl_provider *p, const char *region, size_t len);

// Adds or replaces the offer. BUSY past PL_ACTIONS_PER_NODE, NO_MEMORY.
pl_err pl_directory_offer(pl_directory *d, pl_provider *p, pl_bytes name, pl_bytes attributes);
// False when there was none.
bool pl_directory_withdraw(pl_directory *d, pl_provider *p, pl_bytes name);
void pl_directory_withdraw_all(pl_directory *d, pl_provider *p);

// A number of slots as it is told; 0 when it is none.
uint32_t pl_slots_of(const pl_mp_token *v);

// The offer of that node; NULL when there is none.
pl_offer *pl_directory_own(pl_directory *d, const pl_provider *p, pl_bytes name);

// NULL when nobody offers it.
pl_entry *pl_directory_find(pl_directory *d, pl_bytes name);
pl_offer *pl_entry_first(pl_entry *e);
// NULL after the last.
pl_offer *pl_entry_next(pl_entry *e, pl_offer *o);
// What is counted of calls from here; made with the first question.
static inline pl_meter *pl_entry_meter(pl_directory *d, pl_entry *e) {
  if (e->meter == NULL) e->meter = pl_meters_hold(&d->meters, pl_bytes_of(e->name, e->name_len));
  return e->meter;
}
// What calls to it have shown; made with the first question.
pl_tally *pl_offer_tally(pl_offer *o);
