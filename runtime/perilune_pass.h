// A part of perilune.h: streams that change hands.
//
// Who consumes a stream may pass it on. What travels in its place is a reference: the node that
// keeps the stream for whoever comes for it, and a secret by which it knows him. He opens a call to
// that node, which passes everything between the two calls, in both directions and under the credit
// of both.
#pragma once

#include "base/buf.h"
#include "base/failure.h"
#include "base/id.h"
#include "base/list.h"

struct pl_node;
struct pl_call;
struct pl_call_ops;
struct pl_call_options;
struct pl_request;

typedef struct pl_reference {
  pl_id node;
  pl_id token;       // secret: never logged, and told to nobody but who is to have the stream
  uint64_t codec;    // of its chunks and its result
  uint64_t idle_ms;  // longest gap; 0: live
  pl_id via;         // a neighbour of `node`, of which nobody else knows; zero: it is known
} pl_reference;

// Appends what travels, at most PL_REFERENCE_ROOM bytes. NO_MEMORY.
enum { PL_REFERENCE_ROOM = 96 };
pl_err pl_reference_put(pl_buf *out, const pl_reference *r);
// PL_PROTOCOL: it is none.
pl_err pl_reference_get(pl_reference *out, pl_bytes in);

// Makes up a reference to a stream of this node. False: PL_PASSED_MAX are kept.
bool pl_node_refer(struct pl_node *n, int codec, uint64_t idle_us, pl_reference *out);
// The stream is the node's from now on, which gives it to whoever shows the reference, once and
// within PL_PASSED_US; then it is cancelled. `c` NULL: he learns `why`. The reference is added to
// `carried`, see below.
void pl_node_pass(struct pl_node *n, const pl_reference *r, struct pl_call *c,
                  const pl_failure *why, pl_list *carried);
// A reference that this node was given goes on as it is.
void pl_node_pass_on(struct pl_node *n, const pl_reference *r, pl_list *carried);
// Comes for the stream: as pl_node_call, with no action, arguments, node or codec in the options.
pl_err pl_node_take(struct pl_call **out, struct pl_node *n, const pl_reference *r,
                    const struct pl_call_options *o, const struct pl_call_ops *ops, void *user,
                    pl_failure *why);
// Nobody here wants it: it is cancelled where it is kept.
void pl_node_let_go(struct pl_node *n, const pl_reference *r);

// References that travel with a call or with an answer: a stream that nobody has come for is
// cancelled when that fails. All of `carried` is moved.
void pl_call_carry(struct pl_call *c, pl_list *carried);
void pl_request_carry(struct pl_request *r, pl_list *carried);
// They never left.
void pl_carried_drop(pl_list *carried);
