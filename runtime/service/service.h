// What applications see of the mesh: who provides which action, calls and streams to them, and
// requests served here.
//
// Every session of the node has a channel; calls to the node itself run over a pair of sessions on
// a memory link, so that they pass the same code. Loop thread only; no I/O and no clock of its own.
#pragma once

#include "peer/peer.h"
#include "perilune.h"
#include "route/router.h"

typedef struct pl_service pl_service;

// That every node answers (docs/protocol.md 5.11).
#define PL_PING_ACTION "_ping"

typedef struct pl_service_config {
  pl_loop *loop;
  pl_identity *identity;  // outlives the service, which may raise its epoch
  int64_t max_concurrency, max_queue;
  size_t message_max;
  pl_strategy strategy;   // of calls and actions that name none
  const char *region;     // outlives the service; NULL: none
  uint64_t link_cost;     // of each link that has none of its own; 0: its round trip
  uint64_t trace_one_in;  // of so many calls one is traced; 0: none
  uint64_t stall_us;      // how long a consumer may take nothing; 0: for ever
  uint64_t buffer_limit;  // bytes that it may hold for others; 0: no bound
  // The directory or a neighbour's part in it changed.
  void (*on_change)(void *user);
  // A circuit of a session ended, and none that was opened here is left on it.
  void (*on_idle_session)(pl_session *s, void *user);
  // The id of this node is that of another one, which stays: its links are to be closed.
  void (*on_taken)(void *user);
  // Draining, and the last request and the last relayed call have ended.
  void (*on_drained)(void *user);
  void *user;
} pl_service_config;

pl_service *pl_service_new(const pl_service_config *config);
// Closes the local sessions; free after `done`, which comes from the loop.
void pl_service_shutdown(pl_service *sv, void (*done)(void *user), void *user);
void pl_service_free(pl_service *sv);
bool pl_service_ready(const pl_service *sv);  // calls to the node itself work

// What the peers tell (pl_peers_ops).
void pl_service_session(pl_service *sv, pl_peer *p, pl_session *s);
pl_err pl_service_frame(pl_service *sv, pl_peer *p, pl_session *s, const pl_frame *f);
void pl_service_drained(pl_service *sv, pl_session *s);
void pl_service_away(pl_service *sv, pl_peer *p, pl_session *s, bool away);
void pl_service_unkept(pl_service *sv, pl_peer *p, pl_session *s);
void pl_service_session_down(pl_service *sv, pl_peer *p, pl_session *s, pl_err why,
                             const char *detail);
void pl_service_peer_gone(pl_service *sv, pl_peer *p);
size_t pl_service_circuits(const pl_session *s);
size_t pl_service_opened(const pl_session *s);  // of these, by this node

// True when the whole directory of an up peer has arrived.
bool pl_service_knows(pl_service *sv, pl_peer *p);

// From now on requests and calls to be relayed are refused with DRAINING, and those that wait are.
// The mesh is told first.
void pl_service_drain(pl_service *sv);
// And every request has been answered, and every call of others that passes here.
bool pl_service_is_drained(const pl_service *sv);
// Cancels every running request, and cuts the calls of others that pass here.
void pl_service_cancel_all(pl_service *sv, const pl_failure *why);
size_t pl_service_requests(const pl_service *sv);
// This node is a full member from now on; `relays`: also for calls of others.
void pl_service_join(pl_service *sv, bool relays);
// It is none any more: told to the neighbours before this returns.
void pl_service_leave(pl_service *sv);
// Name or draining of this node changed: tell everyone.
void pl_service_announce(pl_service *sv);

// What is known of the mesh.
pl_router *pl_service_router(pl_service *sv);
// Of a node that the router knows; borrowed.
const char *pl_service_node_name(const pl_mesh_node *n);
bool pl_service_node_draining(const pl_mesh_node *n);
// The node whose scripts it runs; NULL: it is on its own.
const pl_id *pl_service_node_worker_of(const pl_mesh_node *n);
bool pl_service_node_is_leaf(const pl_mesh_node *n);

pl_err pl_service_add_action(pl_service *sv, pl_bytes name, const pl_action_options *o,
                             const pl_action_ops *ops, void *user);
pl_err pl_service_remove_action(pl_service *sv, pl_bytes name);
// As those of pl_node_*.
pl_err pl_service_change_actions(pl_service *sv, const pl_action_change *changes, size_t count,
                                 size_t *failed);
void *pl_service_action_user(pl_service *sv, pl_bytes name, const pl_action_ops *ops);
// Bytes held by circuits and by links now, and how much they may be together (0: any).
void pl_service_memory(const pl_service *sv, uint64_t *circuits, uint64_t *links, uint64_t *limit);
// As pl_node_add_system_action; `name` may also be one that is for everyone.
void pl_service_add_system_action(pl_service *sv, const char *name, const pl_action_ops *ops,
                                  void *user);
size_t pl_service_action_count(const pl_service *sv);
void pl_service_each_action(pl_service *sv, pl_action_fn *fn, void *user);
int pl_service_codec(pl_service *sv, pl_bytes action);
// How long a call may take that does not say so itself: the longest that its providers say, 0 when
// none of them does.
uint64_t pl_service_timeout(pl_service *sv, pl_bytes action);

// As pl_node_call.
pl_err pl_service_call(pl_call **out, pl_service *sv, const pl_call_options *o,
                       const pl_parts *args, const pl_call_ops *ops, void *user, pl_failure *why);
// As pl_node_each_stream.
void pl_service_each_stream(pl_service *sv, pl_stream_fn *fn, void *user);
// As pl_node_each_figures.
void pl_service_each_figures(pl_service *sv, pl_figures_fn *fn, void *user);
// As pl_node_explain.
void pl_service_explain(pl_service *sv, const pl_call_options *o, const pl_parts *args,
                        pl_explanation *out, pl_standing_fn *fn, void *user);
