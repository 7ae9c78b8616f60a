// The connections of a simulated network.

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "sim/conn_impl.h"

enum {
  WINDOW = 256 * 1024,      // bytes that kernels hold of one direction
  SEGMENT_MAX = 64 * 1024,  // with segmentation offload
  RESEND_US = 200 * 1000,   // a lost segment, the first time
};

static pl_end *of_link(pl_link *l) {
  return pl_container(l, pl_end, link);
}

static void run_io(pl_work *w);

void pl_end_poke(pl_end *e) {
  if (e == NULL) return;
  pl_loop_defer(e->link.loop, &e->io_work, run_io);
  pl_site_touch(e->site);
}

static int side_of(const pl_half *h) {
  return h == &h->conn->halves[0] ? 0 : 1;
}

bool pl_half_can_arrive(const pl_half *h) {
  const pl_site *to = h->conn->sites[1 - side_of(h)];
  return !h->path->down && (to == NULL || !to->dark);
}

// Sending.

static void on_arrival(pl_event *e);

void pl_half_drop_segments(pl_half *h) {
  for (pl_list *n; (n = pl_list_pop(&h->segments)) != NULL;)
    pl_free(pl_container(n, pl_segment, node));
  pl_agenda_cancel(&h->conn->net->agenda, &h->arrival);
  h->stalled = false;
}

void pl_half_expect_first(pl_half *h, uint64_t not_before_us) {
  if (pl_list_empty(&h->segments) || h->stalled) return;
  const pl_segment *first = pl_container(h->segments.next, pl_segment, node);
  uint64_t at_us = first->at_us > not_before_us ? first->at_us : not_before_us;
  pl_agenda_set(&h->conn->net->agenda, &h->arrival, at_us, on_arrival);
}

static uint64_t arrival_time(pl_half *h, size_t len) {
  pl_net *n = h->conn->net;
  const pl_wire *p = h->path;
  uint64_t start_us = pl_net_now_us(n);
  if (h->free_us > start_us) start_us = h->free_us;
  if (p->bytes_per_s > 0) start_us += len * 1000000 / p->bytes_per_s;
  h->free_us = start_us;
  uint64_t at_us = start_us + p->latency_us;
  if (p->jitter_us > 0) at_us += pl_random_below(&n->random, p->jitter_us + 1);
  if (p->loss_ppm > 0 && pl_random_below(&n->random, 1000000) < p->loss_ppm) at_us += RESEND_US;
  if (!pl_list_empty(&h->segments)) {  // none overtakes another
    const pl_segment *last = pl_container(h->segments.prev, pl_segment, node);
    if (at_us < last->at_us) at_us = last->at_us;
  }
  return at_us;
}

void pl_conn_tell_reset(pl_conn *c, int side) {
  c->halves[1 - side].reset = true;
  pl_end_poke(c->ends[side]);
}

// The other kernel has forgotten the connection, and says so unless something swallows that.
static void unknown_to_receiver(pl_half *h, pl_segment_kind kind) {
  pl_conn *c = h->conn;
  bool asks = kind == PL_SEGMENT_DATA || kind == PL_SEGMENT_END;
  if (asks && !c->mute && pl_half_can_arrive(h)) pl_conn_tell_reset(c, side_of(h));
}

void pl_half_send(pl_half *h, pl_segment_kind kind, const uint8_t *data, size_t len) {
  if (h->conn->severed) {
    unknown_to_receiver(h, kind);
    return;
  }
  pl_segment *s = pl_alloc(sizeof *s + len);
  s->kind = kind;
  s->len = len;
  if (len > 0) memcpy(s->data, data, len);
  s->at_us = arrival_time(h, len);
  bool first = pl_list_empty(&h->segments);
  pl_list_push(&h->segments, &s->node);
  h->conn->net->segments++;
  if (first) pl_half_expect_first(h, 0);
}

// In pieces, cut anywhere.
static void send_data(pl_half *h, const uint8_t *data, size_t len) {
  pl_random *random = &h->conn->net->random;
  while (len > 0) {
    size_t n = len < SEGMENT_MAX ? len : SEGMENT_MAX;
    if (pl_random_below(random, 4) == 0) n = 1 + pl_random_below(random, n);
    pl_half_send(h, PL_SEGMENT_DATA, data, n);
    data += n;
    len -= n;
  }
}

static size_t room_of(const pl_half *h) {
  size_t held = h->flying + pl_buf_len(&h->arrived);
  return held < WINDOW ? WINDOW - held : 0;
}

static void sim_flush(pl_link *l) {
  pl_end *e = of_link(l);
  if (e->conn == NULL) {
    pl_link_wrote(l, l->out.bytes);  // of a killed process: nobody sees it
    return;
  }
  pl_half *h = &e->conn->halves[e->side];
  uint8_t chunk[16 * 1024];
  for (size_t n; l->out.bytes > 0 && (n = room_of(h)) > 0;) {
    if (n > sizeof chunk) n = sizeof chunk;
    n = pl_outq_copy(&l->out, chunk, n);
    h->flying += n;
    pl_tap *tap = e->side == 0 ? e->conn->net->tap : NULL;
    if (tap != NULL) tap->heard(tap, e->conn->number, e->conn->sites[1], chunk, n);
    pl_buf *instead = pl_saboteur_pass(&h->saboteur, e->conn->net, chunk, n);
    if (instead == NULL) {
      send_data(h, chunk, n);
    } else {
      send_data(h, pl_buf_data(instead), pl_buf_len(instead));
      h->flying += pl_buf_len(instead) - n;
      pl_buf_clear(instead);
    }
    pl_link_wrote(l, n);
  }
}

static void sim_finish(pl_link *l) {
  pl_end *e = of_link(l);
  if (e->conn != NULL) pl_half_send(&e->conn->halves[e->side], PL_SEGMENT_END, NULL, 0);
}

static void sim_start(pl_link *l) {
  pl_end_poke(of_link(l));
}

// Ends of connections.

pl_conn *pl_conn_new(pl_site *from, pl_sim_name *to) {
  pl_net *n = from->net;
  pl_conn *c = pl_new(pl_conn);
  c->net = n;
  c->name = to;
  c->sites[0] = from;
  c->sites[1] = to != NULL ? to->site : NULL;
  for (int i = 0; i < 2; i++) {
    pl_half *h = &c->halves[i];
    h->conn = c;
    pl_list_init(&h->segments);
    h->path = to == NULL ? &n->common : pl_net_path(n, c->sites[i], c->sites[1 - i]);
  }
  pl_list_init(&c->in_backlog);
  pl_list_push(&n->conns, &c->node);
  c->number = n->connections++;
  return c;
}

static void conn_free(pl_conn *c) {
  for (int i = 0; i < 2; i++) {
    pl_half_drop_segments(&c->halves[i]);
    pl_buf_fini(&c->halves[i].arrived);
    pl_saboteur_fini(&c->halves[i].saboteur);
  }
  pl_list_remove(&c->node);
  pl_list_remove(&c->in_backlog);
  pl_free(c);
}

void pl_conn_free_unused(pl_conn *c) {
  if (c->ends[0] == NULL && c->ends[1] == NULL && !c->pending) conn_free(c);
}

// The process has closed it.
static void detach(pl_end *e, bool reset) {
  pl_conn *c = e->conn;
  if (c == NULL) return;
  pl_half *out = &c->halves[e->side];
  bool unread = pl_buf_len(&c->halves[1 - e->side].arrived) > 0;
  if (reset || unread)
    pl_half_send(out, PL_SEGMENT_RESET, NULL, 0);
  else if (!e->link.finished)
    pl_half_send(out, PL_SEGMENT_END, NULL, 0);
  e->conn = NULL;
  c->ends[e->side] = NULL;
  pl_conn_free_unused(c);
}

static void sim_stop(pl_link *l, bool reset) {
  pl_end *e = of_link(l);
  pl_work_cancel(&e->io_work);
  detach(e, reset);
  pl_link_stopped_later(l);
}

static const pl_link_type sim_type = {
    .scheme = "mem",
    .start = sim_start,
    .flush = sim_flush,
    .finish = sim_finish,
    .stop = sim_stop,
};

pl_end *pl_end_new(pl_site *site, pl_link_state state, pl_conn *c, int side) {
  pl_end *e = pl_new(pl_end);
  pl_link_init(&e->link, &sim_type, site->loop, state);
  e->site = site;
  e->conn = c;
  e->side = side;
  if (c != NULL) c->ends[side] = e;
  return e;
}

// Arriving.

void pl_half_acknowledge(pl_half *h, size_t len) {
  pl_conn *c = h->conn;
  int from = side_of(h);
  if (c->halves[1 - from].path->down) {
    h->unacked += len;
    return;
  }
  assert(h->flying >= len);
  h->flying -= len;
  pl_end *e = c->ends[from];
  if (e != NULL && e->link.out.bytes > 0) pl_end_poke(e);
}

static void data_arrived(pl_half *h, int to, const pl_segment *s) {
  pl_conn *c = h->conn;
  if (c->ends[to] == NULL && !c->pending) {  // it was closed there
    pl_half_send(&c->halves[to], PL_SEGMENT_RESET, NULL, 0);
    return;
  }
  pl_buf_append(&h->arrived, s->data, s->len);
  pl_half_acknowledge(h, s->len);
  pl_end_poke(c->ends[to]);
}

static void receive(pl_half *h, int to, const pl_segment *s) {
  pl_conn *c = h->conn;
  pl_end *e = c->ends[to];
  switch (s->kind) {
    case PL_SEGMENT_OPEN: pl_conn_open_arrived(c); return;
    case PL_SEGMENT_ACCEPTED:
      if (e != NULL) e->accepted = true;
      break;
    case PL_SEGMENT_REFUSED:
      if (e != NULL) e->refused = true;
      break;
    case PL_SEGMENT_DATA: data_arrived(h, to, s); return;
    case PL_SEGMENT_END: h->ended = true; break;
    case PL_SEGMENT_RESET: h->reset = true; break;
  }
  pl_end_poke(e);
}

static void on_arrival(pl_event *event) {
  pl_half *h = pl_container(event, pl_half, arrival);
  int to = 1 - side_of(h);
  if (!pl_half_can_arrive(h)) {
    h->stalled = true;
    return;
  }
  pl_segment *s = pl_container(pl_list_pop(&h->segments), pl_segment, node);
  pl_half_expect_first(h, 0);
  receive(h, to, s);
  pl_free(s);
}

// What a process does with its end.

static void take_bytes(pl_end *e, pl_half *in) {
  size_t room;
  uint8_t *to = pl_link_room(&e->link, &room);
  if (to == NULL) {
    pl_link_abort(&e->link, PL_NO_MEMORY, "");
    return;
  }
  size_t n = pl_buf_len(&in->arrived);
  if (n > room) n = room;
  memcpy(to, pl_buf_data(&in->arrived), n);
  pl_buf_consume(&in->arrived, n);
  pl_end *sender = in->conn->ends[1 - e->side];
  if (sender != NULL && sender->link.out.bytes > 0) pl_end_poke(sender);
  pl_end_poke(e);  // for more, or for the end
  pl_link_received(&e->link, n);
}

static void run_connecting(pl_end *e) {
  if (e->refused || e->conn == NULL || e->conn->halves[1 - e->side].reset) {
    pl_link_end(&e->link, PL_CONNECT_FAILED, "connection refused");
  } else if (e->accepted) {
    pl_end_poke(e);
    pl_link_opened(&e->link);
  }
}

static void run_io(pl_work *w) {
  pl_end *e = pl_container(w, pl_end, io_work);
  pl_link *l = &e->link;
  if (l->state == PL_LINK_CONNECTING) {
    run_connecting(e);
    return;
  }
  if (e->conn == NULL) return;
  if (l->out.bytes > 0) pl_link_flush(l);
  if (!l->reading || l->state == PL_LINK_STOPPED) return;
  pl_half *in = &e->conn->halves[1 - e->side];
  if (pl_buf_len(&in->arrived) > 0)
    take_bytes(e, in);
  else if (in->reset)
    pl_link_end(l, PL_PEER_LOST, "connection reset by peer");
  else if (in->ended)
    pl_link_end(l, PL_OK, "");
}
