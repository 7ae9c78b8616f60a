// The record of this node, and when a change of it is told.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "route/route_impl.h"
#include "wire/msgpack.h"

enum {
  ITEM_MAX = PL_FRAGMENT_MAX - 256,  // one item must fit a frame
  ECHOES_MAX = 8,                    // from then on it is no lie, but one that was started at once
  RAISE_SPREAD = 1000000,            // a second
};

static pl_err make_item(pl_slice **out, const pl_msg_advert_item *item) {
  pl_buf one = {0}, array = {0};
  pl_err err = pl_msg_advert_item_encode(&one, item);
  if (err == PL_OK && pl_buf_len(&one) > ITEM_MAX) err = PL_TOO_LARGE;
  if (err == PL_OK)
    err = pl_msg_advert_items_wrap(&array, pl_bytes_of(pl_buf_data(&one), pl_buf_len(&one)), 1);
  if (err == PL_OK) {
    pl_msg_advert m = {.items = pl_bytes_of(pl_buf_data(&array), pl_buf_len(&array))};
    pl_msg_advert_item whole;
    size_t at = 0;
    bool valid = pl_msg_advert_next(&m, &at, &whole) == 1;
    *out = valid ? pl_item_new(&whole) : NULL;
    if (!valid) err = PL_INVALID;
    if (valid && *out == NULL) err = PL_NO_MEMORY;
  }
  pl_buf_fini(&one);
  pl_buf_fini(&array);
  return err;
}

// Telling.

static void tell(pl_router *r) {
  pl_mesh_node *self = r->self;
  bool all = r->whole_due || self->version == 0;
  if (self->connected) r->hash ^= pl_record_hash(self);
  pl_msg_advert head = {
      .version = self->version + 1,
      .base = all ? 0 : self->version,
      .snapshot = all,
      .origin = self->id,
      .epoch = self->epoch,
      .boot = self->boot,
      .over = self->over,
  };
  pl_news news = {0};
  pl_err err = pl_news_encode(&news, &head, &self->items, all, &r->withdrawn);
  self->version++;
  self->connected = true;
  r->hash ^= pl_record_hash(self);
  for (uint32_t i = 0; i < self->items.count; i++)
    pl_item_of(self->items.list[i])->fresh = false;
  pl_items_fini(&r->withdrawn);
  r->whole_due = false;
  // Versions that could not wait do not make the next one wait for longer than others.
  uint64_t now = pl_router_now(r), most = now + PL_RECORD_BURST * (uint64_t)PL_RECORD_PACE_US;
  r->paced_us = (r->paced_us > now ? r->paced_us : now) + PL_RECORD_PACE_US;
  if (r->paced_us > most) r->paced_us = most;
  if (pl_record_read(self)) pl_paths_changed(r, false);
  // Without memory the neighbours find the gap at the next change, or when they compare.
  if (err == PL_OK) pl_flood_add(r, NULL, self, &news);
}

static void run_tell(pl_work *w) {
  pl_router *r = pl_container(w, pl_router, tell);
  if (r->joined && !r->left) tell(r);
}

static void on_pace(pl_timer *t) {
  run_tell(&pl_container(t, pl_router, pace)->tell);
}

void pl_own_tell_now(pl_router *r) {
  pl_work_cancel(&r->tell);
  pl_timer_stop(&r->pace);
  run_tell(&r->tell);
}

// Tells it at once if fewer than `burst` versions went out just before.
static void tell_soon(pl_router *r, unsigned burst) {
  if (!r->joined || r->left || pl_timer_active(&r->pace)) return;
  uint64_t early = (burst - 1) * (uint64_t)PL_RECORD_PACE_US, now = pl_router_now(r);
  uint64_t due = r->paced_us < early ? 0 : r->paced_us - early;
  if (now >= due) {
    pl_loop_flush_later(r->config.loop, &r->tell, run_tell);
  } else {
    pl_timer_start(&r->config.loop->clock, &r->pace, due - now, on_pace);
  }
}

// Some at once, so that who comes just behind another finds the link to that one in the record.
void pl_own_changed(pl_router *r) {
  tell_soon(r, PL_RECORD_BURST);
}

void pl_own_surpassed(pl_router *r, uint64_t version) {
  r->self->version = version;
  // Even two that were started in the same moment have to part.
  if (++r->echoes > ECHOES_MAX) pl_own_raise(r, r->self->epoch);
  r->whole_due = true;
  tell_soon(r, 1);
}

void pl_own_raise(pl_router *r, uint64_t over) {
  pl_mesh_node *self = r->self;
  if (self->connected) r->hash ^= pl_record_hash(self);
  self->boot = r->config.epoch;
  self->over = over;
  // Two that surpass the same epoch do not take the same one.
  self->epoch = over + 1 + pl_random_below(&r->config.loop->random, RAISE_SPREAD);
  if (self->connected) r->hash ^= pl_record_hash(self);
  r->echoes = 0;
  r->whole_due = true;
  r->ops->on_raised(self->epoch, r->user);
  tell_soon(r, 1);
}

void pl_own_fini(pl_router *r) {
  pl_work_cancel(&r->tell);
  pl_timer_stop(&r->pace);
  pl_items_fini(&r->withdrawn);
}

// Items.

pl_err pl_router_set(pl_router *r, pl_bytes kind, pl_bytes name, pl_bytes attributes) {
  pl_msg_advert_item item = {.kind = kind, .name = name, .attributes = attributes};
  pl_slice *s;
  pl_err err = make_item(&s, &item);
  if (err != PL_OK) return err;
  pl_slice *old = pl_items_find(&r->self->items, kind, name);
  pl_bytes was = old != NULL ? pl_item_raw(old) : (pl_bytes){0}, is = pl_item_raw(s);
  bool same = was.len == is.len && memcmp(was.data, is.data, is.len) == 0;
  if (same || r->self->items.bytes + pl_item_bytes(s) > PL_RECORD_MAX) {
    pl_slice_drop(s);
    return same ? PL_OK : PL_BUSY;
  }
  pl_item_of(s)->fresh = true;
  pl_items_remove(&r->withdrawn, kind, name);
  r->db->bytes -= r->self->items.bytes;
  pl_items_put(&r->self->items, s);
  r->db->bytes += r->self->items.bytes;
  pl_own_changed(r);
  return PL_OK;
}

void pl_router_unset(pl_router *r, pl_bytes kind, pl_bytes name) {
  r->db->bytes -= r->self->items.bytes;
  bool there = pl_items_remove(&r->self->items, kind, name);
  r->db->bytes += r->self->items.bytes;
  if (!there) return;
  pl_msg_advert_item item = {.kind = kind, .name = name, .withdrawn = true};
  pl_slice *s;
  if (make_item(&s, &item) == PL_OK) {
    pl_items_put(&r->withdrawn, s);
  } else {
    r->whole_due = true;
  }
  pl_own_changed(r);
}

void pl_own_claim(pl_router *r, pl_router_link *l) {
  pl_bytes kind = pl_bytes_of("link", 4);
  pl_bytes name = pl_bytes_of(l->to->id.bytes, sizeof l->to->id.bytes);
  bool claim = l->full && l->synced;
  if (!claim) {
    if (l->claimed) pl_router_unset(r, kind, name);
    l->claimed = false;
    return;
  }
  uint8_t attributes[32], *p = attributes;
  p = pl_mp_put_map(p, 1);
  p = pl_mp_put_str(p, "cost", 4);
  p = pl_mp_put_int(p, l->shunned ? PL_LINK_COST_MAX : l->cost);
  l->claimed =
      pl_router_set(r, kind, name, pl_bytes_of(attributes, (size_t)(p - attributes))) == PL_OK;
}

// Life.

void pl_router_join(pl_router *r, bool relays) {
  if (r->joined) return;
  r->joined = true;
  r->self->relays = relays;
  // The neighbours pass on what this node knows of others only when they know it as a member.
  pl_own_tell_now(r);
  pl_flood_now(r);
  for (pl_list *at = r->links.next; at != &r->links; at = at->next)
    pl_digest_send(r, pl_container(at, pl_router_link, node), true);
  pl_paths_changed(r, true);
}

void pl_router_hurry(pl_router *r) {
  pl_own_tell_now(r);
  pl_flood_now(r);
}

void pl_router_leave(pl_router *r) {
  if (!r->joined || r->left) return;
  r->left = true;
  pl_own_fini(r);
  const pl_msg_advert head = {
      .version = ++r->self->version,
      .origin = r->self->id,
      .epoch = r->self->epoch,
      .gone = true,
      .boot = r->self->boot,
      .over = r->self->over,
  };
  const pl_items none = {0};
  pl_news news = {0};
  if (pl_news_encode(&news, &head, &none, true, NULL) == PL_OK)
    pl_flood_add(r, NULL, r->self, &news);
  pl_flood_now(r);
}
