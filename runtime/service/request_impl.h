// The request itself: request.c moves it from state to state, request_view.c tells the handler of
// it.
#pragma once

#include "service/action.h"
#include "service/dedup.h"

typedef enum pl_request_state {
  PL_REQUEST_ARRIVING,
  PL_REQUEST_WAITING,
  PL_REQUEST_JOINED,
  PL_REQUEST_RUNNING,
  PL_REQUEST_SENDING
} pl_request_state;

// The caller's stream to the handler.
//
//   NONE     OPEN ---> ENDED     END came; what waits may still be read
//              |         |
//              +---------+--> STOPPED    nobody reads on: what comes is dropped
typedef enum pl_input_state {
  PL_INPUT_NONE,
  PL_INPUT_OPEN,
  PL_INPUT_ENDED,
  PL_INPUT_STOPPED,
} pl_input_state;

struct pl_request {
  // Zeroed when it is recycled.
  pl_action *action;      // held from admission on
  pl_handler *handler;    // held once it runs
  pl_dedup_entry *entry;  // idempotent or shared: its own, or while JOINED that of the other
  void *user;
  pl_span *span;  // owned; NULL: nobody wants to know
  pl_request_state state;
  size_t held;         // of `args`, in what the service counts
  uint64_t pledge_ns;  // what its handler, which has not begun, is expected to compute
  pl_input_state input;
  bool has_intake;  // the arguments came in more than one frame, or the caller sends a stream
  bool reading;     // the handler has asked for input,
  bool expecting;   // and waits for it
  bool itemized;    // an item was emitted: no info may follow,
  bool informed;    // or nor a second one
  bool cancelled;
  bool given_up;    // the caller wants no answer, and grants no more credit
  bool credit_due;  // the producer waits for on_credit
  bool shared;      // the run of equal ones, see share.c
  bool traced;      // `trace` is its own; before, it is that of the call in which it was made,
                    // if it has_outer

  // Set when it is opened, or left as they began. First what every call touches, so that one that
  // is short stays within few cache lines.
  pl_list node;     // in the channel's requests, the service's orphans, or the free list
  pl_list untimed;  // in the service's
  pl_service *service;
  pl_channel *channel;  // NULL once the path is lost
  uint64_t deadline_us;
  uint64_t started_us;
  int codec;
  uint8_t rank;  // of its priority
  bool stream;
  bool relayed;   // the neighbour passed it on for the caller
  bool repeated;  // not the first attempt
  bool has_outer;
  bool lends;       // another runs in its slot
  uint64_t lender;  // the mark of the one in whose slot it runs; 0: in its own
  pl_bytes args;
  pl_bytes meta;
  pl_bytes identity;   // of the caller; empty: nobody authenticated it
  pl_bytes name;       // when the arguments came in pieces
  pl_bytes ancestors;  // the marks that came with it
  pl_bytes line;       // of marks, its own the last; empty: no call was made for it
  pl_list carried;     // of pl_passed: streams that travel with its answer
  pl_timer timer;
  pl_timer stall;
  uint64_t turned_us;  // when it began to wait for whom it waits for now
  uint64_t stall_us;   // how long its consumer may take nothing; 0: for ever
  uint64_t call_id;
  uint64_t first_call_id;  // of its first attempt
  pl_id caller;
  pl_list in_queue;  // while WAITING where it may have to give way
  pl_waiter wait;    // in a line of the action, or while JOINED among the followers of another
  pl_flow flow;

  // Of some.
  uint64_t mark;  // see ancestry.h
  pl_trace trace;
  pl_intake intake;  // if has_intake,
  pl_work tidy;      // which copies unread items out of the read slab at the end of the turn,
  pl_work granting;  // and gives credit, see pl_intake_may_grant
};

// It carries a stream, in one direction at least: its deadline bounds the start only.
static inline bool pl_request_flows(const pl_request *r) {
  return r->stream || r->input != PL_INPUT_NONE;
}

// request.c: its fields up to `node` are zeroed.
pl_request *pl_request_new(pl_service *sv);
// Its last frame; `result` may be NULL where there is a failure. A refusal says that it was not
// executed.
void pl_request_answer(pl_request *r, const pl_parts *result, const pl_failure *failure);
void pl_request_refuse(pl_request *r, pl_err code, const char *message, uint32_t retry_after_ms);
// Cancels it, saying whether it has begun. `message` NULL: the text of the code.
void pl_request_break(pl_request *r, pl_err code, const char *message);
// request_input.c: DATA, END, or BODY of an item.
pl_err pl_request_take_input(pl_request *r, const pl_frame *f);
// What comes is not wanted any more, and what waits either. The caller is told if it still sends.
void pl_request_drop_input(pl_request *r);
// Credit for what has been consumed, when it is time for that, in this turn.
void pl_request_grant_soon(pl_request *r);
// request_watch.c: from now on its deadline is watched; from the end of the turn on;
void pl_request_watch(pl_request *r);
void pl_request_watch_later(pl_request *r);
// or not.
void pl_request_unwatch(pl_request *r);
void pl_request_on_deadline(pl_timer *t);

// request_stall.c: its flow waits, still or again, until its consumer has stalled for too long;
void pl_request_stall_watch(pl_request *r);
// or does not wait any more.
void pl_request_stall_over(pl_request *r);

// request_held.c: its arguments stay for a while, and count;
void pl_request_hold_args(pl_request *r);
// they are gone.
void pl_request_drop_args(pl_request *r);
// Ends it, and all that waits to be sent. Only when its handler runs or has run.
void pl_request_drop(pl_request *r, const pl_failure *why);

// repeat.c: requests of idempotent actions are looked after while they run and for a while
// afterwards, so that a repeat gets the answer of the run there is. `r` has its action.

// True when `r` is a repeat of one that is known: it waits for that one's answer, or has it.
bool pl_repeat_admit(pl_request *r);
// The answer of `r`, which has an entry: for those who wait, and to be kept.
void pl_repeat_settle(pl_request *r, const pl_parts *result, const pl_failure *failure);
// `r` waits for the answer of the owner of `e`.
void pl_repeat_join(pl_request *r, pl_dedup_entry *e);
// A JOINED request does not wait any more. If it was the last, what runs is cancelled, or lingers
// when a repeat may come. Whether nothing has run by now, or will.
bool pl_repeat_leave(pl_request *r, const pl_failure *why);
// The deadline of what runs, or waits for a slot, is another one.
void pl_repeat_run_until(pl_request *r, uint64_t deadline_us);
// The path of `r` is lost: true when it goes on, for a while, in case that a repeat comes.
bool pl_repeat_linger(pl_request *r);
// Whether it runs on although nobody waits for its answer.
bool pl_repeat_is_orphan(const pl_request *r);

// share.c: `r`, whose action shares runs and which is no stream, waits for the run of equal ones:
// NULL when there is one, else the run that is to be admitted in its place, or `r` if it has to run
// alone.
pl_request *pl_share_admit(pl_request *r);

// request_refuse.c: who serves that name for the caller; NULL: nobody.
pl_action *pl_request_find_action(const pl_request *r, pl_bytes name);
// It is one of the action, which it holds from now on.
void pl_request_count(pl_request *r, pl_action *a);
// True when it is refused although its arguments are not here yet. `system`: the node serves it
// itself.
bool pl_request_refused(pl_channel *ch, pl_request *r, const pl_msg_call *m, bool system);

// request_view.c: notes who the caller is. False: no memory.
bool pl_request_stamp(pl_request *r, const pl_msg_call *m);
