// Every bound of the system that is not an option, with its reason.
#pragma once

enum {
  // base
  PL_LOG_TEXT_MAX = 8 * 1024,  // one text of a log line; the rest is cut off

  // wire
  PL_FRAGMENT_MAX = 16 * 1024,     // body of a frame: how long a big thing may hold up a small one
  PL_HELLO_MAX = 16 * 1024,        // body of a frame before the handshake is done
  PL_UNTRUSTED_BYTES = 64 * 1024,  // all that a connection may send before it
  PL_DEPTH_MAX = 64,               // nesting of values; recursion in C
  PL_KEYS_PREALLOC = 1024,         // slots a declared length may reserve before they arrive
  PL_NAME_MAX = 255,               // names of nodes, actions, events
  PL_URL_MAX = 512,
  PL_META_MAX = 8 * 1024,            // metadata of a call: it must fit the first frame
  PL_ADDRESSES_MAX = 16,             // addresses a node tells of itself
  PL_JSON_CONFIG_MAX = 1024 * 1024,  // a configuration file

  // links
  PL_READ_SLAB = 256 * 1024,    // one read: large enough for full bandwidth, shared by all links
  PL_WRITE_BATCH = 64 * 1024,   // small frames gathered for one write
  PL_COPY_MAX = 4096,           // longer payloads are written from their slice, not copied
  PL_PREFIX_MAX = 64,           // bytes of a value in front of a long string that stays where it is
  PL_LANE_QUANTUM = 16 * 1024,  // bytes of a circuit before others of its link come
  PL_LANE_ITEMS = 1024,         // short items of one that wait for that
  PL_WRITE_HIGH = 256 * 1024,   // unwritten bytes at which circuits of a link must wait
  PL_WRITE_LOW = 64 * 1024,     // and at which they go on
  PL_KEPT_HIGH = 4 * 1024 * 1024,  // bytes not acknowledged at which circuits of a link must wait
  PL_KEPT_SLABS = 128 * 1024,      // and at which what was read elsewhere is copied to be kept
  PL_KEPT_LOW = 3 * 1024 * 1024,   // and at which they go on
  PL_WRITE_MAX =
      8 * 1024 * 1024,       // of both together, at which a peer that does not read is cut off
  PL_ACK_BYTES = 64 * 1024,  // received before they are acknowledged at once
  PL_GREETING_MAX = 16384,   // accepted links that have not said who they are
  PL_PINGS_MAX = 4096,       // on their way on one link; the next is BUSY
  PL_BACKLOG = 511,          // of listen(2)
  PL_LISTENERS_MAX = 64,
  PL_DOOR_WAITING = 256,  // links of other threads that are not accepted yet
  PL_SUN_PATH_MAX = 107,  // sizeof sun_path - 1

  // authentication
  PL_PSK_KEYS = 2,             // of one node: an old and a new one
  PL_PSK_MIN = 16,             // bytes of one: what cannot be guessed
  PL_PSK_MAX = 256,            // and no file taken for a key by mistake
  PL_PSK_FILE_MAX = 4 * 1024,  // a key file
  PL_REFUSALS_MAX = 64,        // addresses whose refusals are logged apart
  PL_REFUSED_MIN_MS = 1000,    // who was refused as unauthorized waits so long
  PL_REFUSED_MAX_MS = 10000,   // and after many times so long

  // circuits
  PL_CALLS_PER_LINK = 16384,    // calls in flight one way; the next is BUSY
  PL_RELAYED_PER_LINK = 16384,  // calls of others that come in on a link; the next is BUSY
  PL_JOURNEY_ROOM = 64,         // bytes of the first frame of a call that are left to relays
  PL_HOPS_MAX = 16,             // links that a call may travel
  PL_ANCESTORS_MAX = 64,        // calls that a call may be nested in
  PL_EXCLUDE_MAX = 32,          // nodes that have refused a call, as its caller tells a relay
  PL_STREAMS_PER_PEER = 1000,   // streams one way; the next is BUSY
  PL_TRACED_LIVE = 4096,   // calls of traces that a node has under way; of others it keeps none
  PL_TRACED_KEPT = 1024,   // that have ended, and are remembered
  PL_TRACED_TOLD = 512,    // of one trace, in one answer
  PL_WINDOW_ITEMS = 1024,  // first window of a stream
  PL_WINDOW_BYTES = 256 * 1024,
  PL_WINDOW_BYTES_MIN = 16 * 1024,  // when the windows of the node have used up their budget
  PL_WINDOW_ITEMS_MAX = 64 * 1024,
  PL_WINDOW_BYTES_MAX = 8 * 1024 * 1024,  // also the most that a slow consumer makes its node hold
  PL_WINDOW_RTT_US = 500,                 // shorter round trips need no more than the first window
  PL_WINDOW_GRANT_US = 1000000,           // after which less than half a window is granted
  PL_WINDOW_IDLE_US = 1000000,            // after which a window is halved
  PL_WINDOWS_BYTES = 64 * 1024 * 1024,    // that all windows of a node promise together
  PL_INFO_MAX = 8 * 1024,                 // what a handler says of its stream: it costs no credit
  PL_SEND_HIGH = 64 * 1024,               // items that wait at the caller: from here on it waits,
  PL_SEND_MAX = 1024 * 1024,              // where it does not, more is BUSY,
  PL_SEND_LOW = 16 * 1024,                // until no more than this is left
  PL_BODY_WINDOW = 64 * 1024,             // bytes of one body before the receiver grants more
  PL_CREDIT_MAX = 1 << 30,                // credit that a peer may hold; more is a protocol error

  // admission
  PL_QUEUE_INTERVAL_US = 10 * 1000,  // how long a queue is watched before it is judged,
  PL_QUEUE_TURNS = 4,                // and how many are served from it meanwhile
  PL_QUEUE_TARGET_US = 5 * 1000,     // shorter waits are no sign of overload
  PL_QUEUE_SHORT = 8,                // so many may always wait
  PL_QUEUE_BEAR_US = 100 * 1000,     // who waits for a processor, not for a slot, bears this,
  PL_QUEUE_LONG_US = 500 * 1000,     // and this while not much more comes than goes,
  PL_QUEUE_LONG_TURNS = 16,          // and is judged after so many were served
  PL_PLEDGE_LEAST_NS = 50 * 1000,    // a call that computes for less begins at once,
  PL_PLEDGE_NS = 2 * 1000 * 1000,    // others while those that have yet to begin take no longer

  PL_METERS_MAX = 512,  // actions with figures of their own, at each end; others share theirs

  PL_SYSTEM_CALLS = 64,  // of one action of the node itself at once; more are BUSY

  PL_PASSED_MAX = 1024,             // streams that wait for whom they were passed to
  PL_PASSED_US = 60 * 1000 * 1000,  // and how long each does

  // directory
  PL_ACTIONS_PER_NODE = 10000,
  PL_ADVERT_MAX = 16 * 1024,  // attributes of one advert

  // routing
  PL_NEXT_HOPS_MAX = 4,                   // first steps of equally good paths that are kept
  PL_NODES_MAX = 10000,                   // that a node keeps records of
  PL_LINKS_PER_NODE = 4096,               // of one record; more are not looked at
  PL_RECORD_MAX = 4 * 1024 * 1024,        // bytes of one record
  PL_RECORDS_MAX = 128 * 1024 * 1024,     // of all
  PL_RECORDS_PART = 16 * 1024 * 1024,     // of all that have come in part
  PL_RECORD_AGE_US = 30 * 1000 * 1000,    // how long the record of an unreachable node is kept
  PL_RECORD_CHECK_US = 30 * 1000 * 1000,  // between two comparisons with a neighbour
  PL_RECORD_PACE_US = 10 * 1000,          // between two versions of the own record, in the long run
  PL_RECORD_BURST = 4,                    // that follow each other at once
  PL_RECORD_ASK_US = 200 * 1000,          // between two requests for one record
  PL_LINK_AWAY_US = 50 * 1000,            // until others are told that a link has broken
  PL_AROUND_MAX = 8,                      // neighbours whose own paths are computed for a detour
  PL_PATHS_SHARE_US = 50,                 // time to the next computation of paths, for each node
  PL_NEWS_SHARE_US = 25 * 1000,           // the same between two reports of load, or of costs

  // balancing
  PL_RETRIES = 2,                    // other providers that a call is offered to
  PL_RETRIES_MAX = 16,               // whatever the caller says
  PL_WEIGHT_MAX = 10000,             // of a provider
  PL_PATTERNS_MAX = 64,              // providers or regions that one caller names
  PL_REGION_MAX = 63,                // bytes of a region's name
  PL_LOAD_MAX = 1000000,             // requests that a node says it has
  PL_DEDUP_US = 30000000,            // how long the answer of an idempotent action is kept
  PL_DEDUP_BYTES = 4 * 1024 * 1024,  // of all these answers; the oldest are forgotten
  PL_DEDUP_ANSWER_MAX = 64 * 1024,   // of one; a larger one is not kept
  PL_SHARED_ARGS_MAX = 64 * 1024,    // arguments that are compared to share a run
  PL_LINGER_US = 1000000,  // how long an idempotent handler runs on when its caller's path is lost

  // scripts
  PL_TASKS_MAX = 100000,              // tasks of one VM
  PL_ORIGINS_MAX = 1024,              // files whose text a generation of a script keeps
  PL_MISSED_MAX = 256,                // paths of modules that are nowhere, which are watched, too
  PL_GENERATIONS_MAX = 8,             // of one script that are alive: the next waits
  PL_RELOAD_BREAKS_MAX = 16,          // loads in a row broken off because files have changed
  PL_PROBATION_CALLS = 20,            // before it can be said how a generation does
  PL_PROBATION_LOOK_US = 100 * 1000,  // between two looks at that
  PL_SCHEMA_STEPS = 1000 * 1000,      // of patterns, in the check of a list of values: some 4 ms
  PL_DESCRIPTION_MAX = 64 * 1024,     // bytes of what is told of an action on demand
  PL_THREADS_KEPT = 1024,             // finished coroutines kept for reuse
  PL_TURN_US = 10000,                 // work between two looks at the network,
  PL_COMPUTED_US = 1000,              // and when it is tasks that compute
  PL_BEHIND_US = 20000,               // for which those wait that have used up a slice, at most
  PL_SLICE_US = 10000,                // CPU time of one task before it is made to yield
  PL_LOAD_SLICE_US = 3000,            // time of one that loads a script beside what serves
  PL_STALL_US = 100000,               // CPU time of one that could not yield, from which it is told
  PL_HOLD_US = 2000000,               // CPU time of one that cannot yield, after which it is ended
  PL_BUSY_US = 50000,                 // CPU time of one between two waits, from which it is told
  PL_BUSY_PAUSE_US = 10000000,        // between two lines that tell it, of one script
  PL_PS_LOOKED = 20000,               // tasks of a node that ps looks at; the rest is counted
  PL_PS_GROUPS = 256,                 // groups of tasks at the same place that it tells
  PL_PS_TASKS = 1000,                 // single tasks that it tells
  PL_TRACEBACK_MAX = 8 * 1024,        // of an error on the wire
  PL_ERROR_TEXT_MAX = 4 * 1024,
  PL_FILE_THREADS = 16,      // for the file work of scripts
  PL_FILE_QUEUE = 1024,      // file work that waits for a thread; the next is BUSY
  PL_FILE_READ = 64 * 1024,  // one read of a file, pipe or terminal
  PL_LIST_MAX = 256 * 1024,  // names of one directory; more is TOO_LARGE
  PL_CHANGES_MAX = 1024,     // changes that a watcher keeps for a script that does not read
  PL_LOG_FIELDS = 32,        // fields of one log line of a script
  PL_LOG_KEPT_LINES = 1000,  // of a log, for who asks later
  PL_LOG_KEPT_BYTES = 256 * 1024,
  PL_LOG_LOOK_US = 100 * 1000,  // between two looks for new lines, while somebody follows them
  PL_NOTICES_MAX = 4096,        // that wait for one monitor; the next are dropped, and counted

  // offloaded work
  PL_OFFLOAD_QUEUE = 1024,                // jobs of a script that wait for a thread; more is BUSY
  PL_OFFLOAD_BYTES = 64 * 1024 * 1024,    // of what these are given; the next is BUSY
  PL_OFFLOAD_VMS = 8,                     // VMs that one thread keeps, of a generation each
  PL_OFFLOAD_KEPT = 16 * 1024 * 1024,     // memory of one that is kept
  PL_OFFLOAD_IDLE_US = 30 * 1000 * 1000,  // after which a thread without work ends, with its VMs
  PL_OFFLOAD_RETRY_MS = 10 * 1000,        // the longest wait that a refused job is told

  // worker threads
  PL_WORKERS_MAX = 256,
  PL_REPLICAS_MAX = 256,                 // of one script
  PL_BEAT_US = 250 * 1000,               // between two signs of life of a worker
  PL_RESTART_MIN_US = 100 * 1000,        // pause before the first restart, doubled by the next
  PL_RESTART_MAX_US = 10 * 1000 * 1000,  // longest pause
  PL_MEMORY_FULL_BEATS = 8,              // with a full memory, until a VM is looked through
  PL_MEMORY_FULL_PERCENT = 95,           // of its limit: what else can such a VM do

  // state that outlives scripts (each store as a whole: the option state_limit)
  PL_STATE_KEY_MAX = 1024,  // bytes of a key
  PL_STATE_ENTRY = 128,     // what a key costs beside its bytes, so that short ones count
  PL_STATE_TRIES = 100,     // of an update while others change the key
  PL_STATE_COMPARED = 10 * 1000 * 1000,  // values looked at to compare two tables
  PL_STATE_SAVE_US = 1000 * 1000,        // between two looks for changes to be saved
  PL_STATE_RETRY_US = 60 * 1000 * 1000,  // longest pause after saving failed
  PL_STATE_CACHE = 1024 * 1024,          // encoded bytes of tables that a script keeps decoded

  // HTTP
  PL_HTTP_HEAD_MAX = 16 * 1024,           // bytes of the head of a request
  PL_HTTP_FIELDS_MAX = 64,                // lines of it
  PL_EXPOSITIONS_MAX = 256,               // replicas in what the admin listener tells
  PL_ADMIN_CLIENTS = 64,                  // of the admin listener at once; the next is cut
  PL_ADMIN_CLIENT_US = 10 * 1000 * 1000,  // to send a request, and again to take the answer

  // local mesh
  PL_LOCAL_DIALS = 8,          // neighbours a node dials by itself
  PL_LOCAL_SOCKETS = 1024,     // directory entries looked at
  PL_LOCAL_JOIN_US = 1000000,  // who has not answered on a local socket by then was stopped
};
