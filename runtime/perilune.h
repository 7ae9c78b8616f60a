// The host API of perilune: a node, the calls it makes and the requests it serves. This and base/
// are all that the Lua embedding, or a program in C, needs. Everything runs on the thread of the
// node's loop.
//
// Callbacks come from the loop, never from inside the call that registered them, and may call
// anything here.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/failure.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/trace.h"
#include "perilune_choice.h"
#include "perilune_figures.h"
#include "perilune_monitor.h"
#include "perilune_pass.h"

#define PL_VERSION "0.1.0"

// Options.

// A list of texts, owned.
typedef struct pl_texts {
  char **items;
  size_t count;
} pl_texts;

void pl_texts_add(pl_texts *t, const char *text);    // a copy
void pl_texts_split(pl_texts *t, const char *text);  // adds its parts between commas
void pl_texts_free(pl_texts *t);                     // leaves it empty

// Where a value comes from; the higher one wins whatever the order of setting.
typedef enum pl_source {
  PL_SOURCE_DEFAULT,
  PL_SOURCE_SCRIPT,
  PL_SOURCE_FILE,
  PL_SOURCE_ENVIRONMENT,
  PL_SOURCE_ARGUMENTS,
} pl_source;

// "default", "script", "config file", "environment", "command line".
const char *pl_source_name(pl_source source);

enum { PL_OPTION_COUNT = 48 };

// Options of a node, checked. Times in seconds, sizes in bytes.
typedef struct pl_options {
  char *name;          // NULL: made from the id
  char *id;            // 32 hexadecimal digits; NULL: random
  char *mesh;          // local mesh to join; NULL: "default" without listen and peers, else none
  char *psk;           // path of a key file
  char *psk_key;       // or the key itself, which only the environment may give
  char *state_dir;     // NULL, or "": mesh.state is not saved
  char *http, *admin;  // addresses; NULL, or "": none
  char *strategy, *region;
  char *log_level, *log_format;
  pl_texts listen, peers, advertise, allow;
  // Scripts on worker threads: paths, or "all"; and "N" or "PATH=N".
  pl_texts isolate, replicas;
  bool insecure, sandbox;
  bool relay;  // given as true, it makes a full member also of a node without actions
  double link_cost, stall_timeout, request_timeout, connect_timeout, handshake_timeout, heartbeat,
      reconnect_max, resume_window, drain, cpu_limit, load_limit, reload_drain, probation,
      cleanup_grace, offload_cpu_limit, restart_window;
  int64_t heartbeat_misses, max_concurrency, max_queue, max_peers, max_message, memory_limit,
      buffer_limit, state_limit, offload_threads, workers, max_restarts, trace_sample;
  uint8_t source[PL_OPTION_COUNT];  // pl_source of each, in the order of pl_option_list
} pl_options;

typedef enum pl_option_kind {
  PL_OPTION_TEXT,
  PL_OPTION_FILE,  // a text: the path of a key file, which is looked into
  PL_OPTION_TEXTS,
  PL_OPTION_BOOLEAN,
  PL_OPTION_SECONDS,
  PL_OPTION_INTEGER,
} pl_option_kind;

// One row of the table that the command line, the environment, the configuration file and scripts
// share.
typedef struct pl_option {
  const char *name;  // "request_timeout": --request-timeout, PERILUNE_REQUEST_TIMEOUT
  const char
      *singular;  // of a list, for the command line and the environment: "peer"; else the name
  pl_option_kind kind;
  size_t offset;    // in pl_options
  double standard;  // of numbers
  double min, max;
  bool later;  // its capability is not in this version
  const char *help;
  const char *standard_text;  // of texts; NULL: none
} pl_option;

extern const pl_option pl_option_list[PL_OPTION_COUNT];
// By name or singular, with '-' for '_' accepted; NULL when unknown.
const pl_option *pl_option_find(const char *name);

// What somebody gives for an option.
typedef struct pl_option_value {
  enum { PL_GIVEN_TEXT, PL_GIVEN_TEXTS, PL_GIVEN_NUMBER, PL_GIVEN_BOOLEAN } given;
  const char *text;  // a number or boolean may also be given as text
  const char *const *texts;
  size_t count;
  double number;
  bool boolean;
} pl_option_value;

// Defaults. Undone by pl_options_free.
void pl_options_init(pl_options *o);
void pl_options_free(pl_options *o);
void pl_options_copy(pl_options *out, const pl_options *in);  // into an uninitialized `out`
// Sets one option, unless a higher source has. From the command line a list grows, else it is
// replaced. PL_INVALID or PL_UNSUPPORTED with `why` (PL_URL_MAX bytes) naming the option:
// "request_timeout: -1 is below 0".
pl_err pl_option_set(pl_options *o, pl_source source, const pl_option *option,
                     const pl_option_value *value, char *why);
// Whether anybody set it.
bool pl_option_is_given(const pl_options *o, const char *name);
// Back to its default, whoever set it.
void pl_option_reset(pl_options *o, const pl_option *option);
// All of PERILUNE_*; `get` is getenv or a twin of it. PERILUNE_PSK is the path of a key file when
// it begins with / or ./, else the key itself.
pl_err pl_options_from_environment(pl_options *o, char *(*get)(const char *name), char *why);
// Overwrites a key in the environment of the process and takes it out, so that neither children nor
// `ps e` see it. A path stays.
void pl_options_hide_key(void);
// A JSON object of options. `path` is read and named in `why`.
pl_err pl_options_from_file(pl_options *o, const char *path, char *why);

// Sandbox: scripts that have only what they are given. X(name, NAME, implied).
enum {
  PL_CAN_FS = 1,       // files
  PL_CAN_NET = 2,      // addresses and links of the node; names
  PL_CAN_PROCESS = 4,  // other processes, and ending this one; which may read files and variables
  PL_CAN_ENV = 8,      // environment variables
  PL_CAN_DEBUG = 16,   // the library debug
  PL_CAN_NATIVE = 32,  // modules in C
};
#define PL_CAPABILITIES(X)                    \
  X(fs, FS, 0)                                \
  X(net, NET, 0)                              \
  X(env, ENV, 0)                              \
  X(debug, DEBUG, 0)                          \
  X(process, PROCESS, PL_CAN_FS | PL_CAN_ENV) \
  X(native, NATIVE, 0)

// The bits of it and of what it implies; 0: unknown.
unsigned pl_capability_find(const char *name, size_t len);
// Of one bit.
const char *pl_capability_name(unsigned capability);
// Whether scripts are to be in a sandbox, and what they are given there. `allow` alone means that,
// also when it holds nothing.
bool pl_options_sandbox(const pl_options *o, unsigned *allowed);

// Node.

// What happens around a node. Any may be NULL.
typedef struct pl_node_ops {
  // The directory or the set of neighbours changed.
  void (*on_change)(pl_node *n, void *user);
  // The counters are about to be told: those that somebody else counts are brought up to date.
  void (*on_count)(pl_metrics *m, void *user);
} pl_node_ops;

// A node that does nothing yet. `options` is copied. Actions may be added before it starts. It
// begins as a leaf. PL_INVALID with `detail` (PL_URL_MAX bytes).
pl_err pl_node_new(pl_node **out, pl_loop *loop, const pl_options *options, const pl_node_ops *ops,
                   void *user, char *detail);
// Opens the listeners and dials the peers; with listeners it is a full member. An error of a
// listener is returned with `detail` and nothing stays open. `joined` follows once, when every
// given peer has connected and sent its directory, or has failed once.
pl_err pl_node_start(pl_node *n, void (*joined)(void *user), void *user, char *detail);
bool pl_node_started(const pl_node *n);
// It is a worker of that node: runs scripts of it on a thread of their own. Before it starts.
void pl_node_set_worker_of(pl_node *n, const pl_id *id);
// Takes the links of workers, which dial door://NAME; nobody else can. A full member from now on.
pl_err pl_node_open_door(pl_node *n, const char *name, char *detail);
// From now on it is a full member: it listens in the local mesh and tells its neighbours.
// Idempotent.
pl_err pl_node_promote(pl_node *n, char *detail);
// Refuses new requests with DRAINING, lets running ones finish for `drain_us`, cancels the rest,
// says goodbye. `done` follows once. A second stop with a shorter drain hastens the first.
void pl_node_stop(pl_node *n, uint64_t drain_us, void (*done)(void *user), void *user);
bool pl_node_stopping(const pl_node *n);
// Reads the key file again, if it has one. What it cannot use is logged, and the old keys stay. It
// also does so by itself when a handshake finds the file changed. No link ends by it.
void pl_node_reload_keys(pl_node *n);
// Gives it other keys, as a change of the file would; `text` is what that would hold. PL_INVALID
// with *why (static), and the old keys stay.
pl_err pl_node_set_keys(pl_node *n, pl_bytes text, const char **why);
// Only after `done`, or when never started.
void pl_node_free(pl_node *n);

pl_loop *pl_node_loop(const pl_node *n);
const pl_options *pl_node_options(const pl_node *n);
const pl_id *pl_node_id(const pl_node *n);
const char *pl_node_name(const pl_node *n);
uint64_t pl_node_started_wall_us(const pl_node *n);
// Addresses others can dial, never wildcard ones. Walk with i from 0; NULL ends.
const char *pl_node_address(const pl_node *n, size_t i);
// What its listeners are bound to, with the ports they got. NULL ends.
const char *pl_node_listener(const pl_node *n, size_t i);

// One known node, for walks. Texts are borrowed.
typedef struct pl_node_info {
  pl_id id;
  const char *name;
  unsigned hops;     // 0 = this one
  uint64_t cost_us;  // of the path
  pl_id via;         // first step of the path; itself when that is a link
  bool leaf, draining;
  const pl_id *worker_of;  // it is a worker of that node; NULL: of none
  const char *state;       // "up", "reconnecting", …
} pl_node_info;
typedef void pl_node_fn(const pl_node_info *info, void *user);
void pl_node_each(pl_node *n, pl_node_fn *fn, void *user);

// The best path to a node.
typedef struct pl_route_info {
  pl_id id;
  const char *name;
  uint64_t cost_us;
  unsigned hops;
  pl_id next[PL_NEXT_HOPS_MAX];  // all first steps that are equally good
  size_t next_count;
} pl_route_info;
typedef void pl_route_fn(const pl_route_info *info, void *user);
// All that can be reached, this node apart, in the order of their ids.
void pl_node_each_route(pl_node *n, pl_route_fn *fn, void *user);

// An address that the node was told to keep connected, and how the first attempt to do so ended.
typedef struct pl_contact_info {
  const char *url;
  pl_err err;       // PL_OK: well, or not yet
  const char *why;  // "" when PL_OK
  bool found;       // in the local mesh, not given
} pl_contact_info;
typedef void pl_contact_fn(const pl_contact_info *info, void *user);
void pl_node_each_contact(pl_node *n, pl_contact_fn *fn, void *user);

// Whether everything that the node provides has been heard of, or will not be: it is not connected.
bool pl_node_knows(pl_node *n, const pl_id *id);

typedef struct pl_action_info {
  pl_bytes name;
  pl_bytes attributes;  // raw MessagePack map, may be empty
  pl_id provider;
  const char *provider_name;
  unsigned hops;
} pl_action_info;
typedef void pl_action_fn(const pl_action_info *info, void *user);
void pl_node_each_action(pl_node *n, pl_action_fn *fn, void *user);

// Finds a node by id or unique name. NO_ROUTE, or INVALID when several have that name (`detail`
// lists their ids).
pl_err pl_node_find(pl_node *n, const char *id_or_name, size_t len, pl_id *out, char *detail);

// The way to a node and back, over any number of others.
typedef void pl_ping_fn(pl_err err, uint64_t rtt_us, void *user);
// The round trip to a node, over its link or along the path to it. NO_ROUTE.
pl_err pl_node_ping(pl_node *n, const pl_id *id, uint64_t timeout_us, pl_ping_fn *done, void *user);
// Dials and keeps the address connected. `done` once: `id` of the node there, or why not.
typedef void pl_connect_fn(pl_err err, const pl_id *id, const char *detail, void *user);
typedef struct pl_connecting pl_connecting;  // until `done`
pl_err pl_node_connect(pl_connecting **out, pl_node *n, const char *url, pl_connect_fn *done,
                       void *user, char *detail);
// The address is not wanted after all: `done` follows with CANCELLED.
void pl_connecting_cancel(pl_connecting *c);
// Whether this node keeps its link to a neighbour: from now on also when the link is lost, at one
// of the addresses that the neighbour tells (PL_INVALID: it tells none); or no longer, and it goes
// with its last circuit unless the neighbour keeps it. NO_ROUTE when there is no link.
pl_err pl_node_keep(pl_node *n, const pl_id *id, bool keep, char *detail);
pl_err pl_node_disconnect(pl_node *n, const pl_id *id, const char *reason, bool allow_reconnect,
                          bool abort);

// Calls: this node asks.

typedef struct pl_call pl_call;

// Action, metadata and policy are needed until the call has ended: it may be repeated.
typedef struct pl_call_options {
  pl_bytes action;
  pl_bytes meta;            // raw MessagePack map, may be empty
  const pl_id *node;        // NULL: any provider
  uint64_t deadline_us;     // clock of the loop; PL_NEVER. Of a stream: of its first chunk
  uint64_t idle_us;         // longest gap of a stream, 0 = none
  bool whole;               // of a stream, too: it ends with `deadline_us`, not with a gap
  bool stream;              // chunks are welcome
  bool input;               // the caller sends chunks
  int codec;                // that `args` is in; see pl_node_codec
  pl_priority priority;     // 0: normal
  const pl_trace *outer;    // of the request for which it is made; NULL: it begins a trace
  const pl_policy *policy;  // NULL: nothing in particular
  // The request that waits for it, which has not ended; NULL: none, as far as is known.
  struct pl_request *within;
} pl_call_options;

typedef struct pl_call_ops {
  // Items wait where none did. Not called again before pl_call_next has returned 0.
  void (*on_items)(pl_call *c, void *user);
  // The owner may go on after pl_call_send said PL_BUSY; or the callee takes no more.
  void (*on_credit)(pl_call *c, void *user);
  // Settled: result or failure is there. Exactly once, unless freed before.
  void (*on_end)(pl_call *c, void *user);
} pl_call_ops;

// What is sent, whether arguments, chunks or results, is one encoded array in two parts: the head
// is kept when it has an owner, else copied. A tail is longer than PL_FRAGMENT_MAX, and the head
// before one at most PL_PREFIX_MAX.

// Opens a call or stream. On an
// error nothing was sent, *out is untouched and `why` says what (NOT_FOUND, NO_ROUTE, BUSY,
// TOO_LARGE, CLOSED).
pl_err pl_node_call(pl_call **out, pl_node *n, const pl_call_options *o, const pl_parts *args,
                    const pl_call_ops *ops, void *user, pl_failure *why);

// What would come of such a call now, without making it: every provider in the order in which they
// come into question.
void pl_node_explain(pl_node *n, const pl_call_options *o, const pl_parts *args,
                     pl_explanation *out, pl_standing_fn *fn, void *user);

// The next item of a stream, one encoded array: 1 with *item borrowed until the next call about
// `c`; 0 none there; -1 ended. Taking an item is what grants the producer more.
int pl_call_next(pl_call *c, pl_bytes *item);
// No item or end there, and the consumer waits: items are then handed on without a copy.
void pl_call_expect(pl_call *c);
bool pl_call_ended(const pl_call *c);                 // settled; items may still wait
const pl_failure *pl_call_failure(const pl_call *c);  // NULL: it has a result (or has not ended)
pl_bytes pl_call_result(const pl_call *c);            // one encoded array, borrowed
int pl_call_codec(const pl_call *c);
// Of a call with input: sends one item (one encoded array). PL_OK: go on. PL_BUSY: taken, but it
// waits here: wait for on_credit or the end before the next. CLOSED: the callee takes no more,
// which is no failure of the call; or it has ended. TOO_LARGE. NO_MEMORY.
pl_err pl_call_send(pl_call *c, const pl_parts *item);
// The same for an owner that does not wait: PL_BUSY when much waits.
pl_err pl_call_post(pl_call *c, const pl_parts *item);
// No more items follow: half-close. Idempotent.
void pl_call_finish(pl_call *c);
// Whether little waits here; if not, on_credit follows, or the end.
bool pl_call_drained(pl_call *c);
bool pl_call_takes_items(const pl_call *c);  // else pl_call_send would say CLOSED
size_t pl_call_unsent(const pl_call *c);     // bytes of items that wait here, and of their keeping
// What the handler says of its stream before the first item: 1 with *info, one encoded array,
// borrowed; 0 not known yet, and as with pl_call_expect on_items follows; -1 nothing.
int pl_call_info(pl_call *c, pl_bytes *info);
// Ends this end: an unsettled call is cancelled at the callee. No callback follows.
void pl_call_free(pl_call *c, pl_err why);
// The same with a text for the handler, of which it gets PL_NAME_MAX bytes.
void pl_call_abort(pl_call *c, pl_err why, pl_bytes reason);

// Streams that are open, in either direction, or pass through.

typedef struct pl_stream_info {
  pl_bytes action;
  pl_id node;  // the other end; of one that passes through, the neighbour from which it comes
  const char *name;
  bool incoming;  // this node consumes
  bool relayed;   // it goes on to
  pl_id to;       // this neighbour
  const char *to_name;
  uint64_t chunks, bytes;                // that have passed here
  uint64_t credit_chunks, credit_bytes;  // that the producer may still send
  enum { PL_WAITS_PRODUCER, PL_WAITS_CONSUMER, PL_WAITS_LINK } waits_for;
  uint64_t waited_us;  // since that changed, or the consumer last took something
} pl_stream_info;
typedef void pl_stream_fn(const pl_stream_info *info, void *user);
void pl_node_each_stream(pl_node *n, pl_stream_fn *fn, void *user);

// Bytes that the node holds for others, now.
typedef struct pl_node_memory {
  uint64_t circuits;  // streams, queues and bodies
  uint64_t relays;    // of these, of circuits of others
  uint64_t links;     // not sent, or not acknowledged
  uint64_t limit;     // of all, 0 = none
  size_t stream_count, link_count;
} pl_node_memory;
void pl_node_memory_get(pl_node *n, pl_node_memory *out);

// Actions: this node serves.

typedef struct pl_action pl_action;
typedef struct pl_request pl_request;

typedef struct pl_action_options {
  int64_t concurrency;  // 0 = none of its own
  int64_t queue;        // holds so many until their deadlines; -1: they wait in the node's queue
  uint64_t timeout_us;  // longest run, 0 = none
  int codec;            // 0 MessagePack, 1 JSON
  bool idempotent;      // a repeat of a call gets the answer of the first
  bool share;           // equal calls in flight get the answer of one run
  pl_bytes attributes;  // told to other nodes: raw MessagePack map
} pl_action_options;

typedef struct pl_action_ops {
  // A slot is free: start the handler. Later pl_request_end must follow, whatever happens.
  void (*on_start)(pl_request *r, void *user);
  // The caller gave up, the deadline passed or the path is lost: stop the handler, then end the
  // request. At most once, only after on_start.
  void (*on_cancel)(pl_request *r, const pl_failure *why);
  // The producer may go on after pl_request_chunk said PL_BUSY.
  void (*on_credit)(pl_request *r);
  // Optional. pl_request_deadline is another one.
  void (*on_deadline)(pl_request *r);
  // Optional. Input waits, or its end, where pl_request_expect found none.
  void (*on_items)(pl_request *r);
  // The action was removed or replaced and no request of it is left.
  void (*on_gone)(void *user);
} pl_action_ops;

// Publishes `name`, replacing an action of that name: whoever has not begun is served by the new
// one, under its options, and those that run count as before. PL_INVALID: the name is empty, too
// long, has control characters, or belongs to what nodes serve themselves.
pl_err pl_node_add_action(pl_node *n, pl_bytes name, const pl_action_options *o,
                          const pl_action_ops *ops, void *user);
// PL_NOT_FOUND when there is none. Requests in flight finish.
pl_err pl_node_remove_action(pl_node *n, pl_bytes name);

// One of several changes of what a node offers.
typedef struct pl_action_change {
  pl_bytes name;
  const pl_action_options *options;
  const pl_action_ops *ops;  // NULL: it is removed, `options` and `user` are not looked at
  void *user;
} pl_action_change;
// All of them, or none: then *failed is the index of the one that cannot be, and the error as of
// the calls for one. No name more than once. Others learn of them in one piece, and see nothing of
// a handler that is replaced. pl_action_ops.on_gone of those whose handler goes follows.
pl_err pl_node_change_actions(pl_node *n, const pl_action_change *changes, size_t count,
                              size_t *failed);
// The `user` with which the action was published; NULL: there is none, or not with these `ops`.
void *pl_node_action_user(const pl_node *n, pl_bytes name, const pl_action_ops *ops);

// What the node serves itself, for its tools: names that begin with this.
#define PL_SYSTEM_PREFIX "_perilune."
// Answers calls of `name` (PL_SYSTEM_PREFIX and more) until the node is freed, or another takes the
// name. Others must name this node to call it, be authenticated or on this machine; nobody is told
// of it. It takes no slot and waits in no queue: PL_SYSTEM_CALLS of it run at once. Arguments are
// at most PL_FRAGMENT_MAX. A handler that ends the request in on_start needs no other callback.
void pl_node_add_system_action(pl_node *n, const char *name, const pl_action_ops *ops, void *user);

// What every handler asks of its request,
// borrowed until it ends, or they are forgotten; with an owner if nobody else looks at them
pl_bytes pl_request_args(const pl_request *r);
int pl_request_codec(const pl_request *r);
bool pl_request_is_stream(const pl_request *r);
uint64_t pl_request_deadline(const pl_request *r);  // PL_NEVER
pl_priority pl_request_priority(const pl_request *r);
// Somebody wants to know what CPU time its handler takes: tell it before the end.
bool pl_request_is_metered(const pl_request *r);
void pl_request_spent(pl_request *r, uint64_t cpu_us);
// Its deadline has passed: a handler that has not begun must not.
bool pl_request_is_late(const pl_request *r);

// and what few ask. Borrowed until it ends.
typedef struct pl_request_info {
  pl_bytes action, meta;
  pl_bytes identity;  // by which the caller was authenticated: one MessagePack value; empty: not
  pl_id caller;
  const char *caller_name;
  uint64_t call_id;
} pl_request_info;
// Of the request itself: what calls made for it are given.
const pl_trace *pl_request_trace(pl_request *r);
void pl_request_info_get(const pl_request *r, pl_request_info *out);

// The handler has begun. The arguments have been decoded: their memory can go.
void pl_request_begun(pl_request *r);
// Its handler has computed for so long since this was said last. Roughly, of some handlers: what
// computes without a bound is started no faster than it can run.
void pl_request_computed(pl_request *r, uint64_t cpu_us);

void pl_request_set_user(pl_request *r, void *user);
void *pl_request_user(const pl_request *r);

// Emits one chunk (one encoded array). PL_OK: go on. PL_BUSY: taken, wait for on_credit before the
// next. STREAM_EXPECTED: the caller takes none; it is told so. CLOSED: nobody listens any more.
// NO_MEMORY.
pl_err pl_request_chunk(pl_request *r, const pl_parts *item);
// What is to be known of a stream before its first chunk (one encoded array). TOO_LARGE: past
// PL_INFO_MAX. INVALID: a chunk was emitted, or this was called before. CLOSED: nobody listens any
// more, or the caller wants no chunks.
pl_err pl_request_tell_info(pl_request *r, pl_bytes info);
// The caller's stream to the handler. Nothing of it comes before the handler asks.
bool pl_request_has_input(const pl_request *r);
// Its next item, one encoded array: 1 with *item borrowed until the next call about `r`; 0 none
// there; -1 ended, or there is no input, or it was stopped. Of a cancelled request 0: it has not
// ended. Taking an item is what grants the caller more.
int pl_request_next(pl_request *r, pl_bytes *item);
// pl_request_next has just said 0: on_items follows, unless the request is cancelled.
void pl_request_expect(pl_request *r);
// The handler reads no more: what waits is dropped, and the caller told. Idempotent.
void pl_request_stop_input(pl_request *r);
// The one end of a request: with a result, or with a failure (result ignored, NULL is fine). Frees
// the slot; `r` is gone.
void pl_request_end(pl_request *r, const pl_parts *result, const pl_failure *failure);
