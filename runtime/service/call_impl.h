// The call itself: call_open.c opens it, calls.c moves it from there to its end, call_repeat.c
// begins anew when an attempt has failed.
#pragma once

#include "service/channel.h"

// What a call asks for. Views are borrowed, but for the arguments.
typedef struct pl_order {
  pl_bytes action, meta;
  pl_bytes ancestors;  // see ancestry.h; empty: it is made for no request
  pl_parts args;       // kept; without an owner the head is in `room` of the call
  const pl_policy *policy;
  uint64_t deadline_us;
  pl_priority priority;
  const pl_id *via;  // a neighbour of `only`, which nobody else may know; NULL: none
  bool bound;        // to `only`
  pl_id only;
  bool traced;  // within `outer`
  pl_trace outer;
} pl_order;

static inline unsigned pl_order_retries(const pl_order *o) {
  return o->policy != NULL && o->policy->limited ? o->policy->retries : PL_RETRIES;
}

enum { PL_ORDER_ROOM = 128 };  // arguments that are kept without an allocation

struct pl_tries;

struct pl_call {
  // Zeroed when it is recycled.
  pl_failure *failure;     // owned; NULL: none
  void *owned;             // see pl_call_own
  struct pl_tries *tries;  // owned; NULL before an attempt has failed
  pl_span *span;           // owned; NULL: nobody wants to know
  bool settled;
  bool expecting;  // the consumer waits
  bool flowing;    // a first item came
  bool gap_waits;  // the gap counts from when the consumer has taken what is there
  bool timing_out;
  bool finished;    // the owner sends no more items
  bool stopped;     // the callee takes no more of them
  bool itemized;    // an item came: no info will,
  bool informed;    // or it has
  bool credit_due;  // the owner waits for on_credit
  bool repeatable;  // `order` is there
  bool has_intake;  // `intake` is there, and what works for it

  // Set when it is opened, or left as they began. First what every call touches, so that one that
  // is short stays within few cache lines.
  pl_list node;  // in the channel's calls, or the free list
  pl_service *service;
  pl_channel *channel;  // NULL once nothing more can come
  const pl_call_ops *ops;
  void *user;
  uint64_t call_id;  // of the attempt; 0 until it is sent
  pl_errand errand;  // the attempt under way
  pl_meter *meter;   // where it counts
  uint64_t opened_us;
  pl_id callee;
  int codec;
  bool stream;
  bool input;      // it sends items
  bool whole;      // its deadline bounds it to its end, although it flows
  bool routed;     // to a node behind the neighbour
  bool left_open;  // and it is the neighbour, here the callee, that chooses which
  bool idempotent;
  bool traced;  // within another: `trace_id` is that one's
  pl_bytes result;
  pl_list carried;  // of pl_passed: streams that travel with it
  pl_timer timer;   // the deadline, then the gaps of a stream
  uint64_t idle_us;
  pl_flow flow;

  // Of some.
  pl_order order;  // if `repeatable`
  uint8_t room[PL_ORDER_ROOM];
  pl_id trace_id;      // if `traced`
  pl_bytes info;       // if `informed`
  pl_bytes action;     // of a stream; borrowed
  uint64_t moved_us;   // when something of the stream passed last
  uint64_t turned_us;  // when a stream began to wait for whom it waits for now
  pl_unsent unsent;    // if `input`: between two attempts
  pl_intake intake;    // if `has_intake`: of a stream, or of a result that came in pieces,
  pl_work tidy;        // which copies unread items out of the read slab at the end of the turn,
  pl_work granting;    // and gives credit, see pl_intake_may_grant
};

// Somebody else owns it from now on, who has to look what there is.
static inline void pl_call_hand_over(pl_call *c, const pl_call_ops *ops, void *user) {
  c->ops = ops;
  c->user = user;
  c->expecting = c->credit_due = false;
}

// It carries a stream, in one direction at least: its deadline bounds the start only, unless it is
// for the whole.
static inline bool pl_call_flows(const pl_call *c) {
  return c->stream || c->input;
}

// calls.c
pl_call *pl_call_new(pl_service *sv);  // its first fields are zeroed
void pl_call_on_deadline(pl_timer *t);
// Something of a stream came, or went: from now on the gaps count, not the deadline.
void pl_call_progress(pl_call *c);
// Takes it out of its channel: nothing arrives for it any more.
void pl_call_detach(pl_call *c);
// Forgets what has come of a stream, with the attempt.
void pl_call_drop_intake(pl_call *c);
// Ends it, or the attempt.
void pl_call_fail(pl_call *c, const pl_failure *f);
// Ends it for good.
void pl_call_settle(pl_call *c, const pl_failure *f);

// call_open.c
typedef struct pl_turn_down {  // who is left out of a choice, at most PL_RETRIES_MAX + 1 each
  pl_id refused[PL_RETRIES_MAX + 1], tried[PL_RETRIES_MAX + 1];
  unsigned refused_count, tried_count;
} pl_turn_down;

typedef struct pl_choice {
  pl_offer *offer;  // NULL: none
  pl_channel *way;  // to its provider, as of now
} pl_choice;

// Chooses for `order` and checks the way there; none with the reason. Who has no room is added to
// `out`, and another is chosen, `room` times at most.
pl_choice pl_call_choose(pl_service *sv, const pl_order *order, bool flows, pl_turn_down *out,
                         unsigned room, pl_failure *why);
// Sends an attempt to the offer that was chosen, in the same turn.
void pl_call_dispatch(pl_call *c, pl_choice to, const pl_order *order);

// To o->node, whatever is known of that, `via` a neighbour of it if the way is not; else as
// pl_service_call.
pl_err pl_call_open_at(pl_call **out, pl_service *sv, const pl_call_options *o,
                       const pl_parts *args, const pl_id *via, const pl_call_ops *ops, void *user,
                       pl_failure *why);

// call_own.c: what it has borrowed of its options becomes its own, so that who gave them may go.
void pl_call_own(pl_call *c);

// call_input.c: the flow that has been made for an attempt tells when it has room.
void pl_call_watch_flow(pl_call *c);
// CREDIT and STOP.
pl_err pl_call_take_credit(pl_call *c, const pl_frame *f);
pl_err pl_call_take_stop(pl_call *c);

// info.c
pl_err pl_call_take_info(pl_call *c, const pl_frame *f);
// Forgets it, with the attempt.
void pl_call_drop_info(pl_call *c);

// call_repeat.c

// An attempt failed: true when the call goes on with another one, now or a little later.
bool pl_call_repeat(pl_call *c, const pl_failure *f);
// The paths have changed: calls that a link which is away has not taken go another way, if there is
// one now.
void pl_calls_go_round(pl_service *sv);
// What is known of the execution of the call as a whole, when its last attempt ended so.
pl_outcome pl_call_outcome(const pl_call *c, pl_outcome last);
// Whether a relay may choose for the next attempt, and who has refused the call already.
bool pl_call_may_be_left_open(const pl_call *c);
const pl_id *pl_call_refused(const pl_call *c, unsigned *count);
// How often it was repeated, and the id of the first attempt; 0: this is the first.
unsigned pl_call_attempt(const pl_call *c, uint64_t *first_call_id);
void pl_call_no_more_tries(pl_call *c);  // it is settled
void pl_call_forget_tries(pl_call *c);   // it is freed
