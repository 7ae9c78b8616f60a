// Shared by the files of this layer: a channel is what the service keeps of one session.
#pragma once

#include "base/labels.h"
#include "base/map.h"
#include "peer/flow.h"
#include "service/balance.h"
#include "service/budget.h"
#include "service/dedup.h"
#include "service/directory.h"
#include "service/gate.h"
#include "service/intake.h"
#include "service/memory.h"
#include "service/service.h"

// A node with which this one has a link, or had one that may come back.
typedef struct pl_neighbour {
  pl_list node;                // in pl_service.neighbours
  pl_peer *peer;               // held
  struct pl_channel *channel;  // of the link in use; NULL while there is none,
  pl_router_link *link;        // and so are these
  pl_provider *provider;
} pl_neighbour;

typedef struct pl_channel {
  pl_list node;  // in pl_service.channels
  pl_service *service;
  pl_neighbour *neighbour;  // NULL once the session is another's business
  pl_session *session;      // held
  pl_lanes lanes;
  pl_labels calls;        // of pl_call, opened here
  pl_labels requests;     // of pl_request, opened there
  pl_labels relayed_in;   // of pl_relay, opened there
  pl_labels relayed_out;  // of pl_relay, opened here
  pl_list call_list;      // the same, for taking them all
  pl_list request_list;
  pl_list relay_ends;  // of pl_relay_end, both kinds
  uint32_t next_label;
  size_t calls_open;
  size_t streams_out;  // of the calls
  size_t streams_in;   // of the requests
} pl_channel;

// The calls of traces that are remembered, see span.h.
typedef struct pl_tracer {
  pl_list live;   // of pl_span: under way
  pl_list ended;  // the oldest first
  size_t live_count, ended_count;
  uint64_t one_in;  // of so many calls that begin one is sampled; 0: none
  uint64_t left;    // until the next
} pl_tracer;

struct pl_service {
  pl_service_config config;
  pl_loop *loop;
  pl_laps laps;      // ends of this turn
  uint8_t taps;      // PL_TAP_*: who wants to know of calls
  pl_list monitors;  // of pl_monitor
  pl_tracer tracer;
  pl_directory directory;
  pl_meters meters;  // of what is served here
  pl_map actions;    // name -> pl_action, of this node
  pl_map system;     // the same, see system.h
  pl_map passed;     // token -> pl_passed, see passed.h
  pl_list passed_list;
  pl_gates gates;      // who runs, and who waits
  pl_work go_on;       // lets those begin who wait, from the loop
  pl_list untimed;     // of pl_request: came in this turn, their deadlines not watched yet
  pl_work watch_work;  // watches them
  pl_list orphans;     // of pl_request: idempotent ones whose path was lost, see repeat.c
  pl_dedup dedup;      // of calls to idempotent actions
  pl_dedup shared;     // of runs that answer equal calls, while they run
  pl_timer expiry;     // of what `dedup` keeps
  pl_router *router;
  bool relays_none;               // of calls of others
  pl_list neighbours;             // of pl_neighbour
  pl_list channels;               // of pl_channel, also of links that are retired
  pl_provider local;              // this node as a provider: calls leave through its channel
  pl_session *local_sessions[2];  // calling end, serving end
  pl_identity local_identity;     // of both
  pl_channel *serving;            // of the serving end
  unsigned local_up;
  void (*closed)(void *user);
  void *closed_user;
  pl_timer load_timer;    // see load.c
  uint32_t load;          // smoothed, in 16ths of a request
  uint32_t load_told;     // requests
  uint64_t load_told_us;  // when; 0: never
  uint64_t next_call_id;
  pl_budget budget;          // of repeats
  pl_candidate *candidates;  // scratch of a choice
  size_t candidate_cap;
  uint64_t choices;
  bool lendable;                    // a slot may be lent, see ancestry.h
  pl_map marked;                    // mark -> pl_request, see ancestry.h
  size_t requests;                  // all that have not ended
  char why_text[PL_NAME_MAX + 64];  // of the last refusal: borrowed by its failure
  bool draining;
  pl_windows windows;
  pl_memory memory;
  pl_list unread;      // of pl_call: settled, with items that nobody has read yet
  pl_list free_calls;  // recycled objects
  pl_list free_requests;
  pl_list relays;  // of pl_relay: calls of others that pass here
  pl_list free_relays;
  size_t free_count;
};

pl_channel *pl_channel_new(pl_service *sv, pl_session *s);
// Fails its calls, cancels its requests, frees it.
void pl_channel_down(pl_channel *ch, pl_err why, const char *detail);
pl_err pl_channel_frame(pl_channel *ch, const pl_frame *f);
// A circuit of the channel ended.
void pl_channel_ended(pl_channel *ch);
static inline size_t pl_channel_circuits(const pl_channel *ch) {
  return ch->calls.count + ch->requests.count + ch->relayed_in.count + ch->relayed_out.count;
}
// Of these, opened here.
static inline size_t pl_channel_opened(const pl_channel *ch) {
  return ch->calls.count + ch->relayed_out.count;
}
// Its link is away and may come back: what goes there waits.
static inline bool pl_channel_is_away(const pl_channel *ch) {
  return pl_session_status(ch->session) == PL_SESSION_SUSPENDED;
}
// Within the machine, or authenticated: tracebacks may travel.
bool pl_channel_is_trusted(const pl_channel *ch);
// For a circuit that is opened here.
uint32_t pl_channel_next_label(pl_channel *ch);
// A CALL of the other end may have this label.
bool pl_channel_takes_label(const pl_channel *ch, uint32_t label);
// The node at the other end is one that passes calls of others on, and may speak for them.
bool pl_channel_may_relay(const pl_channel *ch);
// Who calls, as the node knows it that authenticated him: this one, or others said so on the way,
// who are believed when they proved that they belong to the mesh. One MessagePack value, static or
// borrowed from `m`; empty: nobody did.
pl_bytes pl_channel_identity(const pl_channel *ch, const pl_msg_call *m);

// path.c: the channel for a circuit to `node` (NULL: nobody), which must not leave on a link to
// `not_via` (NULL: any); one that is away only if there is no other; NULL: there is no path.
pl_channel *pl_service_path(pl_service *sv, const pl_mesh_node *node, const pl_id *not_via);
// The same for a call to a provider: its own channel, unless that is away.
pl_channel *pl_service_path_to(pl_service *sv, const pl_provider *p);

// service.c: draining, and the last request has ended?
void pl_service_check_drained(pl_service *sv);

// service.c
// What is known of that node; NULL when nothing is.
pl_provider *pl_service_provider(pl_service *sv, const pl_id *id);

// calls.c and call_open.c
pl_err pl_call_frame(pl_channel *ch, const pl_frame *f);
void pl_call_lost(pl_call *c, pl_err why, const char *detail);
pl_call *pl_call_of(pl_list *node);
void pl_calls_free_all(pl_service *sv);
// Ends it for want of memory, with what it holds.
void pl_call_sacrifice(pl_call *c, const pl_failure *why);

// request.c
pl_err pl_request_arrive(pl_channel *ch, const pl_frame *f);
pl_err pl_request_frame(pl_channel *ch, const pl_frame *f);
void pl_request_lost(pl_request *r, pl_err why, const char *detail);
pl_request *pl_request_of(pl_list *node);
void pl_requests_free_all(pl_service *sv);
void pl_request_cancel(pl_request *r, const pl_failure *why);
// Ends it for want of memory, with what it holds; bytes that it does.
void pl_request_sacrifice(pl_request *r, const pl_failure *why);
size_t pl_request_held(const pl_request *r);

// admission.c: DRAINING for everything that has not started.
void pl_requests_refuse_waiting(pl_service *sv);

// load.c: a request came. While some are there the mesh is told how many, now and then.
void pl_load_note(pl_service *sv);

// adverts.c
extern const pl_router_ops pl_adverts_ops;
// TOO_LARGE, BUSY: more than a node may tell.
pl_err pl_adverts_add(pl_service *sv, pl_bytes name, pl_bytes attributes);
void pl_adverts_remove(pl_service *sv, pl_bytes name);
// The provider that a node is, made when there is none yet.
pl_provider *pl_adverts_provider(pl_mesh_node *n);
