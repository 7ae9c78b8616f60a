// What a handler may know of its request.

#include <string.h>

#include "service/action.h"
#include "service/request_impl.h"

// What a relay told goes with the frame; all else is static.
bool pl_request_stamp(pl_request *r, const pl_msg_call *m) {
  pl_bytes identity = pl_channel_identity(r->channel, m);
  if (r->relayed && identity.len > 0) return pl_bytes_keep(&r->identity, identity);
  r->identity = r->relayed || identity.len == 0 ? (pl_bytes){0} : identity;
  return true;
}

// Of a leaf behind a relay nothing is known but its id.
static const char *caller_name(const pl_request *r) {
  const pl_service *sv = r->service;
  const pl_neighbour *n = r->channel != NULL ? r->channel->neighbour : NULL;
  if (!r->relayed && n != NULL) return n->provider->name;
  if (pl_id_equal(&r->caller, &sv->config.identity->id)) return sv->config.identity->name;
  const pl_provider *p = pl_service_provider(r->service, &r->caller);
  return p != NULL ? p->name : "";
}

void pl_request_info_get(const pl_request *r, pl_request_info *out) {
  *out = (pl_request_info){
      .action = pl_bytes_of(r->action->name, r->action->name_len),
      .meta = r->meta,
      .identity = r->identity,
      .caller = r->caller,
      .caller_name = caller_name(r),
      .call_id = r->call_id,
  };
}

// Hardly anybody asks. The trace of a call within another came with it; all attempts of one call
// have one.
const pl_trace *pl_request_trace(pl_request *r) {
  if (r->traced) return &r->trace;
  r->traced = true;
  pl_trace outer = r->trace;
  if (!r->has_outer && r->repeated) pl_trace_of(&outer, &r->caller, r->first_call_id, NULL);
  pl_trace_of(&r->trace, &r->caller, r->call_id, r->has_outer || r->repeated ? &outer : NULL);
  return &r->trace;
}

pl_bytes pl_request_args(const pl_request *r) {
  pl_bytes args = r->args;
  if (r->shared) args.owner = NULL;  // others are compared with them
  return args;
}

int pl_request_codec(const pl_request *r) {
  return r->codec;
}

bool pl_request_is_stream(const pl_request *r) {
  return r->stream;
}

uint64_t pl_request_deadline(const pl_request *r) {
  return r->deadline_us;
}

pl_priority pl_request_priority(const pl_request *r) {
  return (pl_priority)(PL_PRIORITY_HIGH + r->rank);
}

void pl_request_set_user(pl_request *r, void *user) {
  r->user = user;
}

void *pl_request_user(const pl_request *r) {
  return r->user;
}
