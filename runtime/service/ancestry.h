// Which calls led to which (docs/protocol.md, 5.12), so that a call that waits for a slot held by
// those who wait for it does not wait for ever.
//
// A request gets a mark when the first call is made for it: 64 random bits, which only the nodes
// learn that this call leads to, and only this node understands. Each call carries the marks of all
// that led to it.
#pragma once

#include "service/request_impl.h"

// Notes the marks that came with the call of `r`. False: no memory.
bool pl_ancestry_take(pl_request *r, const pl_msg_call *m);
// The marks for a call that is made for `r`, which runs; *out borrows from it. TOO_LARGE: it would
// be the PL_ANCESTORS_MAXth within another, or more. NO_MEMORY.
pl_err pl_ancestry_line(pl_request *r, pl_bytes *out);
// The handler of `r` has ended.
void pl_ancestry_end(pl_request *r);
// `r` goes.
void pl_ancestry_drop(pl_request *r);

// Whether `r` was made, maybe over others, in the handler of `of`.
bool pl_ancestry_leads(const pl_request *of, const pl_request *r);
// Whether `r`, for which there is no slot, could only hang: as many of those that led to it run as
// there are slots, of its action or of the node. Then `text` says so.
bool pl_ancestry_hangs(const pl_request *r, char *text, size_t size);

// Text for a refusal: the way that led to `r`, and why it would wait for itself.
void pl_ancestry_describe(const pl_request *r, const char *why, char *text, size_t size);

// Whether some that led to `r` run here.
bool pl_ancestry_is_awaited(const pl_request *r);
// `r`, for which there is no slot, may start in that of the nearest that led to it, which waits
// meanwhile: over the bound, but one at a time. Given back when `r` ends or goes.
bool pl_ancestry_borrow(pl_request *r);
// The next of those that wait for a slot that has borrowed one; NULL: none can.
pl_request *pl_ancestry_next(pl_service *sv);
