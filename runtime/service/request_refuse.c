// What becomes of a request before its arguments are here: who is asked, and who is refused.

#include "base/limits.h"
#include "service/action.h"
#include "service/admission.h"
#include "service/request_impl.h"
#include "service/system.h"

// Names that begin with `_` are not for others, but for those of the node itself.
pl_action *pl_request_find_action(const pl_request *r, pl_bytes name) {
  pl_service *sv = r->service;
  bool hidden = r->channel != sv->serving && name.len > 0 && name.data[0] == '_';
  pl_action *a = hidden ? NULL : pl_action_find(sv, name);
  return a != NULL ? a : pl_system_find(sv, name);
}

void pl_request_count(pl_request *r, pl_action *a) {
  r->action = pl_action_hold(a);
  a->meter->begun++;
  if (pl_request_flows(r)) a->meter->streams++;
}

static void refuse_early(pl_request *r, const pl_msg_call *m, pl_err code, const char *message,
                         uint32_t retry_after_ms) {
  pl_action *a = pl_request_find_action(r, m->action);
  if (a != NULL) pl_request_count(r, a);
  pl_request_refuse(r, code, message, retry_after_ms);
}

bool pl_request_refused(pl_channel *ch, pl_request *r, const pl_msg_call *m, bool system) {
  pl_service *sv = ch->service;
  if (pl_system_is_guarded(m->action) && !pl_system_lets_in(ch)) {
    pl_request_refuse(r, PL_FORBIDDEN, PL_SYSTEM_FORBIDDEN_TEXT, 0);
  } else if (m->codec > 1) {
    refuse_early(r, m, PL_INVALID, "the codec of the call is not known here; use msgpack or json",
                 0);
  } else if (m->compression != 0) {
    refuse_early(r, m, PL_INVALID, "the compression of the call was not agreed on", 0);
  } else if (pl_msg_ancestors_count(m->ancestors) > PL_ANCESTORS_MAX) {
    refuse_early(r, m, PL_TOO_LARGE, "the call is nested in too many others", 0);
  } else if (sv->draining && !system) {
    refuse_early(r, m, PL_DRAINING, NULL, 0);
  } else if (!system && pl_memory_refuses(&sv->memory)) {
    sv->loop->metrics.memory_refused++;
    refuse_early(r, m, PL_BUSY, PL_MEMORY_TEXT, PL_MEMORY_RETRY_MS);
  } else if (ch->requests.count > PL_CALLS_PER_LINK) {
    refuse_early(r, m, PL_BUSY, "too many calls in flight on the link",
                 pl_admission_retry_after_ms(sv, NULL));
  } else if (pl_request_flows(r) && ch->streams_in > PL_STREAMS_PER_PEER) {
    refuse_early(r, m, PL_BUSY, "too many streams open from the node",
                 pl_admission_retry_after_ms(sv, NULL));
  } else {
    return false;
  }
  return true;
}
