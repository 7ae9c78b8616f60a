#include "service/relay.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/span.h"

// A frame that waits for the link.
typedef struct waiting {
  pl_list node;
  pl_bytes body;  // kept
  uint16_t aux;
  uint8_t type;
  uint8_t flags;
} waiting;

static pl_relay *relay_of(pl_relay_end *e) {
  pl_relay_end *first = e - e->side;
  return pl_container(first, pl_relay, ends);
}

static pl_relay *relay_of_node(pl_list *node) {
  return pl_container(node, pl_relay, node);
}

static pl_metrics *metrics(const pl_relay *r) {
  return &r->service->loop->metrics;
}

// Life.

enum { WAITING_COST = sizeof(waiting) + sizeof(pl_slice) };

// A frame of so many bytes waits there from now on, or no more.
static void weigh(pl_relay_end *e, size_t bytes, bool waits) {
  pl_service *sv = relay_of(e)->service;
  size_t cost = bytes + WAITING_COST;
  e->held += waits ? cost : 0 - cost;
  sv->memory.held += waits ? cost : 0 - (uint64_t)cost;
  sv->loop->metrics.relay_bytes_now += waits ? bytes : 0 - (uint64_t)bytes;
}

static void waiting_free(pl_relay_end *e, waiting *w) {
  weigh(e, w->body.len, false);
  pl_bytes_drop(&w->body);
  pl_free(w);
}

static void drop_frames(pl_relay_end *e) {
  for (pl_list *n; (n = pl_list_pop(&e->frames)) != NULL;) {
    waiting *w = pl_container(n, waiting, node);
    waiting_free(e, w);
  }
}

static void drop_waiting(pl_relay_end *e) {
  if (!pl_list_empty(&e->frames)) drop_frames(e);
  e->grant_items = e->grant_bytes = 0;
  pl_turn_leave(&e->turn);
}

// Frees the label of this end: nothing goes in or out here any more.
static void detach(pl_relay_end *e) {
  pl_channel *ch = e->channel;
  if (ch == NULL) return;
  drop_waiting(e);
  e->channel = NULL;
  pl_labels_remove(e->side == PL_RELAY_OPENER ? &ch->relayed_in : &ch->relayed_out, e->label);
  pl_list_remove(&e->node);
  pl_channel_ended(ch);
}

// The callee has nothing to do with it any more.
static void conclude(pl_relay *r, pl_verdict verdict, uint32_t retry_after_ms) {
  pl_errand_end(&r->errand, pl_now_us(r->service->loop), verdict, !r->flows, retry_after_ms);
}

// The last frame for the opener has come.
static void conclude_with(pl_relay *r, const pl_frame *last) {
  bool failed = last->type == PL_FRAME_ERROR;
  pl_failure f;
  if (failed && r->span != NULL && pl_msg_error_decode(&f, last->body) == PL_OK)
    pl_span_failed(r->span, &f);
  if (!failed || r->errand.tally == NULL) {
    conclude(r, failed ? PL_VERDICT_NONE : PL_VERDICT_GOOD, 0);
  } else if (pl_msg_error_decode(&f, last->body) != PL_OK) {
    conclude(r, PL_VERDICT_NONE, 0);
  } else {
    conclude(r, pl_verdict_of(f.code, f.outcome), f.retry_after_ms);
  }
}

static void relay_end(pl_relay *r) {
  pl_service *sv = r->service;
  conclude(r, PL_VERDICT_NONE, 0);
  if (r->span != NULL) pl_span_end(sv, &r->span, NULL);
  detach(&r->ends[PL_RELAY_CALLEE]);
  detach(&r->ends[PL_RELAY_OPENER]);
  pl_bytes_drop(&r->action);
  pl_list_remove(&r->node);
  pl_list_push_front(&sv->free_relays, &r->node);
  metrics(r)->relays_now--;
  pl_service_check_drained(sv);
}

void pl_relays_free_all(pl_service *sv) {
  assert(pl_list_empty(&sv->relays));
  for (pl_list *n; (n = pl_list_pop(&sv->free_relays)) != NULL;)
    pl_free(relay_of_node(n));
}

// Writing.

static void put(const pl_relay_end *e, uint8_t type, uint8_t flags, uint16_t aux, pl_bytes body) {
  pl_session_send(e->channel->session, type, flags, aux, e->label, body);
}

// A frame of the node's own making, which overtakes what waits.
static void put_control(const pl_relay_end *e, uint8_t type, pl_bytes body) {
  put(e, type, e->side == PL_RELAY_OPENER ? PL_FLAG_CALLEE : 0, 0, body);
}

static void put_grant(pl_relay_end *e) {
  pl_buf *out = &e->channel->lanes.scratch;
  pl_buf_clear(out);
  pl_msg_credit m = {.items = e->grant_items, .bytes = e->grant_bytes};
  e->grant_items = e->grant_bytes = 0;
  if (pl_msg_credit_encode(out, &m) != PL_OK) return;
  put_control(e, PL_FRAME_CREDIT, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

static bool has_grant(const pl_relay_end *e) {
  return (e->grant_items | e->grant_bytes) != 0;
}

// CREDIT does not overtake the CALL: the callee would not know what it is for.
static bool may_overtake(const pl_relay_end *e, const pl_relay *r) {
  return e->side == PL_RELAY_OPENER || r->called;
}

// Writes what has waited longest.
static void write_waiting(pl_relay *r, pl_relay_end *e, waiting *w) {
  put(e, w->type, w->flags, w->aux, w->body);
  pl_turn_wrote(&e->turn, &e->channel->lanes, PL_FRAME_HEADER + w->body.len);
  if (e->side == PL_RELAY_CALLEE && r->span != NULL && !r->called)
    pl_span_started(r->service, r->span);
  if (e->side == PL_RELAY_CALLEE) r->called = true;
  waiting_free(e, w);
}

bool pl_relay_write(pl_turn *t) {
  pl_relay_end *e = pl_container(t, pl_relay_end, turn);
  pl_relay *r = relay_of(e);
  if (has_grant(e) && may_overtake(e, r)) {
    put_grant(e);
    pl_turn_wrote(t, &e->channel->lanes, PL_FRAME_HEADER);
  } else {
    pl_list *n = pl_list_pop(&e->frames);
    if (n == NULL) return false;  // the link is being closed: there was no memory for the CALL
    write_waiting(r, e, pl_container(n, waiting, node));
  }
  if (!pl_list_empty(&e->frames) || has_grant(e)) return true;
  if (e->finished && e->side == PL_RELAY_OPENER) relay_end(r);
  return false;
}

bool pl_relay_is_clear(const pl_relay_end *e) {
  return pl_list_empty(&e->frames) && !has_grant(e) && pl_lanes_clear(&e->channel->lanes);
}

// Copied, because what waits must not pin the slab it was read into.
void pl_relay_enqueue(pl_relay_end *e, const pl_frame *f, pl_bytes head, pl_bytes body) {
  waiting *w = pl_new(waiting);
  *w = (waiting){.type = f->type, .flags = f->flags, .aux = f->aux};
  size_t len = head.len + body.len;
  pl_slice *copy = pl_slice_new(len);
  if (copy == NULL) {
    pl_free(w);
    pl_session_abort(e->channel->session, PL_NO_MEMORY, "no memory for a relayed frame");
    return;
  }
  if (head.len > 0) memcpy(copy->data, head.data, head.len);
  if (body.len > 0) memcpy(copy->data + head.len, body.data, body.len);
  copy->len = len;
  w->body = (pl_bytes){.data = copy->data, .len = len, .owner = copy};
  pl_list_push(&e->frames, &w->node);
  weigh(e, len, true);
  pl_turn_ask(&e->turn, &e->channel->lanes);
}

// Ending before its time.

static pl_bytes encode_path_lost(pl_channel *ch, const pl_id *where) {
  pl_buf *out = &ch->lanes.scratch;
  pl_buf_clear(out);
  pl_msg_path_lost m = {.node = *where};
  if (pl_msg_path_lost_encode(out, &m) != PL_OK) return (pl_bytes){0};
  return pl_bytes_of(pl_buf_data(out), pl_buf_len(out));
}

static const pl_id *self_id(const pl_relay *r) {
  return &r->service->config.identity->id;
}

static void tell_error(pl_relay *r, pl_err code, pl_outcome outcome, const char *message) {
  pl_relay_end *e = &r->ends[PL_RELAY_OPENER];
  if (e->channel == NULL) return;
  pl_failure failure = pl_failure_of(code, outcome, message);
  failure.node = *self_id(r);
  if (r->span != NULL) pl_span_failed(r->span, &failure);
  pl_buf *out = &e->channel->lanes.scratch;
  pl_buf_clear(out);
  if (pl_msg_error_encode(out, &failure) != PL_OK) return;
  put(e, PL_FRAME_ERROR, PL_FLAG_CALLEE | PL_LANE_NORMAL, 0,
      pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

// The callee, if it knows of the call, must not go on with it.
static void tell_lost(pl_relay *r, pl_relay_side side, const pl_id *where) {
  pl_relay_end *e = &r->ends[side];
  if (e->channel == NULL || (side == PL_RELAY_CALLEE && !r->called)) return;
  put_control(e, PL_FRAME_PATH_LOST, encode_path_lost(e->channel, where));
}

// The path broke on the other side of `side`.
static void lose(pl_relay *r, pl_relay_side side, const pl_id *where) {
  metrics(r)->relays_lost++;
  const pl_failure lost = pl_failure_of(PL_PEER_LOST, PL_UNKNOWN, NULL);
  if (r->span != NULL) pl_span_failed(r->span, &lost);
  if (side == PL_RELAY_OPENER) conclude(r, PL_VERDICT_FAILURE, 0);
  if (side == PL_RELAY_OPENER && !r->called) {
    tell_error(r, PL_PEER_LOST, PL_NOT_SENT, "the path broke before the call was handed on");
  } else {
    tell_lost(r, side, where);
  }
  relay_end(r);
}

// An end broke the protocol. Which node is at fault cannot be known here: the circuit ends, not the
// link.
static void broken(pl_relay *r, pl_err why) {
  metrics(r)->relays_broken++;
  tell_error(r, why, r->called ? PL_UNKNOWN : PL_NOT_SENT, "a relayed frame broke the protocol");
  tell_lost(r, PL_RELAY_CALLEE, self_id(r));
  relay_end(r);
}

void pl_relay_sacrifice(pl_relay *r) {
  tell_error(r, PL_MEMORY_LIMIT, r->called ? PL_UNKNOWN : PL_NOT_SENT,
             "a node on the way was short of memory, and this is what held the most there");
  tell_lost(r, PL_RELAY_CALLEE, self_id(r));
  relay_end(r);
}

// The next node has stopped, and had answered all that it had begun.
static void lose_drained(pl_relay *r) {
  metrics(r)->relays_lost++;
  tell_error(r, PL_DRAINING, r->called ? PL_NOT_EXECUTED : PL_NOT_SENT, NULL);
  relay_end(r);
}

void pl_relays_lost(pl_channel *ch, pl_err why) {
  while (!pl_list_empty(&ch->relay_ends)) {
    pl_relay_end *e = pl_container(ch->relay_ends.next, pl_relay_end, node);
    pl_relay *r = relay_of(e);
    pl_relay_side other = e->side == PL_RELAY_OPENER ? PL_RELAY_CALLEE : PL_RELAY_OPENER;
    detach(e);
    if (why == PL_DRAINING && other == PL_RELAY_OPENER) {
      lose_drained(r);
    } else {
      lose(r, other, self_id(r));
    }
  }
}

void pl_relays_cut(pl_service *sv) {
  while (!pl_list_empty(&sv->relays)) {
    pl_relay *r = relay_of_node(sv->relays.next);
    tell_lost(r, PL_RELAY_CALLEE, self_id(r));
    lose(r, PL_RELAY_OPENER, self_id(r));
  }
}

// Frames.

static pl_err spend(const pl_relay *r, pl_relay_end *out, const pl_frame *f) {
  if (f->body.len == 0) return PL_PROTOCOL;  // would cost nothing
  if (f->aux > out->credit_items || f->body.len > out->credit_bytes) return PL_PROTOCOL;
  out->credit_items -= f->aux;
  out->credit_bytes -= f->body.len;
  if (f->type != PL_FRAME_DATA && out->body != PL_FRAME_DATA) return PL_OK;
  out->items += f->aux;
  out->bytes += f->body.len;
  if (r->span != NULL) pl_span_chunks(r->service, r->span, f->aux);
  out->turned_us = pl_now_us(r->service->loop);
  return PL_OK;
}

// What may come when, and at what cost: as much as keeps what waits here bounded. The rest is
// for the ends to check.
static pl_err check(pl_relay *r, pl_relay_end *out, const pl_frame *f) {
  bool to_opener = out->side == PL_RELAY_OPENER;
  bool more = f->flags & PL_FLAG_MORE;
  if (out->finished) return PL_PROTOCOL;
  if (f->type == PL_FRAME_BODY) {
    if (out->body == 0) return PL_PROTOCOL;
    pl_err err = spend(r, out, f);
    if (!more && out->body == PL_FRAME_RESULT) out->finished = true;
    if (!more) out->body = 0;
    return err;
  }
  if (f->type == PL_FRAME_ERROR && to_opener) {
    out->finished = true;
    return PL_OK;
  }
  if (out->body != 0) return PL_PROTOCOL;
  if (f->type == PL_FRAME_INFO && to_opener && !more && !r->informed) {
    r->informed = true;
    return PL_OK;
  }
  if (more) out->body = f->type;
  if (f->type == PL_FRAME_DATA) return spend(r, out, f);
  bool last = f->type == (to_opener ? PL_FRAME_RESULT : PL_FRAME_END);
  if (f->type == PL_FRAME_END && (more || f->body.len > 0)) return PL_PROTOCOL;
  out->finished = last && !more;
  return last ? PL_OK : PL_PROTOCOL;
}

// Tracebacks go only as far as all of their path may be trusted.
static pl_bytes without_traceback(pl_relay *r, pl_bytes body) {
  bool trusted = pl_channel_is_trusted(r->ends[PL_RELAY_OPENER].channel) &&
                 pl_channel_is_trusted(r->ends[PL_RELAY_CALLEE].channel);
  pl_failure failure;
  if (trusted || pl_msg_error_decode(&failure, body) != PL_OK) return body;
  if (failure.traceback.len == 0 && failure.cause.len == 0) return body;
  pl_buf room = {0}, *out = &r->ends[PL_RELAY_OPENER].channel->lanes.scratch;
  pl_msg_error_blind(&failure, &room);
  pl_buf_clear(out);
  pl_err err = pl_msg_error_encode(out, &failure);
  pl_buf_fini(&room);
  return err == PL_OK ? pl_bytes_of(pl_buf_data(out), pl_buf_len(out)) : (pl_bytes){0};
}

static void pass(pl_relay *r, pl_relay_end *out, const pl_frame *f) {
  pl_err err = check(r, out, f);
  if (err != PL_OK) {
    broken(r, err);
    return;
  }
  pl_bytes body = f->type == PL_FRAME_ERROR ? without_traceback(r, f->body) : f->body;
  bool ends = out->finished && out->side == PL_RELAY_OPENER;
  if (ends) conclude_with(r, f);
  if (pl_relay_is_clear(out)) {
    put(out, f->type, f->flags, f->aux, body);
    if (ends) relay_end(r);
    return;
  }
  pl_relay_enqueue(out, f, (pl_bytes){0}, body);
  if (ends) detach(&r->ends[PL_RELAY_CALLEE]);  // it has forgotten the circuit
}

// Credit for what comes the other way.
static void on_credit(pl_relay *r, pl_relay_side from, const pl_frame *f) {
  pl_relay_end *in = &r->ends[from], *out = &r->ends[!from];
  pl_msg_credit m;
  pl_err err = pl_msg_credit_decode(&m, f->body);
  if (err != PL_OK || m.items > PL_CREDIT_MAX - in->credit_items ||
      m.bytes > PL_CREDIT_MAX - in->credit_bytes) {
    broken(r, PL_PROTOCOL);
    return;
  }
  in->credit_items += m.items;
  in->credit_bytes += m.bytes;
  in->turned_us = pl_now_us(r->service->loop);
  if (out->channel == NULL || (m.items | m.bytes) == 0) return;
  if (may_overtake(out, r) && !pl_lanes_full(&out->channel->lanes)) {
    put(out, f->type, f->flags, 0, f->body);
    return;
  }
  out->grant_items += m.items;
  out->grant_bytes += m.bytes;
  pl_turn_ask(&out->turn, &out->channel->lanes);
}

static void on_cancel(pl_relay *r, pl_relay_side from, const pl_frame *f) {
  pl_relay_end *out = &r->ends[PL_RELAY_CALLEE];
  pl_msg_cancel m;
  if (from == PL_RELAY_CALLEE || pl_msg_cancel_decode(&m, f->body) != PL_OK) {
    broken(r, PL_PROTOCOL);
    return;
  }
  if (r->cancelled || out->channel == NULL) return;
  r->cancelled = true;
  if (!r->called) {
    tell_error(r, m.code == PL_TIMEOUT ? PL_TIMEOUT : PL_CANCELLED, PL_NOT_SENT, NULL);
    relay_end(r);
    return;
  }
  if (m.code == PL_TIMEOUT) conclude(r, PL_VERDICT_FAILURE, 0);
  drop_waiting(out);
  put(out, f->type, f->flags, 0, f->body);
}

// What the opener sends, and what of it waits here, is not wanted any more.
static void on_stop(pl_relay *r, pl_relay_side from, const pl_frame *f) {
  if (from == PL_RELAY_OPENER || !r->called) {
    broken(r, PL_PROTOCOL);
    return;
  }
  if (r->stopped) return;
  r->stopped = true;
  drop_frames(&r->ends[PL_RELAY_CALLEE]);
  put(&r->ends[PL_RELAY_OPENER], f->type, f->flags, 0, (pl_bytes){0});
}

static void on_path_lost(pl_relay *r, pl_relay_side from, const pl_frame *f) {
  pl_msg_path_lost m;
  if (pl_msg_path_lost_decode(&m, f->body) != PL_OK) {
    broken(r, PL_PROTOCOL);
    return;
  }
  detach(&r->ends[from]);
  lose(r, !from, &m.node);
}

void pl_relay_frame(pl_channel *ch, const pl_frame *f) {
  pl_relay_side from = f->flags & PL_FLAG_CALLEE ? PL_RELAY_CALLEE : PL_RELAY_OPENER;
  pl_relay *r =
      pl_labels_find(from == PL_RELAY_OPENER ? &ch->relayed_in : &ch->relayed_out, f->label);
  if (r == NULL) {
    pl_metrics *m = &ch->service->loop->metrics;
    m->frames_stale++;
    if (f->type == PL_FRAME_RESULT) m->replies_late++;
    return;
  }
  switch (f->type) {
    case PL_FRAME_CREDIT: on_credit(r, from, f); return;
    case PL_FRAME_PATH_LOST: on_path_lost(r, from, f); return;
    case PL_FRAME_CANCEL: on_cancel(r, from, f); return;
    case PL_FRAME_STOP: on_stop(r, from, f); return;
    default: break;
  }
  bool unwanted =
      from == PL_RELAY_OPENER && (r->cancelled || r->stopped || r->ends[!from].channel == NULL);
  if (unwanted) {
    metrics(r)->frames_stale++;
  } else {
    pass(r, &r->ends[!from], f);
  }
}
