// What really became of every call, and whether its caller was told the truth. The ledger sees
// both ends; no node does.

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

enum {
  // A call that ends so much after its deadline was forgotten; the clock of its caller counts.
  GRACE_US = 500 * 1000,
};

uint64_t pl_sim_ledger_open(pl_sim *s, const pl_sim_record *r) {
  pl_sim_ledger *l = &s->ledger;
  if (l->count == l->cap) {
    l->cap = l->cap == 0 ? 256 : l->cap * 2;
    l->records = pl_try_realloc(l->records, l->cap * sizeof *l->records);
    if (l->records == NULL) abort();
  }
  l->records[l->count] = *r;
  l->records[l->count].started_us = pl_sim_now_us(s);
  return l->count++;
}

pl_sim_record *pl_sim_ledger_get(pl_sim *s, uint64_t key) {
  return key < s->ledger.count ? &s->ledger.records[key] : NULL;
}

void pl_sim_ledger_ran(pl_sim *s, uint64_t key, unsigned node) {
  if (key >= PL_SIM_FOREIGN) {
    pl_intruder_ran(s, key, node);
    return;
  }
  pl_sim_record *r = pl_sim_ledger_get(s, key);
  if (r == NULL) {
    pl_sim_violated(s, "n%u runs call #%" PRIu64 ", which nobody made", node, key);
    return;
  }
  pl_sim_note(s, PL_SIM_RUN, node, 0, (int64_t)key, 0);
  s->report->counts.executions++;
  r->emitted = 0;
  r->runs++;
  if (r->runs > 1 && r->kind != PL_SIM_WORK)
    pl_sim_violated(s, "call #%" PRIu64 ", which must run once, runs %u times, now at n%u", key,
                    r->runs, node);
}

static void count(pl_sim_counts *c, const pl_sim_record *r) {
  if (!r->failed) c->ok++;
  if (!r->failed) return;
  switch (r->outcome) {
    case PL_NOT_SENT: c->not_sent++; break;
    case PL_NOT_EXECUTED: c->not_executed++; break;
    case PL_UNKNOWN: c->unknown++; break;
    case PL_EXECUTED: c->executed++; break;
  }
}

// A handler that was told to fail, and no other, has the caller hear of it: after all its chunks.
static void check_error(pl_sim *s, uint64_t key, const pl_sim_record *r, const pl_failure *f) {
  bool own = f != NULL && f->code == PL_HANDLER_ERROR;
  if (f == NULL && r->fails)
    pl_sim_violated(s, "call #%" PRIu64 " has a result, but its handler fails", key);
  if (!own) return;
  if (!r->fails)
    pl_sim_violated(s, "call #%" PRIu64 " has an error that its handler did not make", key);
  if (f->outcome != PL_EXECUTED || !r->returned)
    pl_sim_violated(s, "call #%" PRIu64 " has the error of a handler that has not ended", key);
  if (r->consumed != r->chunks)
    pl_sim_violated(s, "call #%" PRIu64 " has the error of its handler after %u of %u chunks", key,
                    r->consumed, r->chunks);
}

// What was said must fit what is known, now and at the end of the run.
static void check_outcome(pl_sim *s, uint64_t key, const pl_sim_record *r) {
  if (r->kind == PL_SIM_SHARE) {
    if (!r->failed) pl_equals_check(s, key, r);
    return;
  }
  bool never_ran = r->failed && (r->outcome == PL_NOT_SENT || r->outcome == PL_NOT_EXECUTED);
  if (never_ran && r->runs > 0)
    pl_sim_violated(s, "call #%" PRIu64 " failed as %s, but ran", key, pl_outcome_name(r->outcome));
  bool ran = !r->failed || r->outcome == PL_EXECUTED;
  if (ran && r->runs == 0)
    pl_sim_violated(s, "call #%" PRIu64 " %s, but never ran", key,
                    r->failed ? "failed as executed" : "has a result");
  if (!r->failed && !r->returned)
    pl_sim_violated(s, "call #%" PRIu64 " has a result, but its handler has not returned", key);
  if (!r->failed && r->consumed != r->chunks)
    pl_sim_violated(s, "call #%" PRIu64 " has a result after %u of %u chunks", key, r->consumed,
                    r->chunks);
}

void pl_sim_ledger_settled(pl_sim *s, uint64_t key, const pl_failure *failure, uint64_t late_us) {
  pl_sim_record *r = pl_sim_ledger_get(s, key);
  assert(r != NULL);
  int64_t how = failure == NULL ? 0 : (int64_t)failure->code * 256 + failure->outcome;
  pl_sim_note(s, PL_SIM_SETTLE, r->caller, 0, (int64_t)key, how);
  if (r->settled) pl_sim_violated(s, "call #%" PRIu64 " ends twice", key);
  r->settled = true;
  r->failed = failure != NULL;
  if (failure != NULL) r->outcome = failure->outcome;
  count(&s->report->counts, r);
  check_outcome(s, key, r);
  check_error(s, key, r, failure);
  if (s->gentle && failure != NULL && failure->code == PL_PEER_LOST)
    pl_sim_violated(s, "a link was only cut, but call #%" PRIu64 " fails for it", key);
  bool right_clock = r->troubles == s->nodes[r->caller].troubles;
  if (late_us > GRACE_US && right_clock)
    pl_sim_violated(s, "call #%" PRIu64 " ends %.3f s after its deadline", key,
                    (double)late_us / 1e6);
}

void pl_sim_ledger_check(pl_sim *s) {
  for (uint64_t key = 0; key < s->ledger.count; key++) {
    const pl_sim_record *r = &s->ledger.records[key];
    if (r->orphaned || r->cancelled) continue;
    if (!r->settled) pl_sim_violated(s, "call #%" PRIu64 " of n%u never ends", key, r->caller);
    if (r->settled) check_outcome(s, key, r);
  }
}
