// The request itself: request.c moves it from state to state, request_view.c tells the handler of
// it.
#pragma once

#include "service/channel.h"

typedef enum pl_request_state {
  PL_REQUEST_ARRIVING,
  PL_REQUEST_WAITING,
  PL_REQUEST_RUNNING,
  PL_REQUEST_SENDING
} pl_request_state;

struct pl_request {
  pl_list node;     // in the channel's requests, or the free list
  pl_list in_wait;  // in the action's waiting
  pl_service *service;
  pl_channel *channel;  // NULL once the path is lost
  pl_action *action;    // held from admission on
  pl_request_state state;
  uint64_t call_id;
  uint64_t deadline_us;
  uint64_t started_us;
  pl_bytes args;
  pl_bytes meta;
  pl_bytes name;  // while ARRIVING
  pl_id caller;
  void *user;
  int codec;
  bool stream;
  bool cancelled;
  bool given_up;    // the caller wants no answer, and grants no more credit
  bool credit_due;  // the producer waits for on_credit

  // Not zeroed when it is recycled: these have a beginning of their own, or ended as they began.
  pl_flow flow;
  pl_intake intake;
  pl_timer timer;
};
