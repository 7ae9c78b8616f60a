// The call itself: call_open.c opens it, calls.c moves it from there to its end.
#pragma once

#include "service/channel.h"

struct pl_call {
  pl_list node;  // in the channel's calls, or the free list
  pl_service *service;
  pl_channel *channel;  // NULL once nothing more can come
  const pl_call_ops *ops;
  void *user;
  uint64_t call_id;
  uint64_t idle_us;
  pl_bytes result;
  pl_failure *failure;  // owned; NULL: none
  pl_id callee;
  int codec;
  bool stream;
  bool settled;
  bool expecting;  // the consumer waits
  bool flowing;    // a first item came
  bool gap_waits;  // the gap counts from when the consumer has taken what is there
  bool timing_out;

  // Not zeroed when it is recycled: these have a beginning of their own, or ended as they began.
  pl_flow flow;
  pl_intake intake;
  pl_trace trace;
  pl_timer timer;  // the deadline, then the gaps of a stream
  pl_work tidy;    // copies unread items out of the read slab at the end of the turn
};

// calls.c
pl_call *pl_call_new(pl_service *sv);  // zeroed up to `flow`
void pl_call_on_deadline(pl_timer *t);
