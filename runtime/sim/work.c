// The calling half of the work: random calls and streams, deadlines, cancels, slow readers.

#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"
#include "wire/msgpack.h"

enum {
  IDLE_US = 8 * 1000000,  // longest gap of a stream
  SLOW_ITEMS = 64,        // that a slow reader takes at once
  SLOW_US = 5000,         // and how long it then pauses
  DEPTH_MAX = 3,          // of calls within calls
};

typedef struct pl_sim_caller {
  pl_list node;
  pl_sim_node *owner;
  pl_call *call;
  uint64_t key;
  pl_sim_order order;
  uint64_t deadline_us;
  uint64_t settled_us;  // clock of the node; 0: not yet
  uint32_t sent;        // chunks, of a stream
  pl_timer cancel, read;
  struct pl_sim_caller **within;  // where the handler that waits for it has it; or NULL
  pl_sim_done_fn *done;
  void *user;
} caller;

static void stop(caller *c) {
  if (c->within != NULL) *c->within = NULL;
  pl_timer_stop(&c->cancel);
  pl_timer_stop(&c->read);
  pl_list_remove(&c->node);
  pl_free(c);
}

static void settle(caller *c) {
  pl_sim *s = c->owner->sim;
  const pl_failure *f = pl_call_failure(c->call);
  uint64_t late_us = c->deadline_us != PL_NEVER && c->settled_us > c->deadline_us
                         ? c->settled_us - c->deadline_us
                         : 0;
  uint64_t key = c->order.kind == PL_SIM_SHARE ? PL_SIM_EQUAL + c->order.group : c->key;
  if (f == NULL && !pl_sim_is_item(pl_call_result(c->call), key, c->order.chunks, c->order.size))
    pl_sim_violated(s, "call #%llu has a wrong result", (unsigned long long)c->key);
  if (f != NULL && c->order.probe)
    pl_sim_violated(s, "all is well, but call #%llu of n%u fails: %s", (unsigned long long)c->key,
                    c->owner->number, pl_err_name(f->code));
  pl_sim_ledger_settled(s, c->key, f, late_us);
  pl_sim_done_fn *done = c->done;
  void *user = c->user;
  pl_call_free(c->call, PL_OK);
  stop(c);
  if (done != NULL) done(user);
}

static void take_items(caller *c);

static void on_read(pl_timer *t) {
  take_items(pl_container(t, caller, read));
}

static void take_items(caller *c) {
  pl_sim *s = c->owner->sim;
  pl_sim_record *r = pl_sim_ledger_get(s, c->key);
  for (unsigned n = 1;; n++) {
    pl_bytes item;
    int there = pl_call_next(c->call, &item);
    if (there < 0) {
      settle(c);
      return;
    }
    if (there == 0) {
      pl_call_expect(c->call);
      return;
    }
    if (!pl_sim_is_item(item, c->key, r->consumed, c->order.size))
      pl_sim_violated(s, "call #%llu: chunk %u is not the next", (unsigned long long)c->key,
                      r->consumed);
    r->consumed++;
    if (c->order.slow && n == SLOW_ITEMS) {
      pl_timer_start(&c->owner->site->loop->clock, &c->read, SLOW_US, on_read);
      return;
    }
  }
}

static void on_items(pl_call *call, void *user) {
  (void)call;
  take_items(user);
}

static void on_end(pl_call *call, void *user) {
  (void)call;
  caller *c = user;
  if (c->settled_us != 0) {
    pl_sim_violated(c->owner->sim, "call #%llu is told its end twice", (unsigned long long)c->key);
    return;
  }
  c->settled_us = pl_now_us(c->owner->site->loop);
  if (c->order.kind != PL_SIM_COUNT)
    settle(c);
  else if (!pl_timer_active(&c->read))
    take_items(c);
}

// Of a stream: as many chunks go to the handler as it sends.
static void send_items(pl_call *call, void *user) {
  caller *c = user;
  pl_buf item = {0};
  pl_err err = PL_OK;
  while (err == PL_OK && c->sent < c->order.chunks) {
    pl_buf_clear(&item);
    pl_sim_put_item(&item, c->key, c->sent, c->order.size);
    const pl_parts parts = pl_parts_of(pl_bytes_of(pl_buf_data(&item), pl_buf_len(&item)));
    err = pl_call_send(call, &parts);
    if (err == PL_OK || err == PL_BUSY) c->sent++;
  }
  pl_buf_fini(&item);
  if (err == PL_OK) pl_call_finish(call);
}

static const pl_call_ops call_ops = {
    .on_items = on_items, .on_credit = send_items, .on_end = on_end};

void pl_work_give_up(pl_sim_caller *c) {
  pl_sim_ledger_get(c->owner->sim, c->key)->cancelled = true;
  c->owner->sim->report->counts.cancelled++;
  pl_call_free(c->call, PL_CANCELLED);
  stop(c);
}

static void on_cancel(pl_timer *t) {
  pl_work_give_up(pl_container(t, caller, cancel));
}

// [key, chunks, size, work_us, fails, 2 * depth + probe]
static size_t put_args(uint8_t *out, uint64_t key, const pl_sim_order *o) {
  uint8_t *p = pl_mp_put_array(out, 6);
  p = pl_mp_put_uint(p, key);
  p = pl_mp_put_uint(p, o->chunks);
  p = pl_mp_put_uint(p, o->size);
  p = pl_mp_put_uint(p, o->work_us);
  p = pl_mp_put_uint(p, o->fails);
  return (size_t)(pl_mp_put_uint(p, 2 * o->depth + o->probe) - out);
}

// NULL: it has failed, as the ledger knows.
static caller *begin(pl_sim_node *n, const pl_sim_order *o, pl_request *within) {
  pl_sim *s = n->sim;
  pl_loop *loop = n->site->loop;
  caller *c = pl_new(caller);
  c->owner = n;
  c->order = *o;
  c->deadline_us = pl_now_us(loop) + o->timeout_us;
  bool stream = o->kind == PL_SIM_COUNT;
  const pl_sim_record r = {.kind = o->kind,
                           .caller = n->number,
                           .deadline_us = c->deadline_us,
                           .troubles = n->troubles,
                           .fails = o->fails,
                           .group = o->group,
                           .chunks = o->chunks};
  c->key = pl_sim_ledger_open(s, &r);
  bool equal = o->kind == PL_SIM_SHARE;
  if (equal) pl_equals_called(s, o->group);
  pl_sim_note(s, PL_SIM_CALL, n->number, 0, (int64_t)c->key, o->kind);
  if (stream)
    s->report->counts.streams++;
  else
    s->report->counts.calls++;

  const char *name = pl_sim_action_names[o->kind];
  const pl_call_options options = {
      .action = pl_bytes_of(name, strlen(name)),
      .node = o->to != NULL ? pl_node_id(o->to->node) : NULL,
      .deadline_us = c->deadline_us,
      .idle_us = stream ? IDLE_US : 0,
      .stream = stream,
      .input = stream,
      .within = within,
  };
  if (stream) c->deadline_us = PL_NEVER;  // bounds its first chunk only
  uint8_t args[8 * PL_MP_TOKEN_MAX];
  const pl_parts parts =
      pl_parts_of(pl_bytes_of(args, put_args(args, equal ? PL_SIM_EQUAL + o->group : c->key, o)));
  pl_list_push(&n->calls, &c->node);
  pl_failure why;
  pl_err err = pl_node_call(&c->call, n->node, &options, &parts, &call_ops, c, &why);
  if (err != PL_OK) {
    if (o->probe)
      pl_sim_violated(s, "all is well, but n%u cannot call '%s': %s", n->number, name,
                      pl_err_name(err));
    pl_sim_ledger_settled(s, c->key, &why, 0);
    stop(c);
    return NULL;
  }
  if (o->cancel_us != PL_NEVER) pl_timer_start(&loop->clock, &c->cancel, o->cancel_us, on_cancel);
  if (!stream) return c;
  pl_call_expect(c->call);
  send_items(c->call, c);
  return c;
}

void pl_work_call(pl_sim_node *n, const pl_sim_order *o) {
  begin(n, o, NULL);
}

void pl_work_nest(pl_sim_caller **call, pl_sim_node *n, const pl_sim_order *o, pl_request *r,
                  pl_sim_done_fn *done, void *user) {
  caller *c = begin(n, o, r);
  *call = c;
  if (c == NULL) {
    done(user);
    return;
  }
  c->within = call;
  c->done = done;
  c->user = user;
}

// Random work.

static pl_sim_order random_order(pl_sim_node *n) {
  pl_sim *s = n->sim;
  pl_sim_order o = {.cancel_us = PL_NEVER};
  o.kind = (pl_sim_kind)pl_random_below(&s->random, PL_SIM_KINDS);
  if (pl_sim_chance(s, 3)) {
    const pl_sim_node *to = &s->nodes[pl_random_below(&s->random, s->count)];
    if (to->node != NULL) o.to = to;
  }
  if (o.kind == PL_SIM_COUNT)
    o.chunks = (uint32_t)pl_sim_between(s, 0, pl_sim_chance(s, 8) ? 3000 : 100);
  o.size = (uint32_t)pl_sim_between(s, 0, pl_sim_chance(s, 8) ? 20000 : 200);
  if (o.kind == PL_SIM_COUNT && o.chunks > 200) o.size %= 256;
  o.work_us = pl_sim_chance(s, 2) ? 0 : (uint32_t)pl_sim_between(s, 0, 200 * 1000);
  if (o.chunks > 100) o.work_us %= 5000;
  o.timeout_us = pl_sim_between(s, 20 * 1000, pl_sim_chance(s, 2) ? 500 * 1000 : 5 * 1000000);
  if (pl_sim_chance(s, 12)) o.cancel_us = pl_sim_between(s, 0, 300 * 1000);
  o.slow = pl_sim_chance(s, 3);
  o.fails = pl_sim_chance(s, 6);
  if (o.kind == PL_SIM_NEST) o.depth = (unsigned)pl_sim_between(s, 0, DEPTH_MAX);
  if (o.kind == PL_SIM_SHARE)
    pl_equals_fill(&o, (unsigned)pl_random_below(&s->random, PL_SIM_GROUPS));
  return o;
}

// One call in two goes back to where it came from, or on in the same way.
pl_sim_order pl_work_nested_order(pl_sim_node *n, unsigned depth, bool probe, uint64_t left_us) {
  pl_sim_order o = {.kind = PL_SIM_NEST, .cancel_us = PL_NEVER, .size = 10, .timeout_us = left_us};
  if (!probe) o = random_order(n);
  if (o.kind == PL_SIM_COUNT || o.kind == PL_SIM_SHARE || pl_sim_chance(n->sim, 2)) {
    o.kind = PL_SIM_NEST;
    o.chunks = 0;
  }
  o.depth = depth;
  o.probe = probe;
  if (o.timeout_us > left_us) o.timeout_us = left_us;
  return o;
}

static void on_next(pl_timer *t) {
  pl_sim_node *n = pl_container(t, pl_sim_node, next_call);
  pl_sim *s = n->sim;
  if (!s->working) return;
  pl_sim_order o = random_order(n);
  pl_work_call(n, &o);
  pl_work_begin(n);
}

void pl_work_begin(pl_sim_node *n) {
  uint64_t us = pl_sim_between(n->sim, 0, 2 * n->sim->call_pause_us);
  pl_timer_start(&n->site->loop->clock, &n->next_call, us, on_next);
}

void pl_work_abandon(pl_sim_node *n) {
  pl_timer_stop(&n->next_call);
  for (pl_list *at; (at = pl_list_pop(&n->calls)) != NULL;) {
    caller *c = pl_container(at, caller, node);
    pl_sim_ledger_get(n->sim, c->key)->orphaned = true;
    n->sim->report->counts.orphaned++;
    pl_call_free(c->call, PL_CANCELLED);
    stop(c);
  }
}

size_t pl_work_open(const pl_sim *s) {
  size_t open = 0;
  for (unsigned i = 0; i < s->count; i++) {
    const pl_list *head = &s->nodes[i].calls;
    for (const pl_list *at = head->next; at != head; at = at->next)
      open++;
  }
  return open;
}
