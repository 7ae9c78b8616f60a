// Telling neighbours what this node provides, and hearing what they do.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "wire/msgpack.h"

static pl_bytes view(const pl_buf *b) {
  return pl_bytes_of(pl_buf_data(b), pl_buf_len(b));
}

static bool is(pl_bytes b, const char *text) {
  return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

// Telling.

static void send_items(pl_service *sv, pl_neighbour *n, pl_bytes items, uint32_t count,
                       bool snapshot, bool complete) {
  pl_buf wrapped = {0}, body = {0};
  pl_err err = pl_msg_advert_items_wrap(&wrapped, items, count);
  pl_msg_advert m = {.version = sv->advert_version,
                     .snapshot = snapshot,
                     .complete = complete,
                     .items = view(&wrapped)};
  if (err == PL_OK) err = pl_msg_advert_encode(&body, &m);
  if (err == PL_OK) {
    pl_session_send(n->channel->session, PL_FRAME_ADVERT, 0, 0, 0, view(&body));
  } else {
    pl_session_abort(n->channel->session, PL_NO_MEMORY, "no memory for an advert");
  }
  pl_buf_fini(&wrapped);
  pl_buf_fini(&body);
}

// What this node says of itself: attributes of the item of kind "node".
static pl_err put_self(pl_service *sv, pl_buf *items) {
  const pl_identity *self = sv->config.identity;
  uint8_t map[2 * PL_NAME_MAX + PL_REGION_MAX + 96], *p = map;
  uint32_t name_len = (uint32_t)strlen(self->name);
  const char *region = sv->config.region;
  p = pl_mp_put_map(p, 3U + (region != NULL) + (sv->load_told > 0));
  p = pl_mp_put_str(p, "role", 4);
  p = pl_mp_put_int(p, self->role);
  p = pl_mp_put_str(p, "name", 4);
  p = pl_mp_put_str(p, self->name, name_len);
  p = pl_mp_put_str(p, "draining", 8);
  p = pl_mp_put_bool(p, self->draining);
  if (region != NULL) {
    p = pl_mp_put_str(p, "region", 6);
    p = pl_mp_put_str(p, region, (uint32_t)strlen(region));
  }
  if (sv->load_told > 0) {
    p = pl_mp_put_str(p, "load", 4);
    p = pl_mp_put_uint(p, sv->load_told);
  }
  pl_msg_advert_item item = {.kind = pl_bytes_of("node", 4),
                             .name = pl_bytes_of("", 0),
                             .attributes = pl_bytes_of(map, (size_t)(p - map))};
  return pl_msg_advert_item_encode(items, &item);
}

enum { ADVERT_FRAME = PL_FRAGMENT_MAX - 64 };  // room for the map around the items

void pl_adverts_send_all(pl_service *sv, pl_neighbour *n) {
  pl_buf items = {0};
  uint32_t count = 1;
  bool snapshot = true;
  size_t at = 0;
  bool ok = put_self(sv, &items) == PL_OK;
  for (pl_map_entry *e; ok && (e = pl_map_next(&sv->actions, &at)) != NULL;) {
    const pl_action *a = e->value;
    if (a->name[0] == '_') continue;
    pl_offer *o = pl_directory_own(&sv->directory, &sv->local, pl_bytes_of(a->name, a->name_len));
    if (pl_buf_len(&items) + a->name_len + o->attributes.len + 32 > ADVERT_FRAME) {
      send_items(sv, n, view(&items), count, snapshot, false);
      pl_buf_clear(&items);
      snapshot = false;
      count = 0;
    }
    pl_msg_advert_item item = {.kind = pl_bytes_of("action", 6),
                               .name = pl_bytes_of(a->name, a->name_len),
                               .attributes = o->attributes};
    ok = pl_msg_advert_item_encode(&items, &item) == PL_OK;
    count++;
  }
  if (ok) {
    send_items(sv, n, view(&items), count, snapshot, true);
  } else {
    pl_session_abort(n->channel->session, PL_NO_MEMORY, "no memory for the directory");
  }
  pl_buf_fini(&items);
}

static void send_to_all(pl_service *sv, pl_bytes items) {
  sv->advert_version++;
  for (pl_list *at = sv->neighbours.next; at != &sv->neighbours; at = at->next) {
    pl_neighbour *n = pl_container(at, pl_neighbour, node);
    if (n->channel != NULL) send_items(sv, n, items, 1, false, true);
  }
}

void pl_adverts_send_change(pl_service *sv, pl_bytes kind, pl_bytes name, pl_bytes attributes,
                            bool withdrawn) {
  pl_buf items = {0};
  pl_msg_advert_item item = {
      .kind = kind, .name = name, .attributes = attributes, .withdrawn = withdrawn};
  if (pl_msg_advert_item_encode(&items, &item) == PL_OK) send_to_all(sv, view(&items));
  pl_buf_fini(&items);
}

void pl_service_announce(pl_service *sv) {
  pl_buf items = {0};
  if (put_self(sv, &items) == PL_OK) send_to_all(sv, view(&items));
  pl_buf_fini(&items);
}

// Hearing.

// The node's own attributes; what is missing or of another type stays as it was.
static void take_node(pl_provider *p, pl_bytes attributes) {
  pl_mp_reader r = {attributes.data, attributes.data + attributes.len};
  pl_mp_token t, v;
  uint32_t load = 0;
  if (attributes.len == 0 || pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_MAP) return;
  for (uint32_t pairs = t.len; pairs > 0; pairs--) {
    pl_mp_token key;
    if (pl_mp_read(&r, &key) != PL_OK || key.kind != PL_MP_STR) return;
    pl_mp_reader value = r;
    if (pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK || pl_mp_read(&value, &v) != PL_OK) return;
    pl_bytes k = pl_bytes_of(key.data, key.len);
    if (is(k, "role") && v.kind == PL_MP_INT) p->leaf = v.v.integer != 0;
    if (is(k, "draining") && v.kind == PL_MP_BOOL) p->draining = v.v.boolean;
    if (is(k, "name") && v.kind == PL_MP_STR && v.len <= PL_NAME_MAX)
      pl_provider_rename(p, (const char *)v.data, v.len);
    if (is(k, "region") && v.kind == PL_MP_STR) pl_provider_place(p, (const char *)v.data, v.len);
    if (is(k, "load") && v.kind == PL_MP_INT && v.v.integer > 0)
      load = v.v.integer < PL_LOAD_MAX ? (uint32_t)v.v.integer : PL_LOAD_MAX;
  }
  pl_node_tally_told(p->tally, load);
}

static pl_err take_item(pl_service *sv, pl_neighbour *n, const pl_msg_advert_item *item) {
  pl_provider *p = n->provider;
  if (is(item->kind, "node") && !item->withdrawn) {
    take_node(p, item->attributes);
    pl_peer_update(n->peer, p->name, p->leaf ? PL_ROLE_LEAF : PL_ROLE_NODE);
  } else if (is(item->kind, "action")) {
    if (item->withdrawn) {
      pl_directory_withdraw(&sv->directory, p, item->name);
    } else if (item->name.len > 0 && item->attributes.len <= PL_ADVERT_MAX) {
      pl_err err = pl_directory_offer(&sv->directory, p, item->name, item->attributes);
      // More actions than the bound are left out; the rest of the link is not at fault.
      return err == PL_BUSY ? PL_OK : err;
    }
  }
  return PL_OK;
}

pl_err pl_adverts_take(pl_service *sv, pl_neighbour *n, const pl_frame *f) {
  pl_msg_advert m;
  pl_err err = pl_msg_advert_decode(&m, f->body);
  if (err != PL_OK) return err;
  if (m.version < n->advert_version) return PL_OK;  // was on its way on a link since replaced
  n->advert_version = m.version;
  if (m.snapshot) {
    pl_directory_withdraw_all(&sv->directory, n->provider);
    n->complete = false;
  }
  pl_msg_advert_item item;
  size_t at = 0;
  int more;
  while ((more = pl_msg_advert_next(&m, &at, &item)) == 1) {
    if ((err = take_item(sv, n, &item)) != PL_OK) return err;
  }
  if (more < 0) return (pl_err)more;
  if (m.complete) n->complete = true;
  sv->config.on_change(sv->config.user);
  return PL_OK;
}
