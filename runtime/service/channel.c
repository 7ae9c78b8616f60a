#include "service/channel.h"

#include "base/mem.h"
#include "service/relay.h"

static pl_err take(void *data, const pl_frame *f) {
  return pl_channel_frame(data, f);
}

pl_channel *pl_channel_new(pl_service *sv, pl_session *s) {
  pl_channel *ch = pl_new(pl_channel);
  ch->service = sv;
  ch->session = pl_session_hold(s);
  ch->next_label = pl_session_is_dialler(s) ? (uint32_t)-1 : 0;  // the first label is 1, or 2
  pl_list_push(&sv->channels, &ch->node);
  pl_list_init(&ch->call_list);
  pl_list_init(&ch->request_list);
  pl_list_init(&ch->relay_ends);
  pl_lanes_init(&ch->lanes, sv->loop, s, &sv->memory.held);
  pl_session_set_data(s, ch, take);
  return ch;
}

void pl_channel_ended(pl_channel *ch) {
  pl_service *sv = ch->service;
  if (pl_channel_opened(ch) == 0) sv->config.on_idle_session(ch->session, sv->config.user);
}

void pl_channel_down(pl_channel *ch, pl_err why, const char *detail) {
  pl_session_set_data(ch->session, NULL, NULL);
  while (!pl_list_empty(&ch->call_list))
    pl_call_lost(pl_call_of(ch->call_list.next), why, detail);
  while (!pl_list_empty(&ch->request_list))
    pl_request_lost(pl_request_of(ch->request_list.next), why, detail);
  pl_relays_lost(ch, why);
  pl_lanes_fini(&ch->lanes);
  pl_labels_fini(&ch->calls);
  pl_labels_fini(&ch->requests);
  pl_labels_fini(&ch->relayed_in);
  pl_labels_fini(&ch->relayed_out);
  pl_session_drop(ch->session);
  pl_list_remove(&ch->node);
  pl_free(ch);
}

uint32_t pl_channel_next_label(pl_channel *ch) {
  do {
    ch->next_label += 2;
    if (ch->next_label >= UINT32_MAX - 2) ch->next_label = ch->next_label % 2 == 1 ? 1 : 2;
  } while (pl_labels_find(&ch->calls, ch->next_label) != NULL ||
           pl_labels_find(&ch->relayed_out, ch->next_label) != NULL);
  return ch->next_label;
}

bool pl_channel_takes_label(const pl_channel *ch, uint32_t label) {
  bool odd = label % 2 == 1;
  return label != 0 && odd != pl_session_is_dialler(ch->session) &&
         pl_labels_find(&ch->requests, label) == NULL &&
         pl_labels_find(&ch->relayed_in, label) == NULL;
}

// A session that is being retired is no neighbour's any more; its node still is one.
static const pl_neighbour *neighbour_of(const pl_channel *ch) {
  const pl_id *id = pl_session_peer_id(ch->session);
  const pl_list *all = &ch->service->neighbours;
  if (ch->neighbour != NULL) return ch->neighbour;
  for (const pl_list *at = all->next; at != all; at = at->next) {
    const pl_neighbour *n = pl_container(at, const pl_neighbour, node);
    if (pl_id_equal(pl_peer_id(n->peer), id)) return n;
  }
  return NULL;
}

bool pl_channel_may_relay(const pl_channel *ch) {
  const pl_neighbour *n = neighbour_of(ch);
  return n != NULL && n->peer != NULL && pl_peer_role(n->peer) != PL_ROLE_LEAF;
}

pl_err pl_channel_frame(pl_channel *ch, const pl_frame *f) {
  pl_memory_note(ch->service, &ch->service->memory);
  if (f->type == PL_FRAME_CALL) return pl_request_arrive(ch, f);
  if (!pl_frame_is_circuit(f->type)) {
    ch->service->loop->metrics.frames_unknown++;
    return PL_OK;
  }
  if (f->type > PL_FRAME_CIRCUIT_LAST) {  // of a newer minor version
    ch->service->loop->metrics.frames_unknown++;
    return PL_OK;
  }
  return f->flags & PL_FLAG_CALLEE ? pl_call_frame(ch, f) : pl_request_frame(ch, f);
}

bool pl_channel_is_trusted(const pl_channel *ch) {
  const pl_link *l = pl_session_link(ch->session);
  return (l != NULL && pl_link_is_local(l)) || pl_session_identity(ch->session).len > 0;
}

pl_bytes pl_channel_identity(const pl_channel *ch, const pl_msg_call *m) {
  const pl_service *sv = ch->service;
  if (ch == sv->serving) return pl_auth_identity(&sv->config.identity->auth);
  pl_bytes neighbour = pl_session_identity(ch->session);
  bool passed_on = m->source.len > 0 && pl_channel_may_relay(ch);
  return passed_on && neighbour.len > 0 ? m->identity : neighbour;
}
