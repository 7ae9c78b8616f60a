// Who may start when: the slots of this node and of its actions, and the requests that wait for
// one.
//
// An action with a `queue` of its own promises to hold so many calls until their deadlines. All
// other calls wait in the node's queue, which is bounded, gives way to higher priorities when it is
// full, and sheds load when it is overloaded.
//
// Where there is no bound a call pledges what its handler is expected to compute until it begins,
// and waits in the node's queue while others have pledged as much as the processor does in
// PL_PLEDGE_NS. So handlers that wait are as many as come, and those that compute no more than can
// run. Who has started always begins, so nobody who waits for this waits for himself.
#pragma once

#include "service/action.h"
#include "service/request_impl.h"

void pl_gates_init(pl_gates *g);
// As these options want it.
void pl_gate_init(pl_gate *g, const pl_service *sv, const pl_action_options *o);

// A handler of it could start now.
bool pl_admission_has_slot(const pl_action *a);

// Its arguments are whole and it has its action: it starts, waits, or is refused, before this
// returns.
void pl_admission_ask(pl_request *r);
// A WAITING one waits no more; what becomes of it is the caller's business.
void pl_admission_withdraw(pl_request *r);
// The handler of one that has pledged has begun.
void pl_admission_begun(pl_request *r);
// The handler of a RUNNING one has really ended; its slot is for the next, which starts with
void pl_admission_release(pl_request *r);
// this: as many of those that wait as there are slots.
void pl_admission_go_on(pl_service *sv);
// The action has these options from now on. Who waits keeps his place, also where the queue is
// shorter now; if there are more slots, they are given from the loop.
void pl_admission_change(pl_action *a, const pl_action_options *o);
// When it is worth while to ask again: for a slot of that action, or (NULL) of the node.
uint32_t pl_admission_retry_after_ms(const pl_service *sv, const pl_action *a);
