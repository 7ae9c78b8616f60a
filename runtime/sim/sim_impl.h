// Shared by the files of a simulated mesh: sim.c, fleet.c, work.c, serve.c, equals.c, ledger.c,
// nemesis.c, copy.c, rotation.c, intruder.c, truth.c and journal.c.
#pragma once

#include <limits.h>

#include "perilune.h"
#include "sim/sim.h"

typedef struct pl_sim pl_sim;
typedef struct pl_sim_node pl_sim_node;

// The journal: what happened, in order.

typedef enum pl_sim_event {
  PL_SIM_BOOT,
  PL_SIM_KILL,
  PL_SIM_POWER,  // lost
  PL_SIM_STOP,
  PL_SIM_CUT,
  PL_SIM_BLOCK,  // a path, one way
  PL_SIM_CLOG,
  PL_SIM_CLEAR,  // a path is as before
  PL_SIM_PAUSE,
  PL_SIM_RESUME,
  PL_SIM_SLOW,
  PL_SIM_LEAP,
  PL_SIM_RATE,
  PL_SIM_WALL,
  PL_SIM_CHURN,
  PL_SIM_KEYS,
  PL_SIM_VISIT,
  PL_SIM_CALL,
  PL_SIM_RUN,
  PL_SIM_SETTLE,
  PL_SIM_QUIET,
  PL_SIM_RIGHT,
} pl_sim_event;

enum { PL_SIM_EVENTS_KEPT = 64 };

typedef struct pl_sim_entry {
  uint64_t at_us;
  pl_sim_event event;
  unsigned a, b;  // nodes
  int64_t x, y;
} pl_sim_entry;

typedef struct pl_sim_journal {
  pl_sim_entry last[PL_SIM_EVENTS_KEPT];
  uint64_t count;
  uint64_t digest;
  FILE *trace;
} pl_sim_journal;

void pl_sim_note(pl_sim *s, pl_sim_event event, unsigned a, unsigned b, int64_t x, int64_t y);
// The last events, a line each; owned by the caller.
char *pl_sim_journal_text(const pl_sim_journal *j);

// The ledger: what really became of every call.

typedef enum pl_sim_kind {
  PL_SIM_WORK,   // idempotent
  PL_SIM_ONCE,   // must never run twice
  PL_SIM_COUNT,  // a stream
  PL_SIM_NEST,   // its handler makes a call itself
  PL_SIM_SHARE,  // equal ones in flight get the answer of one run
  PL_SIM_KINDS,
} pl_sim_kind;

typedef struct pl_sim_record {
  pl_sim_kind kind;
  unsigned caller;
  uint64_t started_us;
  uint64_t deadline_us;  // clock of the caller; PL_NEVER
  unsigned troubles;     // of the caller's clock, when it began
  unsigned runs;         // of its handler
  bool returned;         // a handler of it came to its end
  bool fails;            // after its chunks, so that it never has a result
  bool settled, cancelled, orphaned;
  bool failed;
  pl_outcome outcome;
  unsigned group;     // of those that are equal
  uint32_t chunks;    // that it asks for
  uint32_t emitted;   // of the last run
  uint32_t consumed;  // in order, without a gap
} pl_sim_record;

typedef struct pl_sim_ledger {
  pl_sim_record *records;  // by the key of the call
  size_t count, cap;
} pl_sim_ledger;

uint64_t pl_sim_ledger_open(pl_sim *s, const pl_sim_record *r);
pl_sim_record *pl_sim_ledger_get(pl_sim *s, uint64_t key);  // NULL: never opened
void pl_sim_ledger_ran(pl_sim *s, uint64_t key, unsigned node);
void pl_sim_ledger_settled(pl_sim *s, uint64_t key, const pl_failure *failure, uint64_t late_us);
// Every call has come to its end, and what was said of it still stands.
void pl_sim_ledger_check(pl_sim *s);

// Equal calls: their handlers know of which group they are, not for which of the calls they run.
enum { PL_SIM_GROUPS = 4 };

typedef struct pl_sim_group {
  uint64_t calls, runs;
  uint64_t returned_us;  // when the last run ended well; 0: none did
} pl_sim_group;

// Nodes.

typedef struct pl_sim_action {
  pl_sim_node *node;
  pl_sim_kind kind;
  bool provided;
} pl_sim_action;

struct pl_sim_node {
  pl_sim *sim;
  unsigned number;
  bool leaf;   // it only calls: it does not listen, and causes no adverts
  bool relay;  // calls of others may go through it
  char name[16];
  char id[PL_ID_HEX];  // given, or empty: a new one each time
  pl_site *site;
  pl_node *node;  // NULL: not running
  bool dead;      // being buried: what it does does not count
  bool stopping;  // told to, and not down yet
  bool down;      // its stop is complete
  unsigned boots;
  unsigned troubles;         // of its clock, so far
  unsigned key_step;         // how often its keys were changed
  bool visited;              // by the intruder: breaches of the protocol are to be expected
  const pl_sim_node *dials;  // of a copy: whom; NULL: as the edges say
  pl_sim_action actions[PL_SIM_KINDS];
  pl_list calls;     // of those it makes (work.c)
  pl_list handlers;  // that run (serve.c)
  pl_timer next_call;
  pl_event revival;  // its next start, or while it stops the next look at it
  uint64_t down_us;  // how long it stays away after that
};

struct pl_sim {
  const pl_sim_config *config;
  pl_sim_report *report;
  pl_net net;
  pl_random random;
  unsigned count;
  unsigned leaves;  // of these, the last ones
  pl_sim_node *nodes;
  pl_sim_node *copy;  // see copy.c; NULL: there was none yet
  pl_edge *edges;
  size_t edge_count;
  pl_sim_ledger ledger;
  pl_sim_group groups[PL_SIM_GROUPS];
  pl_sim_journal journal;
  uint64_t call_pause_us;  // of a node between two calls, on average
  bool working;            // nodes make calls
  bool gentle;             // links are reset and nothing else: no call may fail for it
  bool uneven;             // some path was slower than others, which is remembered for long
  bool keyed;              // nodes have pre-shared keys
  uint64_t keys_since_us;  // since when all have come as far in changing them
  struct pl_nemesis *nemesis;
  struct pl_truth *truth;
  struct pl_intruder *intruder;  // NULL: there is none
};

// The run has shown a fault: the first is kept.
void pl_sim_violated(pl_sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool pl_sim_chance(pl_sim *s, unsigned one_of) {
  return pl_random_below(&s->random, one_of) == 0;
}
// Uniform between the two.
uint64_t pl_sim_between(pl_sim *s, uint64_t least, uint64_t most);
static inline uint64_t pl_sim_now_us(const pl_sim *s) {
  return pl_net_now_us(&s->net);
}

// fleet.c
void pl_fleet_make(pl_sim *s);
void pl_fleet_boot(pl_sim_node *n);
void pl_fleet_kill(pl_sim_node *n, bool power);
// A killed one comes back.
void pl_fleet_revive(pl_sim_node *n, uint64_t after_us);
void pl_fleet_revive_now(pl_sim_node *n);  // if it is away
// It is told to stop, and comes back so long after it has.
void pl_fleet_restart(pl_sim_node *n, uint64_t drain_us, uint64_t after_us);
// Stops all that run, as on SIGTERM, and waits for it.
void pl_fleet_stop_all(pl_sim *s);
void pl_fleet_free(pl_sim *s);

// work.c
void pl_work_begin(pl_sim_node *n);
// Its calls die with it.
void pl_work_abandon(pl_sim_node *n);
// One call of `kind` from `n`, to `to` or with NULL to whoever provides it.
typedef struct pl_sim_order {
  pl_sim_kind kind;
  const pl_sim_node *to;
  uint32_t chunks;
  uint32_t size;        // of each chunk or of the result, bytes
  uint32_t work_us;     // of the handler
  uint64_t timeout_us;  // until it must have ended, or its stream begun
  uint64_t cancel_us;   // the caller gives up; PL_NEVER
  bool slow;            // it takes chunks with pauses
  bool fails;           // the handler does, after the chunks
  bool probe;           // must succeed
  unsigned depth;       // so many calls within each other are made for it
  unsigned group;
} pl_sim_order;
void pl_work_call(pl_sim_node *n, const pl_sim_order *o);
// What `r` waits for: `done` follows, unless it was given up, or its node has gone; then *call is
// NULL.
typedef struct pl_sim_caller pl_sim_caller;
typedef void pl_sim_done_fn(void *user);
void pl_work_nest(pl_sim_caller **call, pl_sim_node *n, const pl_sim_order *o, pl_request *r,
                  pl_sim_done_fn *done, void *user);
void pl_work_give_up(pl_sim_caller *c);
// Random, for a handler that has so long.
pl_sim_order pl_work_nested_order(pl_sim_node *n, unsigned depth, bool probe, uint64_t left_us);
size_t pl_work_open(const pl_sim *s);  // calls not settled

// serve.c
void pl_serve_provide(pl_sim_node *n, pl_sim_kind kind, bool provided);
// As when a VM is freed: its handlers end, whatever they do.
void pl_serve_end_all(pl_sim_node *n);
extern const char *const pl_sim_action_names[PL_SIM_KINDS];

// items.c: a chunk or result, [number, bytes]; the bytes are a function of call and number.
void pl_sim_put_item(pl_buf *out, uint64_t key, uint32_t number, uint32_t size);
bool pl_sim_is_item(pl_bytes item, uint64_t key, uint32_t number, uint32_t size);

// equals.c: groups of equal calls.
// Their handlers have keys from here on, by group, and none in the ledger.
#define PL_SIM_EQUAL (UINT64_C(1) << 39)
static inline bool pl_sim_is_equal(uint64_t key) {
  return key >= PL_SIM_EQUAL && key < PL_SIM_EQUAL + PL_SIM_GROUPS;
}
// What all of a group ask for.
void pl_equals_fill(pl_sim_order *o, unsigned group);
void pl_equals_called(pl_sim *s, unsigned group);
// A handler begins, beside `others` that run at the node for the same caller.
void pl_equals_ran(pl_sim *s, uint64_t key, unsigned node, unsigned others, bool from_itself);
void pl_equals_returned(pl_sim *s, uint64_t key);
// One of them has a result.
void pl_equals_check(pl_sim *s, uint64_t key, const pl_sim_record *r);

// rotation.c
enum { PL_SIM_KEYS_TEXT = 128 };
// What the key file of a node holds at that step.
void pl_rotation_text(const pl_sim_node *n, char out[PL_SIM_KEYS_TEXT]);
// One node, `first` or one after it, or all take the next step in changing the keys, if the time
// has come for it.
void pl_rotation_go_on(pl_sim *s, unsigned first, bool all);

// intruder.c
// Calls of the intruder have keys from here on, and none in the ledger.
#define PL_SIM_FOREIGN (UINT64_C(1) << 40)
extern const char *const pl_intruder_manners[];
void pl_intruder_begin(pl_sim *s);
// It goes: its links are closed.
void pl_intruder_end(pl_sim *s);
void pl_intruder_free(pl_sim *s);
// A handler runs for a call that no node of the mesh made.
void pl_intruder_ran(pl_sim *s, uint64_t key, unsigned node);

// flaps.c
void pl_sim_flap(pl_sim *s);

// copy.c
// Starts one with the id of `of`, which dials `at`. False when that cannot be, or it runs already.
bool pl_copy_begin(pl_sim *s, const pl_sim_node *of, const pl_sim_node *at, int64_t wall_us);
void pl_copy_end(pl_sim *s, bool power);  // if it runs
void pl_copy_free(pl_sim *s);

// nemesis.c
void pl_nemesis_begin(pl_sim *s);
// Everything that is broken is whole again.
void pl_nemesis_end(pl_sim *s);
void pl_nemesis_free(pl_sim *s);

// truth.c
typedef struct pl_truth pl_truth;
enum { PL_SIM_FAR = INT_MAX };
void pl_truth_make(pl_sim *s);  // when the edges are known
void pl_truth_free(pl_sim *s);
// Whether every node sees what is there. `why` (PL_SIM_WHY bytes) gets the first error.
bool pl_truth_holds(pl_sim *s, char *why);
// Links to each node that runs, by number, as they should be there; PL_SIM_FAR: none, or too many.
// Borrowed until the next call of this file.
const unsigned *pl_truth_distances(pl_sim *s, const pl_sim_node *from);
