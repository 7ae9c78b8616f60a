// Counters and gauges of one loop: plain fields, so that counting costs an increment.
// Everything that is bounded has one for what it refused or dropped.
#pragma once

#include <stddef.h>
#include <stdint.h>

// X(name, help). Counters only grow; gauges (named *_now) go up and down.
#define PL_METRICS(X)                                                       \
  X(links_opened, "links that finished their handshake")                    \
  X(links_closed, "links that closed after it")                             \
  X(links_refused, "incoming links refused by a bound")                     \
  X(links_cut, "links cut because the peer did not read")                   \
  X(links_now, "links up now")                                              \
  X(dials, "attempts to connect")                                           \
  X(dials_failed, "attempts that did not end in a link")                    \
  X(duplicate_links, "second links to one node that were retired")          \
  X(handshakes_failed, "handshakes refused or timed out")                   \
  X(handshakes_unauthorized, "of these, for a wrong or missing proof")      \
  X(peers_lost, "sessions lost without a goodbye")                          \
  X(links_broken, "links that broke with their session waiting")            \
  X(links_resumed, "of these, replaced by a link that went on")             \
  X(resumes_refused, "links that wanted to go on and might not")            \
  X(bytes_resent, "bytes written again on a new link")                      \
  X(pings_refused, "pings refused because too many are on their way")       \
  X(heartbeats_missed, "heartbeats not answered in time")                   \
  X(protocol_errors, "links closed because the peer broke the protocol")    \
  X(adverts_sent, "frames sent about the mesh")                             \
  X(advert_bytes, "bytes of these")                                         \
  X(adverts_received, "frames received about the mesh")                     \
  X(adverts_old, "of these, records known already")                         \
  X(adverts_refused, "of these, refused by a bound or as a lie")            \
  X(databases_differed, "comparisons with a neighbour that differed")       \
  X(ids_claimed, "records of another node with the id of this one")         \
  X(paths_computed, "computations of the paths to all nodes")               \
  X(bytes_read, "bytes received on all links")                              \
  X(bytes_written, "bytes sent on all links")                               \
  X(writes, "write system calls")                                           \
  X(frames_read, "frames received")                                         \
  X(frames_written, "frames sent")                                          \
  X(frames_unknown, "frames of unknown type that were skipped")             \
  X(frames_stale, "frames for circuits that had already ended")             \
  X(calls_opened, "calls and streams opened here")                          \
  X(calls_ok, "of these, ended with a result")                              \
  X(calls_failed, "of these, ended with an error")                          \
  X(calls_now, "of these, not ended yet")                                   \
  X(calls_refused, "calls that did not leave: no provider, path or room")   \
  X(calls_repeated, "attempts of calls after their first")                  \
  X(repeats_refused, "repeats that the budget did not allow")               \
  X(replies_late, "results that came after the caller had given up")        \
  X(requests_received, "calls and streams that arrived here")               \
  X(requests_started, "of these, handed to a handler")                      \
  X(requests_system, "of these, answered by the node itself")               \
  X(requests_busy, "of these, refused by a bound")                          \
  X(requests_shed, "of these, after too long in an overloaded queue")       \
  X(requests_displaced, "of these, for a call of higher priority")          \
  X(requests_expired, "of these, expired before a handler started")         \
  X(requests_repeated, "of these, repeats of one whose answer they get")    \
  X(answers_forgotten, "kept answers that had to go before their time")     \
  X(requests_shared, "of these, equal to another whose answer they get")    \
  X(requests_now, "of these, not ended yet")                                \
  X(requests_queued_now, "of these, waiting for a free slot")               \
  X(overloads, "times that a queue of requests became overloaded")          \
  X(relays_opened, "calls and streams of others passed on")                 \
  X(relays_chosen, "of these, to a provider that this node chose")          \
  X(relays_refused, "of others, not passed on: no path, or a bound")        \
  X(relays_lost, "relayed calls that ended with the path")                  \
  X(relays_broken, "relayed calls ended by a broken protocol")              \
  X(relays_now, "relayed calls, not ended yet")                             \
  X(relay_bytes_now, "bytes of relayed calls waiting for a link")           \
  X(held_bytes_now, "bytes held in streams, queues, bodies and links")      \
  X(memory_refused, "calls and streams refused for want of memory")         \
  X(memory_ended, "calls, streams and links ended for want of memory")      \
  X(chunks_sent, "stream items sent")                                       \
  X(chunks_received, "stream items received")                               \
  X(streams_stalled, "streams and answers ended: nobody took them")         \
  X(streams_passed, "streams passed on to others")                          \
  X(streams_unclaimed, "of these, for whom nobody came in time")            \
  X(streams_kept_now, "of these, waiting for whom they were passed to")     \
  X(credit_waits, "times a producer waited for credit")                     \
  X(send_waits, "times a sender waited for a slow link")                    \
  X(tasks_started, "Lua tasks started")                                     \
  X(tasks_refused, "tasks that a script had too many for")                  \
  X(tasks_failed, "of these, ended with an error nobody awaited")           \
  X(tasks_now, "of these, not ended yet")                                   \
  X(stalls, "times that Lua could not be interrupted for 100 ms")           \
  X(tasks_killed, "of these, ended hard")                                   \
  X(worker_restarts, "times that a replica on a worker thread lived again") \
  X(workers_lost, "worker threads given up")                                \
  X(reloads, "new versions of scripts that took the place of old ones")     \
  X(reloads_failed, "those that could not be loaded")                       \
  X(state_keys_now, "keys of mesh.state and mesh.shared")                   \
  X(state_bytes_now, "bytes of these, as they count for state_limit")       \
  X(state_refused, "changes of these refused by state_limit")               \
  X(state_saves, "times that one of these was saved")                       \
  X(state_saves_failed, "times that this failed")                           \
  X(offload_jobs, "jobs handed to mesh.offload")                            \
  X(offload_refused, "of these, refused because too much waits")            \
  X(offload_running_now, "of these, in all scripts, on a thread")           \
  X(offload_queued_now, "of these, in all scripts, waiting for one")        \
  X(offload_vms_now, "VMs that their threads keep")                         \
  X(offload_bytes_now, "bytes of these, after their last job")              \
  X(file_work_refused, "file work refused because too much waits")          \
  X(changes_lost, "changes of files that a script did not take in time")    \
  X(traces_refused, "calls of traces that were not kept: too many at once") \
  X(notices_dropped, "events that a monitor did not take in time")          \
  X(admin_requests, "requests to the admin listener")                       \
  X(admin_refused, "of these, and of connections to it, refused")           \
  X(log_lines_lost, "log lines that the sink refused")

typedef struct pl_metrics {
#define X(name, help) uint64_t name;
  PL_METRICS(X)
#undef X
} pl_metrics;

typedef struct pl_metric_info {
  const char *name;
  const char *help;
  size_t offset;  // in pl_metrics
} pl_metric_info;

// All of them in the order of the list; the last has name NULL.
extern const pl_metric_info pl_metric_list[];

static inline uint64_t pl_metric_get(const pl_metrics *m, const pl_metric_info *info) {
  return *(const uint64_t *)(const void *)((const char *)m + info->offset);
}
