// Comparing what two neighbours know.
//
// A digest lists the records of one end; the other sends what is missing or older in it, and says
// when that is all. Both ends send one when their link comes into use. Later only a hash is
// compared, so that a mesh at rest costs a link the same, however large it is.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"

enum { DIGEST_FRAME = PL_FRAGMENT_MAX - 96 };

void pl_route_send(pl_router *r, pl_router_link *l, const pl_msg_route *m) {
  pl_buf body = {0};
  if (pl_msg_route_encode(&body, m) == PL_OK) {
    pl_router_send(r, l, PL_FRAME_ROUTE, pl_bytes_of(pl_buf_data(&body), pl_buf_len(&body)));
  }
  pl_buf_fini(&body);
}

bool pl_record_is_told(const pl_router *r, const pl_mesh_node *n) {
  if (!r->joined || n->version == 0) return false;
  if (n == r->self) return !r->left;
  return r->self->relays && (n->connected || n->gone);
}

// The same for one neighbour that lacks it. What cannot be told yet follows when it can.
static bool tell_or_owe(const pl_router *r, pl_mesh_node *n) {
  if (pl_record_is_told(r, n)) return true;
  if (n != r->self && n->version > 0) n->owed = true;
  return false;
}

// Digests.

static void send_digest_frame(pl_router *r, pl_router_link *l, pl_msg_route *m, pl_buf *entries,
                              uint32_t count) {
  pl_buf wrapped = {0};
  if (pl_msg_route_wrap(&wrapped, pl_bytes_of(pl_buf_data(entries), pl_buf_len(entries)), count) ==
      PL_OK) {
    m->digest = pl_bytes_of(pl_buf_data(&wrapped), pl_buf_len(&wrapped));
    pl_route_send(r, l, m);
  }
  pl_buf_fini(&wrapped);
  pl_buf_clear(entries);
}

void pl_digest_send(pl_router *r, pl_router_link *l, bool answer) {
  pl_msg_route m = {0};
  pl_buf entries = {0};
  uint32_t count = 0;
  // A leaf has nothing to tell, whatever is missing here.
  for (uint32_t i = 0; l->full && i < r->db->count; i++) {
    const pl_mesh_node *n = r->db->sorted[i];
    if (n->version == 0 || (n == r->self && !pl_record_is_told(r, n))) continue;
    if (n == l->to && l->doubted) continue;
    const pl_msg_route_entry e = {.id = n->id, .epoch = n->epoch, .version = n->version};
    if (pl_buf_len(&entries) + PL_MSG_ROUTE_ENTRY_MAX > DIGEST_FRAME) {
      send_digest_frame(r, l, &m, &entries, count);
      count = 0;
      m.after = r->db->sorted[i - 1]->id;
    }
    if (pl_msg_route_entry_encode(&entries, &e) != PL_OK) break;
    count++;
  }
  m.last = true;
  m.answer = answer;
  send_digest_frame(r, l, &m, &entries, count);
  pl_buf_fini(&entries);
}

void pl_pull_send(pl_router *r, pl_router_link *l, const pl_id *id, pl_mesh_node *n) {
  uint64_t now = pl_router_now(r);
  if (n != NULL && n->asked_us != 0 && now - n->asked_us < PL_RECORD_ASK_US) return;
  if (n != NULL) n->asked_us = now;
  pl_buf ids = {0}, wrapped = {0};
  pl_err err = pl_msg_route_id_encode(&ids, id);
  if (err == PL_OK)
    err = pl_msg_route_wrap(&wrapped, pl_bytes_of(pl_buf_data(&ids), pl_buf_len(&ids)), 1);
  if (err == PL_OK) {
    const pl_msg_route m = {.pull = pl_bytes_of(pl_buf_data(&wrapped), pl_buf_len(&wrapped))};
    pl_route_send(r, l, &m);
  }
  pl_buf_fini(&ids);
  pl_buf_fini(&wrapped);
}

void pl_hash_send(pl_router *r, pl_router_link *l) {
  const pl_msg_route m = {.hash = r->hash != 0 ? r->hash : 1};
  pl_route_send(r, l, &m);
}

// Answers.

static void add_due(pl_router_link *l, const pl_mesh_node *n) {
  bool room = pl_buf_len(&l->due) < 2 * PL_NODES_MAX * sizeof n->id;
  if (room) pl_buf_append(&l->due, &n->id, sizeof n->id);
}

void pl_exchange_pump(pl_router *r, pl_router_link *l) {
  while (pl_buf_len(&l->due) > 0) {
    if (!r->ops->writable(l, r->user)) return;
    pl_id id;
    memcpy(&id, pl_buf_data(&l->due), sizeof id);
    pl_buf_consume(&l->due, sizeof id);
    pl_mesh_node *n = pl_lsdb_find(r->db, &id);
    if (n != NULL && tell_or_owe(r, n)) pl_record_send(r, l, n);
  }
  pl_buf_fini(&l->due);
  if (!l->synced_due) return;
  l->synced_due = false;
  const pl_msg_route m = {.synced = true};
  pl_route_send(r, l, &m);
}

static bool is_older(const pl_msg_route_entry *e, const pl_mesh_node *n) {
  return e->epoch != n->epoch ? e->epoch < n->epoch : e->version < n->version;
}

// What others know of this node cannot be later than what it told, so it is not true.
static void see_self(pl_router *r, const pl_msg_route_entry *e) {
  const pl_mesh_node *self = r->self;
  bool later = e->epoch == self->epoch && e->version > self->version;
  if (later && e->version <= PL_VERSION_MAX && r->joined && !r->left)
    pl_own_surpassed(r, e->version);
}

// What the digest lacks between its entry before and `e`, and `e` itself; NULL: to the end.
static uint32_t compare_up_to(pl_router *r, pl_router_link *l, uint32_t at,
                              const pl_msg_route_entry *e) {
  for (; at < r->db->count; at++) {
    pl_mesh_node *n = r->db->sorted[at];
    int order = e == NULL ? -1 : pl_id_compare(&n->id, &e->id);
    if (order > 0) return at;
    bool lacks = order < 0 ? !n->gone && n != l->to : is_older(e, n);
    if (lacks && n != r->self && tell_or_owe(r, n)) add_due(l, n);
    if (order == 0 && n == r->self) see_self(r, e);
    if (order == 0 && e->epoch < n->epoch) pl_rival_tell_of(r, l, n);
    // A leaf is not told what it would not believe, so it could not object.
    const pl_rival remembered = {.id = n->id, .epoch = order == 0 ? e->epoch : 0};
    if (!l->full && remembered.epoch > n->epoch) pl_rival_arrived(r, l, &remembered);
    if (order == 0) return at + 1;
  }
  return at;
}

static bool lists_self(const pl_router *r, const pl_msg_route *m) {
  pl_msg_route_entry e;
  size_t at = 0;
  while (pl_msg_route_next_entry(m->digest, &at, &e) == 1) {
    if (pl_id_equal(&e.id, &r->self->id))
      return e.epoch == r->self->epoch && e.version == r->self->version;
  }
  return false;
}

static void compare(pl_router *r, pl_router_link *l, const pl_msg_route *m) {
  if (r->dirty) pl_paths_compute(r);  // what is told depends on what is connected
  // The own record first: of a node that is no member yet others do not take what it tells.
  bool begins = pl_id_is_zero(&m->after);
  if (begins && pl_record_is_told(r, r->self) && !lists_self(r, m)) add_due(l, r->self);
  pl_msg_route_entry e;
  uint32_t place = pl_lsdb_after(r->db, &m->after);
  for (size_t at = 0; pl_msg_route_next_entry(m->digest, &at, &e) == 1;)
    place = compare_up_to(r, l, place, &e);
  if (m->last) {
    compare_up_to(r, l, place, NULL);
    l->answered = true;
    l->synced_due = true;
    if (m->answer) pl_digest_send(r, l, false);
  }
  pl_exchange_pump(r, l);
}

static void answer_pull(pl_router *r, pl_router_link *l, pl_bytes pull) {
  pl_id id;
  for (size_t at = 0; pl_msg_route_next_id(pull, &at, &id) == 1;) {
    pl_mesh_node *n = pl_lsdb_find(r->db, &id);
    if (n != NULL && tell_or_owe(r, n)) add_due(l, n);
  }
  pl_exchange_pump(r, l);
}

static void on_hash(pl_router *r, pl_router_link *l, uint64_t hash) {
  if (r->dirty) pl_paths_compute(r);
  if (hash == (r->hash != 0 ? r->hash : 1)) return;
  r->config.loop->metrics.databases_differed++;
  pl_digest_send(r, l, true);
}

// It told all that it knows, and no record of its own: it is a leaf indeed.
static void settle_doubt(pl_router *r, pl_router_link *l) {
  if (!l->doubted) return;
  l->doubted = l->full = false;
  pl_record_forget(r, l->to);
  l->to->epoch = l->epoch;
}

static void on_synced(pl_router *r, pl_router_link *l) {
  settle_doubt(r, l);
  if (l->synced) return;
  l->synced = true;
  pl_link_measure(r, l);
  pl_own_claim(r, l);
  pl_paths_changed(r, true);  // who waits for this wants to know of the paths, too
}

pl_err pl_route_arrived(pl_router *r, pl_router_link *l, const pl_frame *f) {
  pl_msg_route m;
  pl_err err = pl_msg_route_decode(&m, f->body);
  if (err != PL_OK) return err;
  r->config.loop->metrics.adverts_received++;
  if (m.digest.len > 0) compare(r, l, &m);
  if (m.pull.len > 0) answer_pull(r, l, m.pull);
  if (m.hash != 0 && r->joined && r->self->relays) on_hash(r, l, m.hash);
  if (m.synced) on_synced(r, l);
  const pl_rival rival = {.id = m.rival, .epoch = m.epoch, .boot = m.boot, .over = m.over};
  if (!pl_id_is_zero(&m.rival)) pl_rival_arrived(r, l, &rival);
  return PL_OK;
}
