// Hash maps from a 64-bit number, or from bytes, to a pointer. Seeded, so that a
// stranger cannot choose colliding keys. A map belongs to one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pl_map_entry {
  uint64_t key;    // number key, or hash of the bytes
  uint8_t *bytes;  // owned copy of a byte key, NULL for a number key
  size_t len;
  void *value;  // NULL marks an empty place
} pl_map_entry;

// Zeroed is a valid empty map; it allocates with the first entry.
typedef struct pl_map {
  pl_map_entry *entries;
  size_t count;
  size_t mask;  // places - 1, or 0 without entries
  size_t last;  // where a byte key was found last
  uint64_t seed;
} pl_map;

// Frees the places, not the values.
void pl_map_fini(pl_map *m);

// NULL when absent.
void *pl_map_find(const pl_map *m, uint64_t key);
// `value` is not NULL. An existing value is replaced and returned, else NULL.
void *pl_map_put(pl_map *m, uint64_t key, void *value);
// The value that was removed, NULL when absent.
void *pl_map_remove(pl_map *m, uint64_t key);

// The same with byte-string keys, which are copied. A map has keys of one kind.
void *pl_map_find_bytes(pl_map *m, const void *key, size_t len);
void *pl_map_put_bytes(pl_map *m, const void *key, size_t len, void *value);
void *pl_map_remove_bytes(pl_map *m, const void *key, size_t len);

// Walks all entries in no particular order: start with *at = 0; NULL ends. The map
// must not change during the walk.
pl_map_entry *pl_map_next(const pl_map *m, size_t *at);

// Spec only: the seeds of maps that this thread fills from now on, and with them the order
// of walks, follow from `seed`, so that a run in virtual time replays.
void pl_map_reseed(uint64_t seed);
