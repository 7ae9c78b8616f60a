// Streams that were passed on (perilune_pass.h): kept here until whom they were passed to comes for
// them, with a call of the system action PL_TAKE_ACTION.
//
//   kept ---> taken      by a call with the token: its request and the stream become a pipe
//   (pipe.h)
//     |
//     +-----> closed     nobody came in time, what carried the reference failed, or who has it
//                        does not want the stream
#pragma once

#include "service/channel.h"

#define PL_TAKE_ACTION "_stream"

// One reference. Freed when it is taken or closed, or has only to be passed on and has arrived.
typedef struct pl_passed {
  pl_list node;     // in pl_service.passed_list
  pl_list carried;  // with what carries it, until that has ended
  pl_service *service;
  pl_reference reference;
  bool foreign;        // kept elsewhere: of no more interest once it has arrived
  pl_call *call;       // NULL: foreign, or the stream could not be opened:
  pl_failure refusal;  // then owned
  pl_timer expiry;
} pl_passed;

void pl_passed_init(pl_service *sv);
// Closes all of them.
void pl_passed_fini(pl_service *sv);

bool pl_service_refer(pl_service *sv, int codec, uint64_t idle_us, pl_reference *out);
void pl_service_pass(pl_service *sv, const pl_reference *r, pl_call *c, const pl_failure *why,
                     pl_list *carried);
void pl_service_pass_on(pl_service *sv, const pl_reference *r, pl_list *carried);
pl_err pl_service_take(pl_call **out, pl_service *sv, const pl_reference *r,
                       const pl_call_options *o, const pl_call_ops *ops, void *user,
                       pl_failure *why);
void pl_service_let_go(pl_service *sv, const pl_reference *r);

// What carried them has ended: nothing of them is to be done any more where they arrived, and those
// that did not are closed.
void pl_carried_settle(pl_list *carried, bool arrived);
