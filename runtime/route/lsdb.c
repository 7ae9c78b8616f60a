#include "route/lsdb.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "wire/msgpack.h"

pl_mesh_node *pl_lsdb_find(pl_lsdb *db, const pl_id *id) {
  return pl_map_find_bytes(&db->by_id, id->bytes, sizeof id->bytes);
}

uint32_t pl_lsdb_after(const pl_lsdb *db, const pl_id *id) {
  uint32_t low = 0, high = db->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (pl_id_compare(&db->sorted[middle]->id, id) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static void renumber(pl_lsdb *db, uint32_t from) {
  for (uint32_t i = from; i < db->count; i++)
    db->sorted[i]->place = i;
  db->generation++;
}

pl_mesh_node *pl_lsdb_add(pl_lsdb *db, const pl_id *id) {
  if (db->count == db->cap) {
    uint32_t cap = db->cap == 0 ? 16 : db->cap * 2;
    pl_mesh_node **sorted = pl_alloc(cap * sizeof *sorted);
    if (db->count > 0) memcpy(sorted, db->sorted, db->count * sizeof *sorted);
    pl_free(db->sorted);
    db->sorted = sorted;
    db->cap = cap;
  }
  pl_mesh_node *n = pl_new(pl_mesh_node);
  n->id = *id;
  uint32_t at = pl_lsdb_after(db, id);
  memmove(&db->sorted[at + 1], &db->sorted[at], (db->count - at) * sizeof *db->sorted);
  db->sorted[at] = n;
  db->count++;
  renumber(db, at);
  pl_map_put_bytes(&db->by_id, id->bytes, sizeof id->bytes, n);
  return n;
}

static void free_node(pl_mesh_node *n) {
  pl_items_fini(&n->items);
  pl_free(n->claims);
  pl_free(n);
}

void pl_lsdb_remove(pl_lsdb *db, pl_mesh_node *n) {
  assert(n->link == NULL);
  db->bytes -= n->items.bytes;
  pl_map_remove_bytes(&db->by_id, n->id.bytes, sizeof n->id.bytes);
  db->count--;
  memmove(&db->sorted[n->place], &db->sorted[n->place + 1],
          (db->count - n->place) * sizeof *db->sorted);
  renumber(db, n->place);
  free_node(n);
}

void pl_lsdb_fini(pl_lsdb *db) {
  for (uint32_t i = 0; i < db->count; i++)
    free_node(db->sorted[i]);
  pl_free(db->sorted);
  pl_map_fini(&db->by_id);
  *db = (pl_lsdb){0};
}

// Records.

static bool fits(const pl_lsdb *db, const pl_mesh_node *n, size_t bytes) {
  return bytes <= PL_RECORD_MAX && db->bytes - n->items.bytes + bytes <= PL_RECORDS_MAX;
}

static void drop_withdrawn(pl_items *changes) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < changes->count; i++) {
    pl_slice *s = changes->list[i];
    if (!pl_item_of(s)->withdrawn) {
      changes->list[kept++] = s;
      continue;
    }
    changes->bytes -= pl_item_bytes(s);
    pl_slice_drop(s);
  }
  changes->count = kept;
}

pl_err pl_record_replace(pl_lsdb *db, pl_mesh_node *n, pl_items *changes,
                         pl_items_changed_fn *changed, void *user) {
  drop_withdrawn(changes);
  if (!fits(db, n, changes->bytes)) return PL_BUSY;
  pl_items was = n->items;
  db->bytes += changes->bytes - was.bytes;
  n->items = *changes;
  *changes = (pl_items){0};
  pl_items_compare(&was, &n->items, changed, user);
  pl_items_fini(&was);
  return PL_OK;
}

pl_err pl_record_change(pl_lsdb *db, pl_mesh_node *n, pl_items *changes,
                        pl_items_changed_fn *changed, void *user) {
  if (!fits(db, n, n->items.bytes + changes->bytes)) return PL_BUSY;
  size_t before = n->items.bytes;
  for (uint32_t i = 0; i < changes->count; i++) {
    pl_slice *s = pl_slice_hold(changes->list[i]);
    if (!pl_item_of(s)->withdrawn) {
      pl_items_put(&n->items, s);
      changed(s, false, user);
      continue;
    }
    if (pl_items_remove(&n->items, pl_item_kind(s), pl_item_name(s))) changed(s, true, user);
    pl_slice_drop(s);
  }
  db->bytes += n->items.bytes - before;
  pl_items_fini(changes);
  return PL_OK;
}

void pl_record_clear(pl_lsdb *db, pl_mesh_node *n, pl_items_changed_fn *changed, void *user) {
  pl_items none = {0};
  pl_items was = n->items;
  db->bytes -= was.bytes;
  n->items = none;
  pl_items_compare(&was, &none, changed, user);
  pl_items_fini(&was);
}

// What an item says.

static bool is(pl_bytes b, const char *text, size_t len) {
  return b.len == len && memcmp(b.data, text, len) == 0;
}

// The value of one key of the attributes. False when it is not there, or what follows is broken.
static bool attribute(pl_bytes attributes, const char *key, pl_mp_token *out) {
  pl_mp_reader r = {attributes.data, attributes.data + attributes.len};
  pl_mp_token t;
  size_t len = strlen(key);
  if (attributes.len == 0 || pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_MAP) return false;
  for (uint32_t pairs = t.len; pairs > 0; pairs--) {
    if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_STR) return false;
    bool match = t.len == len && memcmp(t.data, key, len) == 0;
    if (match) return pl_mp_read(&r, out) == PL_OK;
    if (pl_mp_skip(&r, PL_DEPTH_MAX) != PL_OK) return false;
  }
  return false;
}

static uint32_t cost_of(pl_bytes attributes) {
  pl_mp_token t;
  if (!attribute(attributes, "cost", &t) || t.kind != PL_MP_INT || t.v.integer < 1) return 1;
  return t.v.integer < PL_LINK_COST_MAX ? (uint32_t)t.v.integer : PL_LINK_COST_MAX;
}

static bool relays(const pl_mesh_node *n) {
  pl_slice *s = pl_items_find(&n->items, pl_bytes_of("node", 4), pl_bytes_of("", 0));
  pl_mp_token t;
  if (s == NULL || !attribute(pl_item_attributes(s), "relay", &t)) return true;
  return t.kind != PL_MP_BOOL || t.v.boolean;
}

static uint32_t count_claims(const pl_items *items) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < items->count && count < PL_LINKS_PER_NODE; i++)
    count += is(pl_item_kind(items->list[i]), "link", 4);
  return count;
}

bool pl_record_read(pl_mesh_node *n) {
  bool was_relay = n->relays;
  n->relays = n->version > 0 && !n->gone && relays(n);
  uint32_t room = count_claims(&n->items), count = 0;
  pl_claim *claims = room > 0 ? pl_alloc(room * sizeof *claims) : NULL;
  for (uint32_t i = 0; i < n->items.count && count < room; i++) {
    pl_slice *s = n->items.list[i];
    pl_bytes name = pl_item_name(s);
    if (!is(pl_item_kind(s), "link", 4) || name.len != sizeof(pl_id)) continue;
    pl_claim *c = &claims[count++];
    memcpy(c->id.bytes, name.data, name.len);
    c->cost = cost_of(pl_item_attributes(s));
    c->place = UINT32_MAX;
  }
  bool same = was_relay == n->relays && count == n->claim_count;
  for (uint32_t i = 0; same && i < count; i++) {
    same = claims[i].cost == n->claims[i].cost && pl_id_equal(&claims[i].id, &n->claims[i].id);
  }
  pl_free(n->claims);
  n->claims = claims;
  n->claim_count = count;
  n->claims_generation = 0;
  return !same;
}

static uint64_t mix(uint64_t x) {  // the finish of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t pl_record_hash(const pl_mesh_node *n) {
  uint64_t halves[2];
  memcpy(halves, n->id.bytes, sizeof halves);
  return mix(halves[0] ^ mix(halves[1] ^ mix(n->epoch ^ mix(n->version))));
}
