// What a handler says of its stream before the first item, at both ends.

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "service/request_impl.h"

pl_err pl_request_tell_info(pl_request *r, pl_bytes info) {
  assert(r->state == PL_REQUEST_RUNNING);
  if (info.len > PL_INFO_MAX) return PL_TOO_LARGE;
  if (r->itemized || r->informed) return PL_INVALID;
  r->informed = true;
  if (r->cancelled || r->channel == NULL || !r->stream) return PL_CLOSED;
  pl_request_unwatch(r);  // the deadline of a stream bounds its start
  pl_flow_info(&r->flow, info);
  return PL_OK;
}

pl_err pl_call_take_info(pl_call *c, const pl_frame *f) {
  bool whole = (f->flags & PL_FLAG_MORE) == 0 && f->body.len > 0 && f->body.len <= PL_INFO_MAX;
  if (!whole || !c->stream || c->itemized || c->informed) return PL_PROTOCOL;
  if (!pl_bytes_keep(&c->info, pl_bytes_of(f->body.data, f->body.len))) return PL_NO_MEMORY;
  c->informed = true;
  pl_call_progress(c);
  if (!c->expecting) return PL_OK;
  c->expecting = false;
  if (c->ops->on_items != NULL) c->ops->on_items(c, c->user);
  return PL_OK;
}

void pl_call_drop_info(pl_call *c) {
  if (c->informed) pl_bytes_drop(&c->info);
  c->informed = false;
}

int pl_call_info(pl_call *c, pl_bytes *info) {
  if (c->informed) {
    *info = c->info;
    return 1;
  }
  if (c->itemized || c->settled) return -1;
  pl_call_expect(c);
  return 0;
}
