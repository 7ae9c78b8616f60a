// Opening a circuit for a call of others: its two ends, and its first frame.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/relay.h"
#include "service/span.h"

// `e` is new, or has been detached and forgets what it was.
static void attach(pl_relay *r, pl_relay_side side, pl_channel *ch, uint32_t label) {
  pl_relay_end *e = &r->ends[side];
  e->channel = ch;
  e->label = label;
  e->body = 0;
  e->finished = false;
  pl_turn_init(&e->turn, pl_relay_write);
  e->credit_items = 0;
  e->credit_bytes = PL_BODY_WINDOW;
  e->items = e->bytes = 0;
  e->turned_us = pl_now_us(r->service->loop);
  pl_labels_put(side == PL_RELAY_OPENER ? &ch->relayed_in : &ch->relayed_out, label, r);
  pl_list_push(&ch->relay_ends, &e->node);
}

static pl_relay *relay_alloc(void) {
  pl_relay *r = pl_new(pl_relay);
  for (unsigned side = 0; side < 2; side++) {
    r->ends[side].side = (uint8_t)side;
    pl_list_init(&r->ends[side].frames);
  }
  return r;
}

static pl_relay *relay_new(pl_channel *from, uint32_t label, const pl_relay_way *way,
                           const pl_msg_call *m) {
  pl_service *sv = from->service;
  pl_list *n = pl_list_pop(&sv->free_relays);
  pl_relay *r = n != NULL ? pl_container(n, pl_relay, node) : relay_alloc();
  r->service = sv;
  r->call_id = m->call_id;
  r->called = r->cancelled = r->stopped = r->informed = false;
  r->flows = m->stream || m->input;
  r->stream = m->stream;
  if (r->flows) pl_bytes_copy(&r->action, m->action);  // without memory it has no name
  pl_list_push(&sv->relays, &r->node);
  attach(r, PL_RELAY_OPENER, from, label);
  attach(r, PL_RELAY_CALLEE, way->to, pl_channel_next_label(way->to));
  if (way->chosen != NULL) {
    pl_errand_begin(&r->errand, pl_offer_tally(way->chosen), pl_now_us(sv->loop));
  } else if (way->callee != NULL) {
    pl_errand_count(&r->errand, way->callee->tally);
  }
  if (m->stream) {
    r->ends[PL_RELAY_OPENER].credit_items = m->window_items;
    r->ends[PL_RELAY_OPENER].credit_bytes = m->window_bytes;
  }
  r->span = NULL;
  if (sv->taps != 0 || m->trace.len > 0) pl_span_relay(r, m);
  sv->loop->metrics.relays_opened++;
  sv->loop->metrics.relays_now++;
  return r;
}

// Encodes the head where it is sent from, if the whole is short: `room` bytes at most.
static bool write_in_place(pl_relay *r, uint8_t flags, const pl_msg_call *m, pl_bytes args,
                           size_t room) {
  const pl_relay_end *out = &r->ends[PL_RELAY_CALLEE];
  if (args.len > PL_COPY_MAX || room > PL_FRAGMENT_MAX || !pl_relay_is_clear(out)) return false;
  pl_session *s = out->channel->session;
  uint8_t *start = pl_session_begin(s, room);
  uint8_t *p = pl_msg_call_put(start, m);
  if (args.len > 0) memcpy(p, args.data, args.len);
  pl_session_finish(s, PL_FRAME_CALL, flags, 0, out->label, start, (size_t)(p - start) + args.len);
  r->called = true;
  return true;
}

bool pl_relay_open(pl_channel *from, const pl_frame *f, const pl_relay_way *way,
                   const pl_msg_call *m, pl_bytes args) {
  pl_channel *to = way->to;
  pl_buf *map = &to->lanes.scratch;
  pl_buf_clear(map);
  size_t room = pl_msg_call_room(m) + args.len;
  bool may_be_long = room > PL_FRAGMENT_MAX;
  if (may_be_long &&
      (pl_msg_call_encode(map, m) != PL_OK || pl_buf_len(map) + args.len > PL_FRAGMENT_MAX))
    return false;

  pl_relay *r = relay_new(from, f->label, way, m);
  pl_relay_end *out = &r->ends[PL_RELAY_CALLEE];
  if (f->flags & PL_FLAG_MORE) out->body = PL_FRAME_CALL;
  if (write_in_place(r, f->flags, m, args, room)) return true;
  if (!may_be_long && pl_msg_call_encode(map, m) != PL_OK) {
    pl_session_abort(to->session, PL_NO_MEMORY, "no memory for a relayed call");
    return true;
  }
  pl_bytes head = pl_bytes_of(pl_buf_data(map), pl_buf_len(map));
  if (pl_relay_is_clear(out)) {
    r->called = true;
    pl_session_send_parts(to->session, PL_FRAME_CALL, f->flags, 0, out->label, head, args);
  } else {
    pl_relay_enqueue(out, &(pl_frame){.type = PL_FRAME_CALL, .flags = f->flags}, head, args);
  }
  return true;
}
