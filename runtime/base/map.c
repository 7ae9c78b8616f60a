#include "base/map.h"

#include <assert.h>
#include <string.h>

#include "base/kernel.h"
#include "base/mem.h"
#include "base/random.h"

enum { PLACES_MIN = 8 };

static _Thread_local pl_random seeds;
static _Thread_local bool seeded;

void pl_map_reseed(uint64_t seed) {
  pl_random_seed(&seeds, seed);
  seeded = true;
}

static uint64_t new_seed(void) {
  pl_kernel *simulated = pl_kernel_current();
  if (simulated != NULL) return pl_random_u64(&simulated->secrets);
  if (!seeded) pl_map_reseed(pl_random_secret_u64());
  return pl_random_u64(&seeds);
}

// Both halves of the product depend on all bits of both factors.
static uint64_t fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Where a key goes cannot be foretold without the seed, and keys in a row are spread by every seed:
// a secret factor alone leaves them in long runs for one seed of some hundreds.
static uint64_t mix(uint64_t key, uint64_t seed) {
  return fold(fold(key ^ seed, 0x9e3779b97f4a7c15) ^ seed, 0xd6e8feb86659fd93);
}

static uint64_t word(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

// After wyhash, with factors that follow from the seed: a stranger who knew them could
// make a product zero, and with it forget all that came before.
static uint64_t hash_bytes(const uint8_t *at, size_t len, uint64_t seed) {
  uint64_t secret = mix(len, seed);
  uint64_t hash = seed ^ secret;
  size_t left = len;
  for (; left > 16; left -= 16, at += 16)
    hash = fold(word(at) ^ secret, word(at + 8) ^ hash);

  uint8_t tail[16] = {0};
  if (left > 0) memcpy(tail, at, left);
  return mix(fold(word(tail) ^ secret, word(tail + 8) ^ hash), secret);
}

// Where an entry is looked for first.
static size_t home(const pl_map *m, uint64_t key, bool bytes) {
  return (size_t)(bytes ? key : mix(key, m->seed)) & m->mask;
}

// Each finds the place of a key, or the empty one where it would go.

static pl_map_entry *probe(const pl_map *m, uint64_t key) {
  size_t at = home(m, key, false);
  while (m->entries[at].value != NULL && m->entries[at].key != key)
    at = (at + 1) & m->mask;
  assert(m->entries[at].bytes == NULL);
  return &m->entries[at];
}

// Ids and most names are compared here: a call would take longer.
static bool is_same(const uint8_t *a, const uint8_t *b, size_t len) {
  uint32_t first[2], last[2];
  if (len > 16) return memcmp(a, b, len) == 0;
  if (len == 0) return true;
  if (len < sizeof *first)
    return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
  if (len >= sizeof(uint64_t)) {
    size_t behind = len - sizeof(uint64_t);  // the words may overlap
    return ((word(a) ^ word(b)) | (word(a + behind) ^ word(b + behind))) == 0;
  }
  size_t behind = len - sizeof *last;
  memcpy(&first[0], a, sizeof *first);
  memcpy(&first[1], b, sizeof *first);
  memcpy(&last[0], a + behind, sizeof *last);
  memcpy(&last[1], b + behind, sizeof *last);
  return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
}

static bool has_key(const pl_map_entry *e, const void *bytes, size_t len) {
  return e->value != NULL && e->len == len && is_same(e->bytes, bytes, len);
}

static pl_map_entry *probe_bytes(const pl_map *m, uint64_t hash, const void *bytes, size_t len) {
  size_t at = home(m, hash, true);
  for (;; at = (at + 1) & m->mask) {
    pl_map_entry *e = &m->entries[at];
    if (e->value == NULL || (e->key == hash && has_key(e, bytes, len))) return e;
  }
}

static void resize(pl_map *m, size_t places) {
  pl_map_entry *old = m->entries;
  size_t old_places = old == NULL ? 0 : m->mask + 1;
  m->entries = pl_alloc(places * sizeof *m->entries);
  m->mask = places - 1;
  for (size_t i = 0; i < old_places; i++) {
    if (old[i].value == NULL) continue;
    size_t at = home(m, old[i].key, old[i].bytes != NULL);
    while (m->entries[at].value != NULL)
      at = (at + 1) & m->mask;
    m->entries[at] = old[i];
  }
  pl_free(old);
}

// Room for one more. At most half full: then the place of a key is mostly its first.
static void make_room(pl_map *m) {
  if (m->entries == NULL) {
    m->seed = new_seed();
    resize(m, PLACES_MIN);
  } else if (m->count > m->mask / 2) {
    resize(m, (m->mask + 1) * 2);
  }
}

// Fills a place; the value that was there is returned.
static void *put(pl_map *m, pl_map_entry *e, uint64_t key, void *value) {
  void *old = e->value;
  e->value = value;
  if (old != NULL) return old;
  e->key = key;
  m->count++;
  return NULL;
}

// Entries after the gap that may move into it do, so that no search stops at it too early
// and none has to pass the remains of what was removed.
static void close_gap(pl_map *m, size_t gap) {
  for (size_t at = (gap + 1) & m->mask; m->entries[at].value != NULL; at = (at + 1) & m->mask) {
    const pl_map_entry *e = &m->entries[at];
    size_t distance = (at - home(m, e->key, e->bytes != NULL)) & m->mask;
    if (distance < ((at - gap) & m->mask)) continue;  // its home lies after the gap
    m->entries[gap] = *e;
    gap = at;
  }
  m->entries[gap] = (pl_map_entry){0};
}

static void *take(pl_map *m, pl_map_entry *e) {
  void *value = e->value;
  if (value == NULL) return NULL;
  if (e->bytes != NULL) pl_free(e->bytes);
  close_gap(m, (size_t)(e - m->entries));
  m->count--;
  return value;
}

void pl_map_fini(pl_map *m) {
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(m, &at)) != NULL;)
    pl_free(e->bytes);
  pl_free(m->entries);
  *m = (pl_map){0};
}

void *pl_map_find(const pl_map *m, uint64_t key) {
  return m->count == 0 ? NULL : probe(m, key)->value;
}

void *pl_map_put(pl_map *m, uint64_t key, void *value) {
  assert(value != NULL);
  make_room(m);
  return put(m, probe(m, key), key, value);
}

void *pl_map_remove(pl_map *m, uint64_t key) {
  return m->count == 0 ? NULL : take(m, probe(m, key));
}

// The place found last is tried first: names come in runs, and hashing one costs more than
// comparing it.
void *pl_map_find_bytes(pl_map *m, const void *key, size_t len) {
  if (m->count == 0) return NULL;
  pl_map_entry *e = &m->entries[m->last & m->mask];
  if (has_key(e, key, len)) return e->value;
  e = probe_bytes(m, hash_bytes(key, len, m->seed), key, len);
  if (e->value != NULL) m->last = (size_t)(e - m->entries);
  return e->value;
}

void *pl_map_put_bytes(pl_map *m, const void *key, size_t len, void *value) {
  assert(value != NULL);
  make_room(m);
  uint64_t hash = hash_bytes(key, len, m->seed);
  pl_map_entry *e = probe_bytes(m, hash, key, len);
  if (e->value == NULL) {
    e->bytes = pl_alloc(len);
    e->len = len;
    if (len > 0) memcpy(e->bytes, key, len);
  }
  return put(m, e, hash, value);
}

void *pl_map_remove_bytes(pl_map *m, const void *key, size_t len) {
  if (m->count == 0) return NULL;
  return take(m, probe_bytes(m, hash_bytes(key, len, m->seed), key, len));
}

pl_map_entry *pl_map_next(const pl_map *m, size_t *at) {
  if (m->entries == NULL) return NULL;
  while (*at <= m->mask) {
    pl_map_entry *e = &m->entries[(*at)++];
    if (e->value != NULL) return e;
  }
  return NULL;
}
