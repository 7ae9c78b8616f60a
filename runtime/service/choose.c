#include "service/choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/admission.h"

enum { KEY_MAX = 4096 };  // bytes of long arguments that make the key

static const pl_policy no_policy;

static const pl_policy *policy_of(const pl_query *q) {
  return q->policy != NULL ? q->policy : &no_policy;
}

static bool is_among(const pl_id *id, const pl_id *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (pl_id_equal(id, &list[i])) return true;
  }
  return false;
}

// Candidates.

// What others have there. Of this node itself all is known.
static uint32_t load_of(const pl_service *sv, const pl_provider *p) {
  const pl_node_tally *t = p->tally;
  if (p != &sv->local) return t->load;
  return sv->requests > t->outstanding ? (uint32_t)(sv->requests - t->outstanding) : 0;
}

// Its link is away and may come back, and there is no other way: a call would wait.
static bool is_away(pl_service *sv, const pl_provider *p) {
  return p->channel != NULL && pl_channel_is_away(p->channel) &&
         pl_channel_is_away(pl_service_path_to(sv, p));
}

static bool is_taken(uint64_t in_use, uint64_t slots) {
  return slots > 0 && in_use >= slots;
}

// Of this node all is known, but for calls that are on their way.
static bool own_is_full(pl_service *sv, const pl_offer *o) {
  const pl_entry *e = o->entry;
  const pl_action *a = pl_action_find(sv, pl_bytes_of(e->name, e->name_len));
  return a != NULL && !pl_admission_has_slot(a);
}

// All slots there are taken, by calls from here or, of the node, by others that it told of.
static bool is_full(pl_service *sv, const pl_offer *o, uint64_t load) {
  const pl_provider *p = o->provider;
  if (p == &sv->local && own_is_full(sv, o)) return true;
  uint64_t of_action = o->tally != NULL ? o->tally->outstanding : 0;
  return is_taken(p->tally->outstanding + load, p->slots) || is_taken(of_action, o->slots);
}

// What the workers of a node provide, the node does.
static bool is_meant(const pl_provider *p, const pl_id *only) {
  return pl_id_equal(&p->id, only) || (p->is_worker && pl_id_equal(&p->worker_of, only));
}

static pl_candidate candidate_of(pl_service *sv, pl_entry *e, pl_offer *o, const pl_query *q) {
  const pl_provider *p = o->provider;
  pl_candidate c = {
      .id = p->id,
      .name = p->name,
      .region = p->region != NULL ? p->region : "",
      .owner = o,
      .cost_us = p->cost,
      .pass = e->pass,
      .outstanding = p->tally->outstanding,
      .load = load_of(sv, p),
      .weight = o->weight,
      .hops = p->hops,
      .full = is_full(sv, o, load_of(sv, p)),
      .resting = is_away(sv, p),
      .draining = p->draining,
      .unreachable = !p->reachable,
      .refused = is_among(&p->id, q->refused, q->refused_count),
      .tried = is_among(&p->id, q->tried, q->tried_count),
  };
  const pl_tally *t = o->tally;
  if (t == NULL) return c;
  uint64_t now_us = pl_now_us(sv->loop);
  c.latency_us = t->latency_us;
  c.used = t->used;
  if (t->pass > c.pass) c.pass = t->pass;
  c.health = pl_health_now(&t->health, now_us);
  c.ejected_us = t->health.until_us;
  c.probed = c.health == PL_HEALTH_PROBING && t->health.probe;
  c.resting |= pl_health_rests(&t->health, now_us);
  return c;
}

// Fills the scratch with those that provide the action; SIZE_MAX without memory.
static size_t gather(pl_service *sv, pl_entry *e, const pl_query *q) {
  if (e->count > sv->candidate_cap) {
    pl_candidate *more = pl_try_realloc(sv->candidates, e->count * 2 * sizeof *more);
    if (more == NULL) return SIZE_MAX;
    sv->candidates = more;
    sv->candidate_cap = e->count * 2;
  }
  size_t n = 0;
  for (pl_offer *o = pl_entry_first(e); o != NULL; o = pl_entry_next(e, o)) {
    if (q->only == NULL || is_meant(o->provider, q->only))
      sv->candidates[n++] = candidate_of(sv, e, o, q);
  }
  return n;
}

// Whose word counts: of the caller, of the action (where providers differ, that of the smallest
// id), of this node.
static pl_strategy strategy_of(const pl_service *sv, pl_entry *e, const pl_policy *p,
                               const char **said_by) {
  const pl_offer *told = NULL;
  *said_by = "call";
  if (p->strategy != PL_STRATEGY_UNSET) return p->strategy;
  for (pl_offer *o = e == NULL ? NULL : pl_entry_first(e); o != NULL; o = pl_entry_next(e, o)) {
    if (o->strategy == PL_STRATEGY_UNSET) continue;
    if (told == NULL || pl_id_compare(&o->provider->id, &told->provider->id) < 0) told = o;
  }
  *said_by = "action";
  if (told != NULL) return (pl_strategy)told->strategy;
  *said_by = "node";
  if (sv->config.strategy != PL_STRATEGY_UNSET) return sv->config.strategy;
  *said_by = "default";
  return PL_STRATEGY_LEAST;
}

static uint64_t hash_of(const pl_query *q, const pl_policy *p) {
  uint8_t room[KEY_MAX];
  pl_bytes key = p->keyed ? p->key : q->args.head;
  if (!p->keyed && q->args.tail.len > 0)
    key = pl_bytes_of(room, pl_parts_copy(&q->args, room, sizeof room));
  if (key.len > KEY_MAX) key.len = KEY_MAX;
  return pl_balance_hash(key);
}

// Why nobody takes it.

static pl_failure refusal(const pl_query *q, pl_err code, const char *message) {
  pl_failure f = pl_failure_of(code, code == PL_DRAINING ? PL_NOT_EXECUTED : PL_NOT_SENT, message);
  f.action = q->action;
  return f;
}

static bool has_fitness(const pl_candidate *c, size_t n, pl_fitness fitness) {
  for (size_t i = 0; i < n; i++) {
    if (c[i].fitness == fitness) return true;
  }
  return false;
}

static pl_failure nobody(pl_service *sv, const pl_query *q, size_t n) {
  const pl_candidate *c = sv->candidates;
  const pl_provider *p = q->only != NULL ? pl_service_provider(sv, q->only) : NULL;
  bool unlisted = has_fitness(c, n, PL_UNLISTED);
  if (has_fitness(c, n, PL_DRAINING_NOW)) return refusal(q, PL_DRAINING, NULL);
  if (q->only != NULL && (p == NULL || !p->reachable))
    return refusal(q, PL_NO_ROUTE, "no path to the given node");
  if (q->only != NULL && unlisted)
    return refusal(q, PL_NO_ROUTE, "the given node is not among the providers that are wanted");
  int len = (int)(q->action.len < PL_NAME_MAX ? q->action.len : PL_NAME_MAX);
  const char *who = q->only != NULL ? "the given node does not provide"
                    : unlisted      ? "none of the nodes that are wanted provides"
                                    : "no reachable node provides";
  snprintf(sv->why_text, sizeof sv->why_text, "%s the action '%.*s'", who, len,
           (const char *)q->action.data);
  return refusal(q, PL_NOT_FOUND, sv->why_text);
}

// Choosing.

// The one offer there is, when nothing has to be weighed.
static pl_offer *only_one(pl_entry *e, const pl_query *q) {
  pl_offer *o = pl_entry_first(e);
  const pl_provider *p = o->provider;
  bool plain = q->policy == NULL || q->policy->provider_count == 0;
  bool meant = q->only == NULL || is_meant(p, q->only);
  if (e->count > 1 || !plain || !meant || !p->reachable || p->draining) return NULL;
  return is_among(&p->id, q->refused, q->refused_count) ? NULL : o;
}

static void note(pl_service *sv, pl_entry *e, const pl_candidate *c, pl_strategy strategy) {
  pl_tally *t = pl_offer_tally(c->owner);
  t->used = ++sv->choices;
  if (strategy != PL_STRATEGY_WEIGHTED) return;
  e->pass = c->pass;
  t->pass = c->pass + pl_balance_stride(c->weight);
}

pl_offer *pl_choose(pl_service *sv, const pl_query *q, pl_failure *why) {
  pl_entry *e = pl_directory_find(&sv->directory, q->action);
  if (e == NULL) {
    *why = nobody(sv, q, 0);
    return NULL;
  }
  pl_offer *single = only_one(e, q);
  if (single != NULL) return single;

  size_t n = gather(sv, e, q);
  if (n == SIZE_MAX) {
    *why = refusal(q, PL_NO_MEMORY, NULL);
    return NULL;
  }
  const char *said_by;
  const pl_policy *p = policy_of(q);
  pl_strategy strategy = strategy_of(sv, e, p, &said_by);
  uint64_t hash = strategy == PL_STRATEGY_HASH ? hash_of(q, p) : 0;
  int i = pl_balance_choose(p, strategy, sv->candidates, n, hash, &sv->loop->random);
  if (i < 0) {
    *why = nobody(sv, q, n);
    return NULL;
  }
  note(sv, e, &sv->candidates[i], strategy);
  return sv->candidates[i].owner;
}

// Several far ones, and none near. Idempotent actions are chosen for here: a repeat must find the
// provider that may have run the call already.
static bool are_far(pl_entry *e) {
  unsigned far = 0;
  for (pl_offer *o = pl_entry_first(e); o != NULL; o = pl_entry_next(e, o)) {
    if (o->idempotent) return false;
    if (!o->provider->reachable) continue;
    if (o->provider->hops < 2) return false;
    far++;
  }
  return far > 1;
}

static bool wants_nothing(const pl_query *q) {
  const pl_policy *p = policy_of(q);
  return q->only == NULL && p->strategy == PL_STRATEGY_UNSET && !p->keyed &&
         p->provider_count == 0 && p->region_count == 0;
}

bool pl_choose_is_left_open(pl_service *sv, const pl_query *q) {
  if (sv->config.identity->role != PL_ROLE_LEAF || !wants_nothing(q)) return false;
  pl_entry *e = pl_directory_find(&sv->directory, q->action);
  const char *said_by;
  return e != NULL && are_far(e) && strategy_of(sv, e, &no_policy, &said_by) == PL_STRATEGY_LEAST;
}

// Explaining.

static const char *reason_of(pl_strategy strategy) {
  switch (strategy) {
    case PL_STRATEGY_UNSET:
    case PL_STRATEGY_LEAST: return "it has the fewest calls in flight; equals take turns";
    case PL_STRATEGY_ROUND_ROBIN: return "it is its turn";
    case PL_STRATEGY_RANDOM: return "it was drawn";
    case PL_STRATEGY_WEIGHTED: return "it is its turn by weight";
    case PL_STRATEGY_P2C:
      return "of two that were drawn its calls in flight times latency are less";
    case PL_STRATEGY_HASH: return "the key belongs to it";
    case PL_STRATEGY_LOCAL: return "it is the nearest";
  }
  return "";
}

static bool is_able(const pl_candidate *c) {
  return c->fitness < PL_DRAINING_NOW;
}

// The number of others that came into question as much as the chosen one decides.
static const char *why_chosen(pl_strategy strategy, const pl_candidate *c, size_t n,
                              const pl_candidate *chosen) {
  size_t able = 0, alike = 0;
  for (size_t i = 0; i < n; i++) {
    able += is_able(&c[i]);
    alike += pl_balance_compare(&c[i], chosen) == 0;
  }
  if (able == 1) return "it is the only one that can take the call";
  return alike == 1 ? "no other is as fit or as much preferred" : reason_of(strategy);
}

static int compare_places(const void *a, const void *b) {
  const pl_candidate *x = a, *y = b;
  int rank = pl_balance_compare(x, y);
  if (rank != 0) return rank;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  return x->used < y->used ? -1 : x->used > y->used ? 1 : pl_id_compare(&x->id, &y->id);
}

static pl_standing standing_of(const pl_service *sv, const pl_candidate *c, bool chosen) {
  pl_route route = {0};
  pl_router_find(sv->router, &c->id, &route);
  return (pl_standing){
      .id = c->id,
      .name = c->name,
      .region = c->region,
      .hops = c->hops,
      .cost_us = c->cost_us,
      .latency_us = c->latency_us,
      .outstanding = c->outstanding,
      .load = c->load,
      .weight = c->weight == 0 ? 1 : c->weight,
      .health = pl_health_name(c->health),
      .fitness = pl_fitness_name(c->fitness),
      .able = is_able(c),
      .group = c->group,
      .zone = c->zone,
      .score = c->score,
      .chosen = chosen,
      .via = route.via,
  };
}

void pl_choose_explain(pl_service *sv, const pl_query *q, pl_explanation *out, pl_standing_fn *fn,
                       void *user) {
  const pl_policy *p = policy_of(q);
  pl_entry *e = pl_directory_find(&sv->directory, q->action);
  out->strategy = strategy_of(sv, e, p, &out->said_by);
  size_t n = e == NULL ? 0 : gather(sv, e, q);
  if (n == SIZE_MAX) n = 0;

  pl_random random = sv->loop->random;  // a choice that is only looked at draws nothing
  pl_candidate *c = sv->candidates;
  uint64_t hash = hash_of(q, p);
  int chosen = pl_balance_choose(p, out->strategy, c, n, hash, &random);
  if (chosen < 0) {
    pl_failure why = nobody(sv, q, n);
    out->reason = why.message.len > 0 ? (const char *)why.message.data : pl_err_text(why.code);
  } else if (pl_choose_is_left_open(sv, q)) {
    out->reason = "it is as good as any from here, but the next node on the way decides";
  } else {
    out->reason = why_chosen(out->strategy, c, n, &c[chosen]);
  }
  const void *winner = chosen < 0 ? NULL : c[chosen].owner;
  if (n > 1) qsort(c, n, sizeof *c, compare_places);
  for (size_t i = 0; i < n; i++) {
    pl_standing s = standing_of(sv, &c[i], c[i].owner == winner);
    fn(&s, user);
  }
}
