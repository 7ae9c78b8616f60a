// Equal calls in flight, of actions that say so: one run answers them all.
//
//   request --\                                 /--> answer
//   request ---> JOINED ... run --> handler --+---> answer
//   request --/                                 \--> answer
//
// The run is a request without a circuit, so that each caller may leave without the others
// noticing, the first one too. How they wait for it is in repeat.c.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"
#include "service/ancestry.h"
#include "service/balance.h"
#include "service/request_impl.h"

static bool same(pl_bytes a, pl_bytes b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

// Whatever the handler could tell apart, who calls above all; but neither trace nor deadline.
static bool is_equal(const pl_request *run, const pl_request *r) {
  bool same_code = run->handler == NULL || run->handler == r->action->handler;
  return run->action == r->action && same_code && run->codec == r->codec && run->rank == r->rank &&
         pl_id_equal(&run->caller, &r->caller) && run->relayed == r->relayed &&
         same(run->args, r->args) && same(run->meta, r->meta) && same(run->identity, r->identity);
}

static void move(pl_bytes *to, pl_bytes *from) {
  *to = *from;
  *from = (pl_bytes){0};
}

// Its bytes are copied: it may last, and must not pin the read slab they came in.
static pl_request *open_run(pl_request *r) {
  pl_service *sv = r->service;
  pl_bytes args;
  if (!pl_bytes_keep(&args, pl_bytes_of(r->args.data, r->args.len))) return NULL;
  pl_request *run = pl_request_new(sv);
  run->shared = true;
  run->action = pl_action_hold(r->action);
  run->service = sv;
  run->channel = NULL;
  run->call_id = r->call_id;
  run->first_call_id = r->first_call_id;
  run->repeated = r->repeated;
  run->stream = false;
  run->codec = r->codec;
  run->rank = r->rank;
  run->caller = r->caller;
  run->relayed = r->relayed;
  run->has_outer = r->has_outer;
  run->trace = r->trace;
  run->started_us = 0;
  run->deadline_us = r->deadline_us;
  run->args = args;
  move(&run->meta, &r->meta);
  move(&run->identity, &r->identity);
  move(&run->ancestors, &r->ancestors);
  pl_list_init(&run->wait.in_line);
  pl_list_init(&run->in_queue);
  pl_list_push(&sv->orphans, &run->node);
  sv->requests++;
  sv->loop->metrics.requests_now++;
  return run;
}

static void join(pl_request *r, pl_dedup_entry *e) {
  char why[PL_ERROR_TEXT_MAX / 4];
  pl_request *run = e->owner;
  if (pl_ancestry_leads(run, r)) {
    pl_ancestry_describe(r, "it is equal to a call that led to it", why, sizeof why);
    pl_request_refuse(r, PL_BUSY, why, 0);
    return;
  }
  r->service->loop->metrics.requests_shared++;
  pl_repeat_join(r, e);
  if (r->deadline_us > run->deadline_us) pl_repeat_run_until(run, r->deadline_us);
}

// What is_equal compares, in short: runs that differ are looked for under different keys.
static uint64_t key_of(const pl_request *r, uint64_t of) {
  uint64_t how = (uint64_t)r->relayed | (uint64_t)r->rank << 1 | (uint64_t)r->codec << 3;
  return pl_balance_hash(r->args) ^ pl_balance_hash(r->meta) * 3 ^ of * 5 ^
         pl_balance_hash(r->identity) * 7 ^ how * 11;
}

// Nobody waits for that run any more: it only tidies up, and must not keep others from sharing.
static pl_dedup_entry *leave_behind(pl_dedup *d, pl_dedup_entry *e) {
  pl_request *run = e->owner;
  if (!run->cancelled || !pl_list_empty(&e->followers)) return e;
  run->entry = NULL;
  pl_dedup_forget(d, e);
  return NULL;
}

pl_request *pl_share_admit(pl_request *r) {
  pl_dedup *d = &r->service->shared;
  if (r->args.len > PL_SHARED_ARGS_MAX) return r;
  uint64_t of = pl_balance_hash(pl_bytes_of(r->action->name, r->action->name_len));
  uint64_t key = key_of(r, of);
  pl_dedup_entry *e = pl_dedup_find(d, &r->caller, key, of);
  if (e != NULL) e = leave_behind(d, e);
  if (e != NULL) {
    const pl_request *run = e->owner;
    if (run->cancelled || !is_equal(run, r)) return r;
    join(r, e);
    return NULL;
  }
  e = pl_dedup_open(d, &r->caller, key, of, r);
  if (e == NULL) return r;  // another action has the key, by chance
  pl_request *run = open_run(r);
  if (run == NULL) {
    pl_dedup_forget(d, e);
    return r;
  }
  run->entry = e;
  e->owner = run;
  pl_repeat_join(r, e);
  if (run->deadline_us != PL_NEVER) pl_request_watch_later(run);
  return run;
}
