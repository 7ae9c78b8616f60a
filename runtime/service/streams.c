// Who waits for whom: the open streams of this node, and those that pass through it, as they stand.

#include "base/mem.h"
#include "service/action.h"
#include "service/call_impl.h"
#include "service/relay.h"
#include "service/request_impl.h"

typedef struct walk {
  pl_service *sv;
  pl_stream_fn *fn;
  void *user;
} walk;

static const char *name_of(const walk *w, const pl_id *node) {
  const pl_provider *p = pl_service_provider(w->sv, node);
  return p != NULL ? p->name : "";
}

static void tell(const walk *w, pl_stream_info info, const pl_id *node, uint64_t since_us) {
  info.node = *node;
  info.name = name_of(w, node);
  info.waited_us = pl_now_us(w->sv->loop) - since_us;
  w->fn(&info, w->user);
}

// Items that wait, wait for the script here; without any, the script here waits. `asked`: the
// producer knows of the stream.
static pl_stream_info incoming(pl_bytes action, const pl_intake *in, bool asked) {
  pl_stream_info info = {
      .action = action,
      .incoming = true,
      .chunks = in->came_items,
      .bytes = in->came_bytes,
      .credit_chunks = in->open_items,
      .credit_bytes = in->open_bytes,
      .waits_for = asked ? PL_WAITS_PRODUCER : PL_WAITS_LINK,
  };
  if (in->items > 0) info.waits_for = PL_WAITS_CONSUMER;
  return info;
}

static pl_stream_info outgoing(pl_bytes action, const pl_flow *f) {
  pl_stream_info info = {
      .action = action,
      .chunks = f->sent_items,
      .bytes = f->sent_bytes,
      .credit_chunks = f->credit_items,
      .credit_bytes = f->credit_bytes,
      .waits_for = pl_flow_idle(f) ? PL_WAITS_PRODUCER : PL_WAITS_LINK,
  };
  if (pl_flow_is_held_back(f)) info.waits_for = PL_WAITS_CONSUMER;
  return info;
}

// Every stream may be sent into; what is told of that are those who do.
static bool sends(const pl_call *c) {
  const pl_flow *f = &c->flow;
  return c->input && !c->finished && !c->stopped && (f->sent_items > 0 || f->queued_items > 0);
}

static void tell_call(const walk *w, const pl_call *c) {
  if (c->stream && c->has_intake)
    tell(w, incoming(c->action, &c->intake, c->flow.began), &c->callee, c->turned_us);
  if (sends(c)) tell(w, outgoing(c->action, &c->flow), &c->callee, c->turned_us);
}

static void tell_request(const walk *w, const pl_request *r) {
  bool runs = r->state == PL_REQUEST_RUNNING || r->state == PL_REQUEST_SENDING;
  if (!runs || r->action == NULL) return;
  pl_bytes action = pl_bytes_of(r->action->name, r->action->name_len);
  if (r->stream) tell(w, outgoing(action, &r->flow), &r->caller, r->turned_us);
  if (r->input == PL_INPUT_OPEN && r->reading)
    tell(w, incoming(action, &r->intake, true), &r->caller, r->turned_us);
}

// What goes out at one end of a circuit.
static void tell_passing(const walk *w, const pl_relay *r, pl_relay_side side) {
  const pl_relay_end *out = &r->ends[side], *in = &r->ends[!side];
  if (out->channel == NULL || in->channel == NULL) return;  // the one end has forgotten it
  pl_stream_info info = {
      .action = r->action,
      .relayed = true,
      .chunks = out->items,
      .bytes = out->bytes,
      .credit_chunks = out->credit_items,
      .credit_bytes = out->credit_bytes,
      .waits_for = PL_WAITS_PRODUCER,
      .to = *pl_session_peer_id(out->channel->session),
  };
  info.to_name = name_of(w, &info.to);
  if (out->credit_items == 0 || out->credit_bytes == 0) info.waits_for = PL_WAITS_CONSUMER;
  if (!pl_list_empty(&out->frames)) info.waits_for = PL_WAITS_LINK;
  tell(w, info, pl_session_peer_id(in->channel->session), out->turned_us);
}

// Of what the opener may send is told when the callee has asked for it.
static void tell_relay(const walk *w, const pl_relay *r) {
  const pl_relay_end *to_callee = &r->ends[PL_RELAY_CALLEE];
  bool asked = to_callee->items > 0 || to_callee->credit_items > 0;
  if (r->stream) tell_passing(w, r, PL_RELAY_OPENER);
  if (r->flows && asked && !to_callee->finished && !r->stopped) tell_passing(w, r, PL_RELAY_CALLEE);
}

void pl_service_each_stream(pl_service *sv, pl_stream_fn *fn, void *user) {
  const walk w = {sv, fn, user};
  for (pl_list *at = sv->channels.next; at != &sv->channels; at = at->next) {
    pl_channel *ch = pl_container(at, pl_channel, node);
    for (pl_list *n = ch->call_list.next; n != &ch->call_list; n = n->next)
      tell_call(&w, pl_call_of(n));
    for (pl_list *n = ch->request_list.next; n != &ch->request_list; n = n->next)
      tell_request(&w, pl_request_of(n));
  }
  for (pl_list *n = sv->relays.next; n != &sv->relays; n = n->next)
    tell_relay(&w, pl_container(n, pl_relay, node));
}
