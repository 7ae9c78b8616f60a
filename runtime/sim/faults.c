// What goes wrong in a simulated network, and what becomes of it when that is over.

#include <assert.h>

#include "base/mem.h"
#include "sim/conn_impl.h"

enum { RESEND_US = 200 * 1000 };  // until a sender tries again

// What was held up comes when the sender tries again.
void pl_conns_resume(pl_net *n, const pl_wire *path, const pl_site *lit) {
  for (pl_list *at = n->conns.next; at != &n->conns; at = at->next) {
    pl_conn *c = pl_container(at, pl_conn, node);
    for (int i = 0; i < 2; i++) {
      pl_half *h = &c->halves[i];
      if (h->path != path && (lit == NULL || c->sites[1 - i] != lit)) continue;
      pl_half *other = &c->halves[1 - i];
      if (other->unacked > 0 && !h->path->down) {
        size_t len = other->unacked;
        other->unacked = 0;
        pl_half_acknowledge(other, len);
      }
      if (!h->stalled || !pl_half_can_arrive(h)) continue;
      h->stalled = false;
      pl_half_expect_first(h, pl_net_now_us(n) + pl_random_below(&n->random, RESEND_US));
    }
  }
}

// What waited for its turn on a narrow path has none any more.
void pl_conns_hurry(pl_net *n, const pl_wire *path) {
  uint64_t latest_us = pl_net_now_us(n) + path->latency_us;
  for (pl_list *at = n->conns.next; at != &n->conns; at = at->next) {
    pl_conn *c = pl_container(at, pl_conn, node);
    for (int i = 0; i < 2; i++) {
      pl_half *h = &c->halves[i];
      if (h->path != path) continue;
      h->free_us = 0;
      for (pl_list *s = h->segments.next; s != &h->segments; s = s->next) {
        pl_segment *segment = pl_container(s, pl_segment, node);
        if (segment->at_us > latest_us) segment->at_us = latest_us;
      }
      pl_half_expect_first(h, 0);
    }
  }
}

// Some of what is under way still arrives, up to any byte.
static void lose_rest(pl_half *h) {
  size_t keep = h->flying > 0 ? pl_random_below(&h->conn->net->random, h->flying + 1) : 0;
  for (pl_list *at; (at = pl_list_pop(&h->segments)) != NULL;) {
    pl_segment *s = pl_container(at, pl_segment, node);
    size_t n = s->kind != PL_SEGMENT_DATA ? 0 : s->len < keep ? s->len : keep;
    pl_buf_append(&h->arrived, s->data, n);
    keep -= n;
    pl_free(s);
  }
  pl_agenda_cancel(&h->conn->net->agenda, &h->arrival);
}

static void sever(pl_conn *c, bool told[2], bool mute) {
  for (int i = 0; i < 2; i++) {
    if (told[1 - i])
      lose_rest(&c->halves[i]);
    else
      pl_half_drop_segments(&c->halves[i]);
  }
  c->severed = true;
  c->mute = mute;
  for (int i = 0; i < 2; i++) {
    if (told[i]) pl_conn_tell_reset(c, i);
  }
}

unsigned pl_net_cut(pl_net *n, const pl_site *a, const pl_site *b, bool a_told, bool b_told,
                    bool mute) {
  unsigned cut = 0;
  for (pl_list *at = n->conns.next; at != &n->conns; at = at->next) {
    pl_conn *c = pl_container(at, pl_conn, node);
    bool forward = c->sites[0] == a && c->sites[1] == b;
    bool backward = c->sites[0] == b && c->sites[1] == a;
    if (c->severed || !(forward || backward)) continue;
    bool told[2] = {forward ? a_told : b_told, forward ? b_told : a_told};
    sever(c, told, mute);
    cut++;
  }
  return cut;
}

static void kill_end(pl_conn *c, int side, bool dark) {
  pl_end *e = c->ends[side];
  pl_half *out = &c->halves[side];
  if (dark) pl_half_drop_segments(out);
  bool unread = pl_buf_len(&c->halves[1 - side].arrived) > 0;
  if (!dark && !(e == NULL && !c->pending))
    pl_half_send(out, unread || c->pending ? PL_SEGMENT_RESET : PL_SEGMENT_END, NULL, 0);
  if (e != NULL) {
    e->conn = NULL;
    c->ends[side] = NULL;
    pl_end_poke(e);
  }
  if (side == 1 && c->pending) {
    pl_list_remove(&c->in_backlog);
    c->pending = false;
  }
}

void pl_conns_kill(pl_site *s, bool dark) {
  for (pl_list *at = s->net->conns.next, *next; at != &s->net->conns; at = next) {
    next = at->next;
    pl_conn *c = pl_container(at, pl_conn, node);
    for (int i = 0; i < 2; i++) {
      if (c->sites[i] == s) kill_end(c, i, dark);
    }
    pl_conn_free_unused(c);
  }
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&s->net->names, &at)) != NULL;) {
    pl_sim_name *n = e->value;
    if (n->site == s && n->listener != NULL) {
      pl_sim_listener *l = n->listener;
      l->name = NULL;
      pl_list_init(&l->backlog);
      n->listener = NULL;
    }
  }
}

void pl_conns_fini(pl_net *n) {
  assert(pl_list_empty(&n->conns));
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&n->names, &at)) != NULL;)
    pl_free(e->value);
  pl_map_fini(&n->names);
}
