// Where a call for another node goes on, and why it does not.

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "service/relay.h"
#include "service/system.h"
#include "wire/msgpack.h"

enum { BUSY_RETRY_MS = 100 };  // when a link may have room again: nobody knows

static void answer(pl_channel *ch, uint32_t label, const pl_msg_call *m,
                   const pl_relay_refusal *why) {
  pl_service *sv = ch->service;
  sv->loop->metrics.relays_refused++;
  pl_failure failure = pl_failure_of(why->code, PL_NOT_SENT, why->message);
  failure.node = sv->config.identity->id;
  failure.action = m->action;
  if (why->code == PL_BUSY) failure.retry_after_ms = BUSY_RETRY_MS;
  pl_buf *out = &ch->lanes.scratch;
  pl_buf_clear(out);
  if (pl_msg_error_encode(out, &failure) != PL_OK) return;
  pl_session_send(ch->session, PL_FRAME_ERROR, PL_FLAG_CALLEE | PL_LANE_NORMAL, 0, label,
                  pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

static bool read_id(pl_id *out, pl_bytes raw) {
  enum { HEAD = 2 };
  if (raw.len == HEAD + sizeof out->bytes && raw.data[0] == 0xc4) {  // as nearly every node says it
    memcpy(out->bytes, raw.data + HEAD, sizeof out->bytes);
    return true;
  }
  pl_mp_reader r = {raw.data, raw.data + raw.len};
  pl_mp_token t;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_BIN || t.len != sizeof out->bytes)
    return false;
  memcpy(out->bytes, t.data, sizeof out->bytes);
  return true;
}

static const char *no_path(pl_service *sv, const pl_id *node) {
  char hex[PL_ID_HEX];
  pl_id_format(node, hex);
  snprintf(sv->why_text, sizeof sv->why_text, "no path on to the node %s", hex);
  return sv->why_text;
}

// What can be said before a path is looked for.
static bool may_relay(const pl_channel *ch, const pl_msg_call *m, pl_relay_refusal *why) {
  const pl_service *sv = ch->service;
  const pl_identity *self = sv->config.identity;
  if (pl_system_is_guarded(m->action) && !pl_system_lets_in(ch)) {
    *why = (pl_relay_refusal){PL_FORBIDDEN, PL_SYSTEM_FORBIDDEN_TEXT};
  } else if (self->role == PL_ROLE_LEAF || sv->relays_none) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, "this node relays no calls"};
  } else if (sv->draining) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, "a node on the way is stopping"};
  } else if (m->hops_left <= 1) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, "the call may travel no further"};
  } else if (m->source.len > 0 && memcmp(m->source.data, self->id.bytes, m->source.len) == 0) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, "the call came back to its caller"};
  } else if (pl_memory_refuses(&sv->memory)) {
    sv->loop->metrics.memory_refused++;
    *why = (pl_relay_refusal){PL_BUSY, "a node on the way is short of memory"};
  } else if (ch->relayed_in.count >= PL_RELAYED_PER_LINK) {
    *why = (pl_relay_refusal){PL_BUSY, "too many calls pass from one link"};
  } else {
    return true;
  }
  return false;
}

static pl_bytes source_of(const pl_channel *ch, const pl_msg_call *m) {
  if (m->source.len > 0 && pl_channel_may_relay(ch)) return m->source;
  return pl_bytes_of(pl_session_peer_id(ch->session)->bytes, sizeof(pl_id));
}

// The head as it goes on.
static void turn_onward(pl_msg_call *m, const pl_channel *ch) {
  m->hops_left = (m->hops_left < PL_HOPS_MAX ? m->hops_left : PL_HOPS_MAX) - 1;
  m->identity = pl_channel_identity(ch, m);
  m->source = source_of(ch, m);
}

// A node that is told to nobody, a leaf, is behind one that is known.
static pl_channel *path_on(pl_channel *ch, const pl_msg_call *m, const pl_mesh_node *node) {
  pl_service *sv = ch->service;
  const pl_id *from = pl_session_peer_id(ch->session);
  pl_channel *to = pl_service_path(sv, node, from);
  if (to != NULL || m->via.len == 0) return to;
  pl_id via;
  memcpy(via.bytes, m->via.data, sizeof via.bytes);
  return pl_service_path(sv, pl_router_node(sv->router, &via), from);
}

// `node` NULL: to whom this node chooses.
static bool find_way(pl_channel *ch, const pl_msg_call *m, pl_bytes args, const pl_id *node,
                     pl_relay_way *way, pl_relay_refusal *why) {
  pl_service *sv = ch->service;
  if (!may_relay(ch, m, why)) return false;
  if (node == NULL) return pl_relay_choose(ch, m, args, way, why);
  const pl_mesh_node *to = pl_router_node(sv->router, node);
  way->to = path_on(ch, m, to);
  way->callee = to != NULL ? pl_mesh_node_data(to) : NULL;
  if (way->to == NULL) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, no_path(sv, node)};
  } else if (!pl_relay_has_room(way->to)) {
    *why = (pl_relay_refusal){PL_BUSY, "too many calls in flight on a link of the path"};
  } else {
    return true;
  }
  return false;
}

static void go_on(pl_channel *ch, const pl_frame *f, pl_msg_call *m, size_t head,
                  const pl_id *node) {
  pl_bytes args = {.data = f->body.data + head, .len = f->body.len - head, .owner = f->body.owner};
  pl_relay_way way = {0};
  pl_relay_refusal why;
  if (!find_way(ch, m, args, node, &way, &why)) {
    answer(ch, f->label, m, &why);
    return;
  }
  uint8_t destination[PL_MSG_DESTINATION_ROOM];
  if (way.chosen != NULL) {
    m->destination = pl_msg_destination(destination, &way.callee->id);
    m->exclude = (pl_bytes){0};
    ch->service->loop->metrics.relays_chosen++;
  }
  turn_onward(m, ch);
  if (!pl_relay_open(ch, f, &way, m, args)) {
    why = (pl_relay_refusal){PL_TOO_LARGE,
                             "the first frame of the call leaves no room for its journey"};
    answer(ch, f->label, m, &why);
  }
}

bool pl_relay_call(pl_channel *ch, const pl_frame *f, pl_msg_call *m, size_t head) {
  pl_id node;
  if (pl_relay_may_choose(ch, m)) {
    go_on(ch, f, m, head, NULL);
    return true;
  }
  if (m->destination.len == 0) return false;
  if (!read_id(&node, m->destination)) {
    answer(ch, f->label, m,
           &(pl_relay_refusal){PL_NO_ROUTE, "calls to sets of nodes are not known here"});
    return true;
  }
  if (pl_id_equal(&node, &ch->service->config.identity->id)) return false;
  go_on(ch, f, m, head, &node);
  return true;
}
