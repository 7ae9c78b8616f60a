// What a node tells of its calls, links and scripts while they go on, to monitors; and what it
// remembers of calls that are traced. Part of perilune.h: everything runs on the thread of the
// node's loop.
#pragma once

#include "base/list.h"
#include "base/trace.h"

// Where a node stands in a call.
typedef enum pl_side {
  PL_SIDE_OUTGOING,
  PL_SIDE_INCOMING,
  PL_SIDE_LOCAL,      // it calls itself: told once, as the callee sees it
  PL_SIDE_FORWARDED,  // of others
} pl_side;

enum { PL_SPAN_CODE = 64 };

// One call as one node sees it. All ends of a call, and the relays between them, have the same
// trace.span for it; a repeat is another one, in the same trace. Times are of the node's own clock,
// in microseconds, asked for when it happened; 0: not yet.
typedef struct pl_span {
  pl_list node;  // of those that are remembered
  pl_side side;
  bool watched;  // monitors are told of it
  bool sampled;  // it is remembered
  bool stream;
  pl_trace trace;
  uint8_t parent[8];  // the call in which it was made; zeros: in none, as far as is known
  pl_id caller;       // the node that calls
  pl_id peer;         // the neighbour: outgoing to whom it goes, else from whom it comes
  pl_id next;         // forwarded: the neighbour to whom it goes on
  uint64_t opened_us, started_us, ended_us;  // started: the handler; forwarded: the call went on
  uint64_t cpu_us;                           // of the handler
  uint64_t chunks;                           // in both directions
  char code[PL_SPAN_CODE];                   // of its error, maybe cut; empty: none
  uint8_t action_len;
  char action[];
} pl_span;

typedef enum pl_notice_kind {
  PL_NOTICE_CALL,    // begins; outgoing: each attempt
  PL_NOTICE_QUEUED,  // waits for a slot
  PL_NOTICE_CHUNK,   // `count` of them passed
  PL_NOTICE_END,
  PL_NOTICE_LINK_UP,
  PL_NOTICE_LINK_DOWN,
  PL_NOTICE_DIAL_FAILED,  // each attempt
  PL_NOTICE_GENERATION,   // a script was loaded anew, or could not be
} pl_notice_kind;

// All is borrowed until the callback returns.
typedef struct pl_notice {
  pl_notice_kind kind;
  uint64_t at_us;
  const pl_span *span;  // of a call; else NULL
  uint64_t count;
  pl_id node;        // of a link: the neighbour,
  const char *name;  // and its name
  const char *code;  // why a link is gone or none, or a script not loaded; NULL: nothing went wrong
  const char *address;  // that was dialled
  const char *script;
  unsigned generation;  // that serves
} pl_notice;

// In the memory of who wants to know. The callback must neither call the node nor begin or end a
// monitor: it takes notes.
typedef struct pl_monitor {
  pl_list node;
  void (*on_notice)(const pl_notice *e, void *user);
  void *user;
} pl_monitor;

typedef struct pl_node pl_node;

// From now on `m` is told of what begins; of calls that are under way it is not.
void pl_node_monitor(pl_node *n, pl_monitor *m, void (*on_notice)(const pl_notice *e, void *user),
                     void *user);
// Idempotent.
void pl_node_unmonitor(pl_node *n, pl_monitor *m);
// Walks the calls of traces that are remembered: first those that have ended, the oldest first,
// then those under way. At most PL_TRACED_KEPT and PL_TRACED_LIVE.
void pl_node_each_span(pl_node *n, void (*fn)(const pl_span *s, void *user), void *user);
// Tells the monitors of something that is not the node's own.
void pl_node_tell(pl_node *n, pl_notice *e);
