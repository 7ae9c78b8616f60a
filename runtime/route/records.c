// Records that arrive: which are taken, and passed on.
//
// Of two records of a node the one with the greater (epoch, version) is the later, so it does not
// matter in which order, how often or over which way they come. A change names the version it
// builds on; where that is missing, the whole record is asked for.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"

enum {
  FRAME_ITEMS = PL_FRAGMENT_MAX - 96,  // room for the map around the items
  FRAME_COST = 64,                     // what a frame takes beside its bytes
};

static pl_bytes view(const pl_buf *b) {
  return pl_bytes_of(pl_buf_data(b), pl_buf_len(b));
}

// News.

void pl_news_fini(pl_news *news) {
  for (uint32_t i = 0; i < news->count; i++)
    pl_slice_drop(news->frames[i]);
  pl_free(news->frames);
  *news = (pl_news){0};
}

static pl_err push_frame(pl_news *news, pl_bytes body) {
  pl_slice *s = pl_slice_copy(body.data, body.len);
  if (s == NULL) return PL_NO_MEMORY;
  if ((news->count & (news->count - 1)) == 0) {  // full at each power of two
    uint32_t cap = news->count == 0 ? 1 : news->count * 2;
    pl_slice **frames = pl_alloc(cap * sizeof *frames);
    if (news->count > 0) memcpy(frames, news->frames, news->count * sizeof *frames);
    pl_free(news->frames);
    news->frames = frames;
  }
  news->frames[news->count++] = s;
  news->bytes += body.len + FRAME_COST;
  return PL_OK;
}

typedef struct writer {
  pl_news *news;
  pl_msg_advert head;
  pl_buf items;
  uint32_t count;
} writer;

static pl_err end_frame(writer *w, bool complete) {
  pl_buf wrapped = {0}, body = {0};
  w->head.complete = complete;
  pl_err err = pl_msg_advert_items_wrap(&wrapped, view(&w->items), w->count);
  w->head.items = view(&wrapped);
  if (err == PL_OK) err = pl_msg_advert_encode(&body, &w->head);
  if (err == PL_OK) err = push_frame(w->news, view(&body));
  pl_buf_fini(&wrapped);
  pl_buf_fini(&body);
  pl_buf_clear(&w->items);
  w->count = 0;
  w->head.snapshot = false;  // only its first part says so
  return err;
}

static pl_err put_item(writer *w, pl_bytes raw) {
  if (pl_buf_len(&w->items) + raw.len > FRAME_ITEMS) {
    pl_err err = end_frame(w, false);
    if (err != PL_OK) return err;
  }
  w->count++;
  return pl_buf_append(&w->items, raw.data, raw.len) ? PL_OK : PL_NO_MEMORY;
}

pl_err pl_news_encode(pl_news *news, const pl_msg_advert *head, const pl_items *set, bool all,
                      const pl_items *withdrawn) {
  writer w = {.news = news, .head = *head};
  pl_err err = PL_OK;
  for (uint32_t i = 0; err == PL_OK && i < set->count; i++) {
    if (all || pl_item_of(set->list[i])->fresh) err = put_item(&w, pl_item_raw(set->list[i]));
  }
  for (uint32_t i = 0; err == PL_OK && withdrawn != NULL && i < withdrawn->count; i++)
    err = put_item(&w, pl_item_raw(withdrawn->list[i]));
  if (err == PL_OK) err = end_frame(&w, true);
  pl_buf_fini(&w.items);
  if (err != PL_OK) pl_news_fini(news);
  return err;
}

static void send_news(pl_router *r, pl_router_link *l, const pl_news *news) {
  for (uint32_t i = 0; i < news->count; i++) {
    pl_slice *s = news->frames[i];
    pl_bytes body = {.data = s->data, .len = s->len, .owner = s};
    pl_router_send(r, l, PL_FRAME_ADVERT, body);
  }
}

static pl_err encode_whole(pl_news *news, const pl_mesh_node *n) {
  const pl_msg_advert head = {
      .version = n->version,
      .snapshot = true,
      .origin = n->id,
      .epoch = n->epoch,
      .gone = n->gone,
      .boot = n->boot,
      .over = n->over,
  };
  return pl_news_encode(news, &head, &n->items, true, NULL);
}

void pl_record_send(pl_router *r, pl_router_link *l, pl_mesh_node *n) {
  pl_news news = {0};
  // Without memory the neighbour lacks it until the databases are compared again.
  if (encode_whole(&news, n) == PL_OK) send_news(r, l, &news);
  pl_news_fini(&news);
}

// Passing on.

static bool has_it(const pl_flood *f, const pl_router_link *l) {
  for (unsigned i = 0; i < f->except_count; i++) {
    if (f->except[i] == l) return true;
  }
  return false;
}

void pl_flood_now(pl_router *r) {
  pl_work_cancel(&r->flush);
  for (pl_list *at; (at = pl_list_pop(&r->floods)) != NULL;) {
    pl_flood *f = pl_container(at, pl_flood, node);
    for (pl_list *n = r->links.next; n != &r->links; n = n->next) {
      pl_router_link *l = pl_container(n, pl_router_link, node);
      if (l->answered && !has_it(f, l)) send_news(r, l, &f->news);
    }
    pl_news_fini(&f->news);
    pl_free(f);
  }
}

static void run_flush(pl_work *w) {
  pl_flood_now(pl_container(w, pl_router, flush));
}

void pl_flood_add(pl_router *r, pl_router_link *from, const pl_mesh_node *n, pl_news *news) {
  pl_flood *f = pl_new(pl_flood);
  f->origin = n->id;
  f->epoch = n->epoch;
  f->version = n->version;
  f->news = *news;
  *news = (pl_news){0};
  if (from != NULL) f->except[f->except_count++] = from;
  pl_list_push(&r->floods, &f->node);
  pl_loop_flush_later(r->config.loop, &r->flush, run_flush);
}

void pl_record_flood(pl_router *r, const pl_mesh_node *n) {
  pl_news news = {0};
  if (encode_whole(&news, n) == PL_OK) pl_flood_add(r, NULL, n, &news);
}

// `l` told what is about to be passed on: it need not hear it.
static void note_duplicate(pl_router *r, pl_router_link *l, const pl_msg_advert *m) {
  r->config.loop->metrics.adverts_old++;
  for (pl_list *at = r->floods.next; at != &r->floods; at = at->next) {
    pl_flood *f = pl_container(at, pl_flood, node);
    if (!pl_id_equal(&f->origin, &m->origin) || f->epoch != m->epoch || f->version != m->version)
      continue;
    if (f->except_count < sizeof f->except / sizeof *f->except) f->except[f->except_count++] = l;
    return;
  }
}

void pl_flood_forget(pl_router *r, const pl_router_link *l) {
  for (pl_list *at = r->floods.next; at != &r->floods; at = at->next) {
    pl_flood *f = pl_container(at, pl_flood, node);
    for (unsigned i = 0; i < f->except_count; i++) {
      if (f->except[i] == l) f->except[i] = NULL;
    }
  }
}

// Taking.

void pl_arriving_drop(pl_router *r, pl_router_link *l) {
  r->arriving_bytes -= l->in.items.bytes + l->in.news.bytes;
  pl_items_fini(&l->in.items);
  pl_news_fini(&l->in.news);
  l->in = (pl_arriving){0};
}

static void refuse(pl_router *r, const pl_msg_advert *m, unsigned warning, const char *why) {
  r->config.loop->metrics.adverts_refused++;
  if (r->warned & warning) return;
  r->warned |= warning;
  char id[PL_ID_HEX];
  pl_id_format(&m->origin, id);
  pl_log_warn(r->config.loop->log, why, pl_f_text("node", id),
              pl_f_int("known", (int64_t)r->db->count));
}

// Whether that neighbour may tell of that node: a leaf, or one that does not relay, only of itself,
// and of this node, which knows better.
static bool may_tell(const pl_router_link *l, const pl_msg_advert *m) {
  bool sane = m->version > 0 && m->version <= PL_VERSION_MAX && m->epoch >> PL_EPOCH_BITS == 0;
  return sane && (l->to->relays || pl_id_equal(&m->origin, &l->to->id) ||
                  pl_id_equal(&m->origin, &l->router->self->id));
}

// A neighbour that joined as a leaf tells itself when it is one no more: others may only be right.
static bool is_hearsay(const pl_router_link *l, const pl_mesh_node *n) {
  return n->link != NULL && n->link != l && !n->link->full;
}

static pl_rival rival_of(const pl_msg_advert *m) {
  return (pl_rival){.id = m->origin, .epoch = m->epoch, .boot = m->boot, .over = m->over};
}

static void hear_of_self(pl_router *r, const pl_msg_advert *m) {
  pl_rival v = rival_of(m);
  bool own = m->epoch == r->self->epoch && m->boot == r->self->boot;
  if (!own) {
    pl_rival_heard(r, &v);
  } else if (m->version > r->self->version) {
    pl_own_surpassed(r, m->version);
  }
}

// It tells what was so before another start of the node: it learns what it missed.
static void hear_old(pl_router *r, pl_router_link *l, const pl_mesh_node *n,
                     const pl_msg_advert *m) {
  if (m->epoch < n->epoch) pl_rival_tell_of(r, l, n);
  note_duplicate(r, l, m);
}

static void take_gone(pl_router *r, pl_mesh_node *n) {
  pl_item_news news = {r, n};
  pl_record_clear(r->db, n, pl_paths_item, &news);
  n->gone = true;
}

static pl_err take_items(pl_router *r, pl_mesh_node *n, pl_arriving *in) {
  pl_item_news news = {r, n};
  if (!in->snapshot) return pl_record_change(r->db, n, &in->items, pl_paths_item, &news);
  pl_items_order(&in->items);
  pl_err err = pl_record_replace(r->db, n, &in->items, pl_paths_item, &news);
  if (err == PL_OK) n->gone = false;
  return err;
}

// The node has another record: what follows from it here.
static void adopt(pl_router *r, pl_mesh_node *n, const pl_msg_advert *m, bool was_hashed,
                  uint64_t was_hash) {
  n->epoch = m->epoch;
  n->version = m->version;
  n->boot = m->boot;
  n->over = m->over;
  if (was_hashed) r->hash ^= was_hash;
  if (was_hashed && !n->gone) r->hash ^= pl_record_hash(n);
  if (n->link != NULL) {
    n->link->full = !n->gone;
    pl_own_claim(r, n->link);
  }
  if (pl_record_read(n) || !n->connected || n->gone) pl_paths_changed(r, false);
  pl_paths_news(r);
}

// The node to whose record `in` belongs, if it can be taken.
static pl_mesh_node *target(pl_router *r, pl_router_link *l, const pl_msg_advert *m) {
  const pl_arriving *in = &l->in;
  pl_mesh_node *n = pl_lsdb_find(r->db, &m->origin);
  if (n != NULL && !pl_record_is_newer(n, m->epoch, m->version)) return NULL;
  bool builds = n != NULL && n->epoch == m->epoch && n->version >= in->base && n->version > 0 &&
                in->base > 0 && !n->gone;
  if (m->gone) return n;  // who was never heard of cannot leave
  if (!in->snapshot && !builds) {
    pl_pull_send(r, l, &m->origin, n);
    return NULL;
  }
  if (n == NULL && r->db->count >= PL_NODES_MAX) {
    refuse(r, m, PL_WARN_FULL, "the mesh has more nodes than this one keeps");
    return NULL;
  }
  return n != NULL ? n : pl_lsdb_add(r->db, &m->origin);
}

// All parts are here.
static void take(pl_router *r, pl_router_link *l, const pl_msg_advert *m) {
  pl_arriving *in = &l->in;
  pl_mesh_node *n = target(r, l, m);
  if (n == NULL) return;
  bool hashed = pl_record_is_told(r, n) && !n->gone;
  uint64_t hash = pl_record_hash(n);
  pl_err err = PL_OK;
  r->arriving_bytes -= in->items.bytes;
  if (m->gone) {
    take_gone(r, n);
  } else {
    err = take_items(r, n, in);
  }
  r->arriving_bytes += in->items.bytes;
  if (err != PL_OK) {
    refuse(r, m, PL_WARN_FULL, "the records of the mesh are larger than this node keeps");
    pl_paths_changed(r, false);  // forgets the node if nothing is known of it
    return;
  }
  adopt(r, n, m, hashed, hash);
  if (r->left) return;
  if (r->joined && r->self->relays) {
    r->arriving_bytes -= in->news.bytes;
    pl_flood_add(r, l, n, &in->news);
  } else if (n->link != NULL && n->link != l) {
    send_news(r, n->link, &in->news);  // to whom it is of, and who sees whether it is true
  }
}

static bool continues(const pl_arriving *in, const pl_msg_advert *m) {
  return in->active && !m->snapshot && pl_id_equal(&in->origin, &m->origin) &&
         in->epoch == m->epoch && in->version == m->version;
}

static pl_err collect(pl_router *r, pl_router_link *l, const pl_msg_advert *m, pl_bytes body) {
  pl_arriving *in = &l->in;
  size_t before = in->items.bytes + in->news.bytes;
  pl_err err = push_frame(&in->news, body);
  pl_msg_advert_item item;
  size_t at = 0;
  while (err == PL_OK && pl_msg_advert_next(m, &at, &item) == 1) {
    pl_slice *s = pl_item_new(&item);
    if (s == NULL) err = PL_NO_MEMORY;
    if (s != NULL) pl_items_push(&in->items, s);
  }
  r->arriving_bytes += in->items.bytes + in->news.bytes - before;
  bool fits = in->items.bytes <= PL_RECORD_MAX && r->arriving_bytes <= PL_RECORDS_PART;
  return err == PL_OK && !fits ? PL_BUSY : err;
}

// What a neighbour leaves out because it is evident here is not where the news are passed on.
static pl_err complete_head(const pl_router_link *l, pl_msg_advert *m, pl_bytes *body,
                            pl_buf *room) {
  bool complete = !pl_id_is_zero(&m->origin) && m->epoch != 0;
  if (pl_id_is_zero(&m->origin)) m->origin = l->to->id;
  if (m->epoch == 0) m->epoch = l->epoch;
  if (complete) return PL_OK;
  pl_err err = pl_msg_advert_encode(room, m);
  *body = view(room);
  return err == PL_OK && body->len > PL_FRAGMENT_MAX ? PL_TOO_LARGE : err;
}

static void begin(pl_router *r, pl_router_link *l, const pl_msg_advert *m) {
  pl_arriving_drop(r, l);
  l->in = (pl_arriving){
      .active = true,
      .origin = m->origin,
      .epoch = m->epoch,
      .version = m->version,
      .base = m->base,
      .snapshot = m->snapshot,
  };
}

// One part of a record, which is later than what is known of its node.
static void take_part(pl_router *r, pl_router_link *l, const pl_msg_advert *m, pl_bytes body) {
  if (!continues(&l->in, m)) begin(r, l, m);
  if (!l->in.skipped && collect(r, l, m, body) != PL_OK) {
    refuse(r, m, PL_WARN_FULL, "a record is larger than this node keeps");
    begin(r, l, m);
    l->in.skipped = true;
  }
  if (!m->complete) return;
  if (!l->in.skipped) take(r, l, m);
  pl_arriving_drop(r, l);
}

pl_err pl_record_arrived(pl_router *r, pl_router_link *l, const pl_frame *f) {
  pl_msg_advert m;
  pl_err err = pl_msg_advert_decode(&m, f->body);
  if (err != PL_OK) return err;
  r->config.loop->metrics.adverts_received++;
  pl_buf room = {0};
  pl_bytes body = f->body;
  err = complete_head(l, &m, &body, &room);
  pl_mesh_node *n = pl_lsdb_find(r->db, &m.origin);
  pl_rival v = rival_of(&m);
  if (n == l->to) l->doubted = false;
  if (err != PL_OK || !may_tell(l, &m)) {
    refuse(r, &m, PL_WARN_FOREIGN, "a neighbour told what it cannot know");
  } else if (n == r->self) {
    hear_of_self(r, &m);
  } else if (n != NULL && (is_hearsay(l, n) || (n->link != NULL && pl_rival_beside(r, l, n, &v)))) {
    r->config.loop->metrics.adverts_old++;
  } else if (n != NULL && !pl_record_is_newer(n, m.epoch, m.version)) {
    hear_old(r, l, n, &m);
  } else {
    take_part(r, l, &m, body);
  }
  pl_buf_fini(&room);
  return PL_OK;
}
