// Calls and streams of others that pass through this node.
//
//     opener --- link ---> end[OPENER] [ this node ] end[CALLEE] --- link ---> callee, or next
//     relay
//
// A relayed circuit has an end on each of two links. A frame that comes in at one end goes out at
// the other, with the label swapped and its body untouched; only the head of the CALL is written
// anew. What the link cannot take at once waits in the circuit, whole frames and never more than
// the credit that the ends have given each other; CREDIT that waits is added up. It counts as a
// call in flight at its callee, so that who chooses here sees what passes here. Loop thread only.
#pragma once

#include "base/limits.h"
#include "service/channel.h"

typedef enum pl_relay_side { PL_RELAY_OPENER, PL_RELAY_CALLEE } pl_relay_side;

// One end of a relayed circuit, and the way that leads out there.
typedef struct pl_relay_end {
  pl_list node;         // in pl_channel.relay_ends
  pl_channel *channel;  // NULL once nothing goes in or out here any more
  uint32_t label;
  uint8_t side;   // pl_relay_side
  uint8_t body;   // type of the frame that began the body on its way out here, 0 = none
  bool finished;  // the last frame that goes out here has come
  pl_turn turn;
  pl_list frames;         // that wait to go out, oldest first
  size_t held;            // bytes of these
  uint64_t credit_items;  // that the other end has left for what goes out here
  uint64_t credit_bytes;
  uint64_t grant_items;  // CREDIT that waits to go out
  uint64_t grant_bytes;
  uint64_t items, bytes;  // of a stream that have come to go out here
  uint64_t turned_us;     // when any came last, or credit for them
} pl_relay_end;

typedef struct pl_relay {
  pl_list node;  // in pl_service.relays, or the free list
  pl_service *service;
  uint64_t call_id;
  bool called;      // the CALL was handed to the link of the callee
  bool cancelled;   // and CANCEL after it
  bool stopped;     // the callee takes no more DATA
  bool informed;    // INFO has come
  bool flows;       // it carries a stream, in one direction at least,
  bool stream;      // or to the opener
  pl_bytes action;  // if it flows: a copy
  pl_errand errand;
  pl_span *span;  // owned; NULL: nobody wants to know
  pl_relay_end ends[2];
} pl_relay;

// Where a call goes on.
typedef struct pl_relay_way {
  pl_channel *to;
  pl_provider *callee;  // NULL: nothing is known of it
  pl_offer *chosen;     // of the callee, when it is this node that chose it; else NULL
} pl_relay_way;

// Why it does not.
typedef struct pl_relay_refusal {
  pl_err code;
  const char *message;  // borrowed for this turn; NULL: the text of the code
} pl_relay_refusal;

// Whether another circuit may go out there.
static inline bool pl_relay_has_room(const pl_channel *to) {
  return to->calls_open + to->relayed_out.count < PL_CALLS_PER_LINK;
}

// relay_call.c

// Whether a CALL is for another node, or for any: then it goes on from here, or is answered with
// the reason why not, and *m is of no more use. `head` is the length of the map in f->body.
bool pl_relay_call(pl_channel *ch, const pl_frame *f, pl_msg_call *m, size_t head);

// relay_choose.c

// Whether a CALL is for whoever this node chooses (docs/protocol.md, 4.12).
bool pl_relay_may_choose(const pl_channel *ch, const pl_msg_call *m);
// Chooses, and the choice is counted. `args`: those of the first frame. False: nobody can take it.
bool pl_relay_choose(pl_channel *ch, const pl_msg_call *m, pl_bytes args, pl_relay_way *way,
                     pl_relay_refusal *why);

// relay_open.c

// Opens a circuit from the link of the CALL frame `f` to another, and passes the CALL on: `m` is
// its new head, `args` what follows the old one in the frame. False: they do not fit a frame.
bool pl_relay_open(pl_channel *from, const pl_frame *f, const pl_relay_way *way,
                   const pl_msg_call *m, pl_bytes args);

// relay.c

// A frame of a circuit that is not of this node's own: goes on, or is dropped as stale.
void pl_relay_frame(pl_channel *ch, const pl_frame *f);
// The link of the channel is gone: the other ends are told where the path broke.
void pl_relays_lost(pl_channel *ch, pl_err why);
// Ends it for want of memory.
void pl_relay_sacrifice(pl_relay *r);
// Ends all of them, both ways.
void pl_relays_cut(pl_service *sv);
void pl_relays_free_all(pl_service *sv);

// Of an end: its turn to write (pl_turn);
bool pl_relay_write(pl_turn *t);
// whether a frame may go out at once;
bool pl_relay_is_clear(const pl_relay_end *e);
// a frame that must wait, copied: `head` and then `body`, whatever `f` has. Aborts the link when
// there is no memory for it.
void pl_relay_enqueue(pl_relay_end *e, const pl_frame *f, pl_bytes head, pl_bytes body);
