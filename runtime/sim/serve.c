// The serving half of the work: handlers that take their time, stream, and are cancelled.

#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"
#include "wire/msgpack.h"

const char *const pl_sim_action_names[PL_SIM_KINDS] = {"work", "once", "count", "nest", "share"};

enum {
  TIDY_MAX_US = 20 * 1000,  // a cancelled handler takes so long to end
};

typedef struct handler {
  pl_list node;
  pl_sim_node *owner;
  pl_request *request;
  pl_timer timer;
  uint64_t key;
  uint32_t chunks, size, work_us;
  bool fails;
  uint32_t sent, got;
  bool ours;   // of the mesh, which sends what it gets
  bool waits;  // for credit
  bool done;   // it has sent everything
  bool cancelled;
  unsigned depth;          // of calls that are to be made within this one
  bool probe;              // which must succeed
  bool nested;             // the next of them has ended
  pl_sim_caller *nesting;  // or is under way
  pl_id caller;
  pl_failure why;
} handler;

static void finish(handler *h, const pl_failure *failure) {
  pl_sim_record *r = pl_sim_ledger_get(h->owner->sim, h->key);
  pl_buf result = {0};
  if (h->nesting != NULL) pl_work_give_up(h->nesting);
  if (r != NULL && !h->owner->dead && !h->cancelled) r->returned = true;
  if (pl_sim_is_equal(h->key) && !h->owner->dead && failure == NULL)
    pl_equals_returned(h->owner->sim, h->key);
  if (failure == NULL) {
    pl_sim_put_item(&result, h->key, h->chunks, h->size);
  }
  pl_bytes bytes = pl_buf_take(&result);
  pl_timer_stop(&h->timer);
  pl_list_remove(&h->node);
  const pl_parts parts = pl_parts_of(bytes);
  pl_request_end(h->request, &parts, failure);
  pl_bytes_drop(&bytes);
  pl_free(h);
}

static void proceed(handler *h);

static void on_timer(pl_timer *t) {
  handler *h = pl_container(t, handler, timer);
  if (h->cancelled)
    finish(h, &h->why);
  else
    proceed(h);
}

static void pause_for(handler *h, uint64_t us) {
  pl_timer_start(&h->owner->site->loop->clock, &h->timer, us, on_timer);
}

static void emit(handler *h) {
  pl_sim *s = h->owner->sim;
  pl_buf item = {0};
  pl_sim_put_item(&item, h->key, h->sent, h->size);
  pl_bytes bytes = pl_buf_take(&item);
  const pl_parts parts = pl_parts_of(bytes);
  pl_err err = pl_request_chunk(h->request, &parts);
  pl_bytes_drop(&bytes);
  if (err != PL_OK && err != PL_BUSY) {  // CLOSED: on_cancel comes, or came
    h->waits = true;
    return;
  }
  h->sent++;
  h->waits = err == PL_BUSY;
  pl_sim_record *r = pl_sim_ledger_get(s, h->key);
  if (r == NULL || h->owner->dead) return;
  s->report->counts.chunks++;
  r->emitted = h->sent;
  // The window grows with what is consumed. One is taken and held back when the credit is used up.
  unsigned window = r->consumed == 0 ? PL_WINDOW_ITEMS : PL_WINDOW_ITEMS_MAX;
  if (!r->orphaned && r->runs == 1 && r->emitted > r->consumed + window + 1)
    pl_sim_violated(s, "call #%llu: %u chunks are under way, more than the window",
                    (unsigned long long)h->key, r->emitted - r->consumed);
}

// True when there is no more.
static bool read_input(handler *h) {
  pl_sim *s = h->owner->sim;
  unsigned long long key = (unsigned long long)h->key;
  bool judged = h->ours && !h->owner->dead && pl_request_has_input(h->request);
  pl_bytes item;
  int more;
  for (; (more = pl_request_next(h->request, &item)) == 1; h->got++) {
    if (judged && !pl_sim_is_item(item, h->key, h->got, h->size))
      pl_sim_violated(s, "call #%llu: chunk %u to the handler is not the next", key, h->got);
  }
  if (more == 0) {
    pl_request_expect(h->request);
    return false;
  }
  if (judged && h->got != h->chunks)
    pl_sim_violated(s, "call #%llu: %u of %u chunks look like all", key, h->got, h->chunks);
  return true;
}

static void end_if_done(handler *h) {
  const pl_failure mine = pl_failure_of(PL_HANDLER_ERROR, PL_EXECUTED, "it was told to");
  bool all = read_input(h);
  if (h->done && (h->fails || all)) finish(h, h->fails ? &mine : NULL);
}

static void on_items(pl_request *request) {
  handler *h = pl_request_user(request);
  if (!h->cancelled) end_if_done(h);
}

static void on_nested(void *user) {
  handler *h = user;
  h->nested = true;
  proceed(h);
}

// True when it waits for a call of its own first.
static bool waits_for_own(handler *h) {
  if (h->nesting != NULL) return true;
  if (h->depth == 0 || h->nested || h->owner->dead) return false;
  uint64_t now_us = pl_now_us(h->owner->site->loop), end_us = pl_request_deadline(h->request);
  if (end_us <= now_us) return false;
  pl_sim_order o = pl_work_nested_order(h->owner, h->depth - 1, h->probe, end_us - now_us);
  pl_work_nest(&h->nesting, h->owner, &o, h->request, on_nested, h);
  return true;
}

static void proceed(handler *h) {
  if (waits_for_own(h)) return;
  while (h->sent < h->chunks) {
    emit(h);
    if (h->waits) return;
    if (h->work_us > 0 && h->sent % 8 == 0) {
      pause_for(h, h->work_us);
      return;
    }
  }
  h->done = true;
  end_if_done(h);
}

// [key, chunks, size, work_us, fails, 2 * depth + probe]; whoever sends something else is none of
// us.
static void read_args(handler *h, pl_bytes args) {
  pl_mp_reader in = {args.data, args.data + args.len};
  uint64_t values[7] = {0};  // and the array itself
  bool whole = true;
  for (size_t i = 0; i < 7; i++) {
    pl_mp_token t;
    if (pl_mp_read(&in, &t) != PL_OK || t.kind != (i == 0 ? PL_MP_ARRAY : PL_MP_INT))
      whole = false;
    else if (i > 0)
      values[i] = (uint64_t)t.v.integer;
  }
  bool ours = h->ours = whole && values[1] < PL_SIM_FOREIGN;
  h->key = whole ? values[1] : PL_SIM_FOREIGN;
  h->chunks = ours ? (uint32_t)values[2] : 3;
  h->size = ours ? (uint32_t)values[3] : 10;
  h->work_us = ours ? (uint32_t)values[4] : 1000;
  h->fails = ours && values[5] != 0;
  h->depth = ours ? (unsigned)values[6] / 2 : 0;
  h->probe = ours && values[6] % 2 != 0;
}

// Of the same caller and the same group.
static unsigned count_equals(const handler *h) {
  unsigned count = 0;
  const pl_list *all = &h->owner->handlers;
  for (const pl_list *at = all->next; at != all; at = at->next) {
    const handler *other = pl_container(at, handler, node);
    bool equal = other->key == h->key && pl_id_equal(&other->caller, &h->caller);
    if (other != h && !other->cancelled && equal) count++;
  }
  return count;
}

static void note_run(const handler *h) {
  pl_sim *s = h->owner->sim;
  if (h->owner->dead) return;
  if (pl_sim_is_equal(h->key)) {
    bool from_itself = pl_id_equal(&h->caller, pl_node_id(h->owner->node));
    pl_equals_ran(s, h->key, h->owner->number, count_equals(h), from_itself);
  } else {
    pl_sim_ledger_ran(s, h->key, h->owner->number);
  }
}

static void on_start(pl_request *request, void *user) {
  pl_sim_action *action = user;
  handler *h = pl_new(handler);
  h->owner = action->node;
  h->request = request;
  pl_request_set_user(request, h);
  pl_list_push(&h->owner->handlers, &h->node);
  read_args(h, pl_request_args(request));
  pl_request_info info;
  pl_request_info_get(request, &info);
  h->caller = info.caller;
  note_run(h);
  pause_for(h, h->work_us);
}

static void on_cancel(pl_request *request, const pl_failure *why) {
  handler *h = pl_request_user(request);
  h->cancelled = true;
  if (h->nesting != NULL) pl_work_give_up(h->nesting);
  h->why = pl_failure_of(why->code, PL_EXECUTED, NULL);
  pause_for(h, pl_random_below(&h->owner->sim->random, TIDY_MAX_US));
}

static void on_credit(pl_request *request) {
  handler *h = pl_request_user(request);
  h->waits = false;
  proceed(h);
}

void pl_serve_end_all(pl_sim_node *n) {
  while (!pl_list_empty(&n->handlers)) {
    const pl_failure why = pl_failure_of(PL_CANCELLED, PL_EXECUTED, NULL);
    finish(pl_container(n->handlers.next, handler, node), &why);
  }
}

static const pl_action_ops action_ops = {
    .on_start = on_start,
    .on_cancel = on_cancel,
    .on_credit = on_credit,
    .on_items = on_items,
};

// {idempotent = true}
static size_t put_attributes(uint8_t *out) {
  uint8_t *p = pl_mp_put_map(out, 1);
  p = pl_mp_put_str(p, "idempotent", 10);
  return (size_t)(pl_mp_put_bool(p, true) - out);
}

void pl_serve_provide(pl_sim_node *n, pl_sim_kind kind, bool provided) {
  pl_sim_action *a = &n->actions[kind];
  const char *name = pl_sim_action_names[kind];
  a->provided = provided;
  if (n->node == NULL) return;
  pl_bytes bytes = pl_bytes_of(name, strlen(name));
  if (!provided) {
    pl_node_remove_action(n->node, bytes);
    return;
  }
  uint8_t attributes[32];
  size_t len = kind == PL_SIM_WORK ? put_attributes(attributes) : 0;
  // Who waits for others, and they for him, had better not have few slots only.
  bool few = n->number % 3 == 0 && kind != PL_SIM_NEST;
  const pl_action_options o = {
      .concurrency = few ? 2 : 0,
      .queue = few ? 4 : -1,
      .share = kind == PL_SIM_SHARE,
      .attributes = pl_bytes_of(attributes, len),
  };
  pl_node_add_action(n->node, bytes, &o, &action_ops, a);
}
