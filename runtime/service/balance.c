#include "service/balance.h"

#include <string.h>

static const char *const strategy_names[] = {[PL_STRATEGY_UNSET] = "",
#define X(name, text) [PL_STRATEGY_##name] = text,
                                             PL_STRATEGIES(X)
#undef X
};

pl_strategy pl_strategy_find(const char *name, size_t len) {
  size_t count = sizeof strategy_names / sizeof *strategy_names;
  for (size_t i = 1; i < count; i++) {
    if (strlen(strategy_names[i]) == len && memcmp(strategy_names[i], name, len) == 0)
      return (pl_strategy)i;
  }
  return PL_STRATEGY_UNSET;
}

const char *pl_strategy_name(pl_strategy strategy) {
  return strategy_names[strategy];
}

const char *pl_fitness_name(pl_fitness fitness) {
  switch (fitness) {
    case PL_FIT: return "fit";
    case PL_FULL: return "full";
    case PL_RESTING: return "resting";
    case PL_TRIED: return "tried";
    case PL_EJECTED: return "ejected";
    case PL_DRAINING_NOW: return "draining";
    case PL_UNREACHABLE: return "unreachable";
    case PL_REFUSED: return "refused";
    case PL_UNLISTED: return "unlisted";
  }
  return "?";
}

// Patterns.

bool pl_pattern_matches(pl_bytes pattern, const char *text, size_t len) {
  size_t p = 0, t = 0;
  size_t star = SIZE_MAX, from = 0;  // the last `*`, and where what follows it was tried last
  while (t < len) {
    if (p < pattern.len && pattern.data[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.len && pattern.data[p] == (uint8_t)text[t]) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.len && pattern.data[p] == '*')
    p++;
  return p == pattern.len;
}

static bool is_meant(pl_bytes pattern, const pl_candidate *c) {
  pl_id id;
  if (pattern.len == PL_ID_HEX - 1 && pl_id_parse(&id, (const char *)pattern.data, pattern.len))
    return pl_id_equal(&id, &c->id);
  return pl_pattern_matches(pattern, c->name, strlen(c->name));
}

// The rank of the first of `wanted` that is true of `c`; `count` when none is.
static unsigned group_of(const pl_policy *p, const pl_candidate *c) {
  unsigned i = 0;
  while (i < p->provider_count && !is_meant(p->providers[i], c))
    i++;
  return i;
}

static unsigned zone_of(const pl_policy *p, const pl_candidate *c) {
  unsigned i = 0;
  size_t len = p->region_count > 0 ? strlen(c->region) : 0;
  while (i < p->region_count &&
         (p->regions[i].len != len || memcmp(p->regions[i].data, c->region, len) != 0))
    i++;
  return i;
}

// Rating.

// But for its health.
static pl_fitness fitness_of_able(const pl_candidate *c) {
  if (c->tried) return PL_TRIED;
  if (c->resting) return PL_RESTING;
  return c->full ? PL_FULL : PL_FIT;
}

static pl_fitness fitness_of(const pl_policy *p, const pl_candidate *c) {
  if (p->provider_count > 0 && c->group == p->provider_count) return PL_UNLISTED;
  if (c->refused) return PL_REFUSED;
  if (c->unreachable) return PL_UNREACHABLE;
  if (c->draining) return PL_DRAINING_NOW;
  if (c->health == PL_HEALTH_EJECTED || c->probed) return PL_EJECTED;
  return fitness_of_able(c);
}

// At most half of those that could take the call are kept out of it for their health: when most
// seem ill, it is more likely this node that is. Those go back first that were ejected first.
static void limit_ejections(pl_candidate *c, size_t n, size_t ejected, size_t able) {
  for (; ejected > able / 2; ejected--) {
    pl_candidate *first = NULL;
    for (size_t i = 0; i < n; i++) {
      if (c[i].fitness != PL_EJECTED) continue;
      if (first == NULL || c[i].ejected_us < first->ejected_us) first = &c[i];
    }
    first->fitness = fitness_of_able(first);
  }
}

static void rate(const pl_policy *p, pl_candidate *c, size_t n) {
  size_t ejected = 0, able = 0;
  for (size_t i = 0; i < n; i++) {
    c[i].group = group_of(p, &c[i]);
    c[i].zone = zone_of(p, &c[i]);
    c[i].fitness = fitness_of(p, &c[i]);
    c[i].score = 0;
    ejected += c[i].fitness == PL_EJECTED;
    able += c[i].fitness < PL_DRAINING_NOW;
  }
  limit_ejections(c, n, ejected, able);
}

// Fitness before the order of providers before that of regions.
int pl_balance_compare(const pl_candidate *a, const pl_candidate *b) {
  if (a->fitness != b->fitness) return a->fitness < b->fitness ? -1 : 1;
  if (a->group != b->group) return a->group < b->group ? -1 : 1;
  if (a->zone != b->zone) return a->zone < b->zone ? -1 : 1;
  return 0;
}

// Scores.

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t pl_balance_hash(pl_bytes key) {
  uint64_t h = 0xcbf29ce484222325;  // FNV-1a
  for (size_t i = 0; i < key.len; i++)
    h = (h ^ key.data[i]) * 0x100000001b3;
  return mix(h);
}

// Rendezvous hashing: a provider that comes or goes moves no key between the others.
static uint64_t hash_score(const pl_id *id, uint64_t hash) {
  uint64_t halves[2];
  memcpy(halves, id->bytes, sizeof halves);
  return mix(mix(halves[0] ^ hash) ^ halves[1]);
}

uint64_t pl_balance_stride(uint32_t weight) {
  const uint64_t whole = 720720000;  // divided evenly by small weights
  return whole / (weight == 0 ? 1 : weight);
}

static uint64_t in_flight(const pl_candidate *c) {
  return (uint64_t)c->outstanding + c->load;
}

static uint64_t score_of(pl_strategy strategy, const pl_candidate *c, uint64_t hash) {
  switch (strategy) {
    case PL_STRATEGY_UNSET:
    case PL_STRATEGY_LEAST: return in_flight(c);
    case PL_STRATEGY_ROUND_ROBIN: return c->used;
    case PL_STRATEGY_RANDOM: return 0;
    case PL_STRATEGY_WEIGHTED: return c->pass;
    case PL_STRATEGY_P2C: {
      // Of one that was never called only the way is known, so it is tried soon.
      uint64_t us = c->latency_us > 0 ? c->latency_us : c->cost_us;
      return (in_flight(c) + 1) * (us > 0 ? us : 1);
    }
    case PL_STRATEGY_HASH: return hash_score(&c->id, hash);
    case PL_STRATEGY_LOCAL: return c->hops == 0 ? 0 : c->cost_us > 0 ? c->cost_us : 1;
  }
  return 0;
}

// Choosing among `peers`, those as good as `best`.

static size_t nth_peer(const pl_candidate *c, size_t n, const pl_candidate *best, uint64_t nth) {
  size_t i = 0;
  for (; i < n; i++) {
    if (pl_balance_compare(&c[i], best) == 0 && nth-- == 0) break;
  }
  return i;
}

// Below 0: `a` is the better one.
static int compare_scores(const pl_candidate *a, const pl_candidate *b) {
  if (a->score != b->score) return a->score < b->score ? -1 : 1;
  return a->used < b->used ? -1 : a->used > b->used;  // equals take turns
}

// Who never had a turn is drawn, or all who call for the first time would take the same one.
static size_t lowest(const pl_candidate *c, size_t n, const pl_candidate *best, pl_random *random) {
  size_t found = n, equals = 0;
  for (size_t i = 0; i < n; i++) {
    if (pl_balance_compare(&c[i], best) != 0) continue;
    int order = found == n ? -1 : compare_scores(&c[i], &c[found]);
    if (order > 0) continue;
    equals = order < 0 ? 1 : equals + 1;
    if (equals == 1 || pl_random_below(random, equals) == 0) found = i;
  }
  return found;
}

static size_t lower_of_two(const pl_candidate *c, size_t n, const pl_candidate *best, size_t peers,
                           pl_random *random) {
  if (peers == 1) return nth_peer(c, n, best, 0);
  uint64_t first = pl_random_below(random, peers);
  uint64_t second = pl_random_below(random, peers - 1);
  if (second >= first) second++;
  size_t a = nth_peer(c, n, best, first), b = nth_peer(c, n, best, second);
  return compare_scores(&c[b], &c[a]) < 0 ? b : a;
}

int pl_balance_choose(const pl_policy *p, pl_strategy strategy, pl_candidate *c, size_t n,
                      uint64_t hash, pl_random *random) {
  rate(p, c, n);
  const pl_candidate *best = NULL;
  for (size_t i = 0; i < n; i++) {
    if (c[i].fitness >= PL_DRAINING_NOW) continue;
    c[i].score = score_of(strategy, &c[i], hash);
    if (best == NULL || pl_balance_compare(&c[i], best) < 0) best = &c[i];
  }
  if (best == NULL) return -1;
  size_t peers = 0;
  for (size_t i = 0; i < n; i++)
    peers += pl_balance_compare(&c[i], best) == 0;
  if (strategy == PL_STRATEGY_RANDOM)
    return (int)nth_peer(c, n, best, pl_random_below(random, peers));
  if (strategy == PL_STRATEGY_P2C) return (int)lower_of_two(c, n, best, peers, random);
  return (int)lowest(c, n, best, random);
}
