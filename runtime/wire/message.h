// Bodies of the frames (docs/protocol.md): MessagePack maps with small integer keys. Unknown keys
// are skipped, so that a newer minor version may add some.
//
// Views in a decoded message borrow from the decoded bytes and have no owner. A decoder writes its
// output only on success and refuses (PL_PROTOCOL) wrong types, names over PL_NAME_MAX, missing
// required keys, keys that come twice, malformed raw values and trailing bytes (CALL apart, whose
// arguments follow). Encoders append to `out` and leave out what is zero, false or empty;
// PL_NO_MEMORY is their only error, and then `out` is as it was. Text that is not UTF-8 travels as
// binary, so that a name of any bytes arrives as it was.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/failure.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/trace.h"
#include "perilune_pass.h"

typedef enum pl_role { PL_ROLE_NODE = 0, PL_ROLE_LEAF = 1 } pl_role;

typedef struct pl_msg_hello {
  pl_id id;              // 1, required
  uint64_t epoch;        // 2, required: boot epoch, microseconds since 1970 at start
  pl_bytes name;         // 3
  uint64_t role;         // 4: pl_role
  pl_id nonce;           // 5, required: random, of this link
  pl_bytes methods;      // 6: authentication methods offered, one raw MessagePack array of strings
  pl_bytes addresses;    // 7: where to dial this node, one raw MessagePack array of strings
  uint64_t features;     // 8: bits, none defined yet
  uint64_t body_window;  // 9: bytes of a body the sender may send before a grant; 0: PL_BODY_WINDOW
  uint64_t message_max;  // 10: largest value accepted, bytes
  uint64_t heartbeat_ms;  // 11
  pl_bytes payload;       // 12: initial payload for the accept hook, raw MessagePack value
  pl_id resume;           // 13: session to go on with
  pl_bytes version;       // 14: of the product, for people
  pl_bytes compressions;  // 15: raw MessagePack array of ids
  pl_bytes mesh;          // 16: name of the local mesh, "" for none
  bool draining;          // 17
} pl_msg_hello;

typedef struct pl_msg_ready {
  pl_id secret;   // 1: random, for going on with the session over another link
  pl_bytes seal;  // 2: of an authenticated link: HMAC-SHA256
} pl_msg_ready;

typedef struct pl_msg_resume {
  pl_id session;      // 1, required: dialler's nonce of its first link
  uint64_t position;  // 2: received
  pl_bytes proof;     // 3, required: HMAC-SHA256
} pl_msg_resume;

typedef struct pl_msg_goodbye {
  int64_t code;             // 1, required: pl_err, 0 for a plain close
  pl_bytes reason;          // 2
  bool allow_reconnect;     // 3, default true
  uint64_t retry_after_ms;  // 4
  uint64_t epoch;           // 5: that is known of the receiver's id; 0: none
} pl_msg_goodbye;

typedef struct pl_msg_retire {
  bool unkept;  // 1
} pl_msg_retire;

// One thing a node tells of itself. Kinds: "action"; "node" (attributes role, name, draining,
// relay); "link" (name: the id of a neighbour, attributes cost). Unknown kinds are kept and
// forwarded.
typedef struct pl_msg_advert_item {
  pl_bytes kind;
  pl_bytes name;
  pl_bytes attributes;  // one raw MessagePack map, empty when withdrawn
  pl_bytes raw;         // decoding: the whole item as it came
  bool withdrawn;
} pl_msg_advert_item;

// All or a part of what one node tells, at one version of it.
typedef struct pl_msg_advert {
  uint64_t version;  // 1, required: grows with every change of the origin
  bool snapshot;     // 2: begins a whole record; else items that changed
  bool complete;     // 3: the last part of this version
  pl_bytes items;    // 4: raw MessagePack array of [kind, name, attributes | nil]
  pl_id origin;      // 5: the node that tells; zero: the sender
  uint64_t epoch;    // 6: its boot epoch; 0: as in the HELLO of the link
  uint64_t base;     // 7: the version that the changes build on
  bool gone;         // 8: the node has left
  uint64_t boot;     // 9: the epoch with which it was started; 0: `epoch`
  uint64_t over;     // 10: that it took `epoch` to surpass; 0: none
} pl_msg_advert;

// What the sender knows, what it wants, and whether there is a difference at all.
typedef struct pl_msg_route {
  pl_bytes digest;  // 1: raw MessagePack array of [id, epoch, version], ids ascending
  bool last;        // 2: the digest reaches to the greatest id
  bool answer;      // 3: with a digest in return
  pl_bytes pull;    // 4: raw MessagePack array of ids, whose records the sender wants
  uint64_t hash;    // 5: of the database; 0: not given
  bool synced;      // 6: all that the last digest lacked has been sent
  pl_id after;      // 7: the digest is of the ids greater than this one
  pl_id rival;      // 8: is known with a later epoch than the receiver seems to know; zero: none
  uint64_t epoch;   // 9: that is it,
  uint64_t boot;    // 10: and these as in ADVERT
  uint64_t over;    // 11
} pl_msg_route;

// One record in a digest. In `pull` only the id.
typedef struct pl_msg_route_entry {
  pl_id id;
  uint64_t epoch, version;
} pl_msg_route_entry;

typedef struct pl_msg_call {
  uint64_t call_id;       // 1, required
  pl_bytes action;        // 2, required
  uint64_t timeout_ms;    // 3: remaining; 0 = none
  bool stream;            // 4: chunks are welcome
  uint64_t window_items;  // 5: first credit for the callee
  uint64_t window_bytes;  // 6
  pl_bytes source;        // 7: node id of the caller (16 bytes); empty: the neighbour
  pl_bytes destination;  // 8: raw MessagePack: bin of 16, or an array of them; empty: the neighbour
  uint64_t hops_left;    // 9: 0 = not given (direct)
  uint64_t priority;     // 10: lane 1-3; 0 = normal
  uint64_t attempt;      // 11
  uint64_t first_call_id;  // 12: of the first attempt
  pl_bytes trace;          // 13: a pl_trace, of the call in which it is made
  pl_bytes meta;           // 14: raw MessagePack map
  pl_bytes identity;       // 15: caller identity stamped by the node that authenticated it, raw
  pl_bytes ancestors;      // 16: marks of calls, outermost first, one raw MessagePack array
  uint64_t codec;          // 17: 0 msgpack, 1 json
  uint64_t compression;    // 18: 0 none
  uint64_t body_len;       // 19: bytes of the arguments when they go on in BODY frames (MORE)
  uint64_t idle_ms;        // 20: longest gap of the stream; 0 = none
  bool input;              // 21: the caller sends a stream, too
  pl_bytes exclude;        // 22: nodes that refused it already, one raw MessagePack array of ids
  pl_bytes via;            // 23: node id of a neighbour of the destination (16 bytes)
} pl_msg_call;

// What nearly every call tells, and nothing else: the same bytes as a pl_msg_call would become.
typedef struct pl_msg_call_usual {
  uint64_t call_id;
  pl_bytes action;
  uint64_t timeout_ms;
  const pl_id *to;  // behind the neighbour, as far as may be; NULL: the neighbour
} pl_msg_call_usual;

typedef struct pl_msg_credit {
  uint64_t items;  // 1
  uint64_t bytes;  // 2
} pl_msg_credit;

typedef struct pl_msg_cancel {
  uint64_t call_id;  // 1, required
  int64_t code;      // 2: CANCELLED, TIMEOUT, PEER_LOST
  pl_bytes reason;   // 3
} pl_msg_cancel;

typedef struct pl_msg_path_lost {
  pl_id node;  // 1: where the path broke
} pl_msg_path_lost;

pl_err pl_msg_hello_encode(pl_buf *out, const pl_msg_hello *m);
pl_err pl_msg_hello_decode(pl_msg_hello *out, pl_bytes src);
pl_err pl_msg_ready_encode(pl_buf *out, const pl_msg_ready *m);
pl_err pl_msg_ready_decode(pl_msg_ready *out, pl_bytes src);
pl_err pl_msg_resume_encode(pl_buf *out, const pl_msg_resume *m);
pl_err pl_msg_resume_decode(pl_msg_resume *out, pl_bytes src);
pl_err pl_msg_goodbye_encode(pl_buf *out, const pl_msg_goodbye *m);
pl_err pl_msg_goodbye_decode(pl_msg_goodbye *out, pl_bytes src);
pl_err pl_msg_retire_encode(pl_buf *out, const pl_msg_retire *m);
pl_err pl_msg_retire_decode(pl_msg_retire *out, pl_bytes src);
pl_err pl_msg_advert_encode(pl_buf *out, const pl_msg_advert *m);
pl_err pl_msg_advert_decode(pl_msg_advert *out, pl_bytes src);
pl_err pl_msg_route_encode(pl_buf *out, const pl_msg_route *m);
pl_err pl_msg_route_decode(pl_msg_route *out, pl_bytes src);
pl_err pl_msg_credit_encode(pl_buf *out, const pl_msg_credit *m);
pl_err pl_msg_credit_decode(pl_msg_credit *out, pl_bytes src);
pl_err pl_msg_cancel_encode(pl_buf *out, const pl_msg_cancel *m);
pl_err pl_msg_cancel_decode(pl_msg_cancel *out, pl_bytes src);
pl_err pl_msg_path_lost_encode(pl_buf *out, const pl_msg_path_lost *m);
pl_err pl_msg_path_lost_decode(pl_msg_path_lost *out, pl_bytes src);

// The fields of pl_failure: 1 code (number, required), 2 outcome, 3 message, 4 name, 5 action, 6
// node, 7 traceback, 8 cause (raw), 9 details (raw), 10 retry_after_ms. Texts longer than their
// bounds in limits.h are cut. The encoding always fits one frame: traceback, then details and cause
// are left out when it would not.
pl_err pl_msg_error_encode(pl_buf *out, const pl_failure *f);
pl_err pl_msg_error_decode(pl_failure *out, pl_bytes src);
// Takes out what strangers need not see: the traceback, and those in `cause` and its causes. Then
// `cause` is a view of `room`, which is empty before; or is empty, without memory.
void pl_msg_error_blind(pl_failure *f, pl_buf *room);

pl_err pl_msg_call_encode(pl_buf *out, const pl_msg_call *m);
// The same in two steps, for encoding in place: bytes that suffice, and the end of what was
// written.
size_t pl_msg_call_room(const pl_msg_call *m);
uint8_t *pl_msg_call_put(uint8_t *p, const pl_msg_call *m);
enum { PL_MSG_CALL_USUAL_ROOM = 64 };  // and the action
uint8_t *pl_msg_call_put_usual(uint8_t *p, const pl_msg_call_usual *m);
// Bytes of the map (> 0), the arguments follow; or a negative pl_err.
ptrdiff_t pl_msg_call_decode(pl_msg_call *out, pl_bytes src);
// The value of key 8 for one node; `room` must last as long as it is needed.
enum { PL_MSG_DESTINATION_ROOM = 2 + sizeof(pl_id) };
pl_bytes pl_msg_destination(uint8_t room[PL_MSG_DESTINATION_ROOM], const pl_id *id);
// The array of key 22. Returns the end of what was written, PL_MSG_EXCLUDE_ROOM at most.
enum { PL_MSG_EXCLUDE_ROOM = 3 + PL_EXCLUDE_MAX * (2 + sizeof(pl_id)) };
uint8_t *pl_msg_exclude_put(uint8_t *p, const pl_id *ids, uint32_t count);
// Their number, at most PL_EXCLUDE_MAX; PL_INVALID when there are more, or it is anything else.
ptrdiff_t pl_msg_exclude_read(pl_id out[PL_EXCLUDE_MAX], pl_bytes raw);

// What stands for a stream among values (docs/protocol.md, 5.15).
pl_err pl_msg_reference_encode(pl_buf *out, const pl_reference *m);
pl_err pl_msg_reference_decode(pl_reference *out, pl_bytes src);

// Marks of the calls that led to one. Writes `outer` and behind it `mark`; returns the end, at most
// 5 + 9 * (count + 1) bytes on.
uint8_t *pl_msg_ancestors_put(uint8_t *p, pl_bytes outer, uint64_t mark);
uint32_t pl_msg_ancestors_count(pl_bytes ancestors);
// Walks them: start with *at = 0; false at the end. The array was checked by pl_msg_call_decode.
bool pl_msg_ancestors_next(pl_bytes ancestors, size_t *at, uint64_t *mark);

// Items of an advert: appends one to `items` (concatenated, counted by the caller through *count).
pl_err pl_msg_advert_item_encode(pl_buf *items, const pl_msg_advert_item *item);
// Wraps `count` concatenated items as the raw array for pl_msg_advert.items.
pl_err pl_msg_advert_items_wrap(pl_buf *out, pl_bytes items, uint32_t count);
// Walks them: start with *at = 0; 1 with *out set, 0 at the end, negative pl_err. The array was
// checked for shape by pl_msg_advert_decode.
int pl_msg_advert_next(const pl_msg_advert *m, size_t *at, pl_msg_advert_item *out);

// Entries of a digest: appends one to `entries` (concatenated, counted by the caller), and wraps
// `count` of them as the raw array. The same for the ids of `pull`.
enum { PL_MSG_ROUTE_ENTRY_MAX = 1 + 18 + 9 + 9 };
pl_err pl_msg_route_entry_encode(pl_buf *entries, const pl_msg_route_entry *e);
pl_err pl_msg_route_id_encode(pl_buf *ids, const pl_id *id);
pl_err pl_msg_route_wrap(pl_buf *out, pl_bytes entries, uint32_t count);
// Walks a raw array: start with *at = 0; 1 with *out set, 0 at the end. The array was checked by
// pl_msg_route_decode.
int pl_msg_route_next_entry(pl_bytes digest, size_t *at, pl_msg_route_entry *out);
int pl_msg_route_next_id(pl_bytes pull, size_t *at, pl_id *out);

// Items of a DATA frame: a length (unsigned LEB128, at most 5 bytes) and so many bytes each.
// Writes the length; returns bytes written (1-5).
size_t pl_item_put_len(uint8_t out[5], uint32_t len);
// Reads a length: bytes taken (1-5), 0 when more is needed, PL_PROTOCOL when malformed.
int pl_item_get_len(pl_bytes src, uint32_t *len);
