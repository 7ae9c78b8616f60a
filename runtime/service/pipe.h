// A stream that was passed on and has been taken: what comes of the call here is sent to whom the
// request is from, and the other way round, each as fast as the other side has credit. Results,
// failures and cancellation pass through.
#pragma once

#include "service/channel.h"

// Joins them; both are the pipe's, which frees itself when either ends.
void pl_pipe_open(pl_request *r, pl_call *c);
// pl_action_ops of requests that become pipes.
void pl_pipe_on_cancel(pl_request *r, const pl_failure *why);
void pl_pipe_on_credit(pl_request *r);
void pl_pipe_on_items(pl_request *r);
