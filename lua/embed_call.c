// The C library: calls.

#include <string.h>

#include "base/mem.h"
#include "lua/embed_impl.h"

struct perilune_call {
  pl_list node;  // in perilune.calls
  perilune *owner;
  pl_call *call;  // NULL once it was cancelled
  const perilune_call_ops *ops;
  void *user;
  bool streams;
  bool busy;  // in a callback: whoever made that frees it
  char *action;
};

static void release(perilune_call *c) {
  pl_list_remove(&c->node);
  if (c->call != NULL) pl_call_free(c->call, PL_CANCELLED);
  c->call = NULL;
  if (c->busy) return;
  pl_free(c->action);
  pl_free(c);
}

void perilune_call_cancel(perilune_call *c) {
  release(c);
}

static char *text_of(pl_bytes b, const char *otherwise) {
  if (b.len == 0) return pl_strdup(otherwise);
  char *text = pl_alloc(b.len + 1);
  memcpy(text, b.data, b.len);
  text[b.len] = '\0';
  return text;
}

// Tells the end and frees it.
static void finish_failed(perilune_call *c, const pl_failure *f) {
  char *code = text_of(f->name, pl_err_name(f->code));
  char *message = text_of(f->message, pl_err_text(f->code));
  const perilune_result result = {
      .code = code, .message = message, .outcome = pl_outcome_name(f->outcome)};
  c->busy = true;
  c->ops->on_end(c, &result, c->user);
  c->busy = false;
  release(c);
  pl_free(code);
  pl_free(message);
}

static void finish(perilune_call *c) {
  const pl_failure *f = pl_call_failure(c->call);
  if (f != NULL) {
    finish_failed(c, f);
    return;
  }
  char *values = pl_embed_text(pl_call_result(c->call));
  if (values == NULL) {
    const pl_failure bad = pl_failure_of(PL_PROTOCOL, PL_EXECUTED, "the result is no JSON array");
    finish_failed(c, &bad);
    return;
  }
  const perilune_result result = {.values = values, .outcome = pl_outcome_name(PL_EXECUTED)};
  c->busy = true;
  c->ops->on_end(c, &result, c->user);
  c->busy = false;
  release(c);
  pl_free(values);
}

// False: it was cancelled meanwhile, and is gone.
static bool take_items(perilune_call *c) {
  pl_bytes item;
  int got = -1;
  while (c->streams && (got = pl_call_next(c->call, &item)) == 1) {
    char *values = pl_embed_text(item);
    if (values == NULL) continue;  // a chunk that is none
    c->busy = true;
    c->ops->on_chunk(c, values, c->user);
    c->busy = false;
    pl_free(values);
    if (c->call != NULL) continue;
    pl_free(c->action);
    pl_free(c);
    return false;
  }
  if (got == 0) pl_call_expect(c->call);
  return true;
}

static void on_items(pl_call *call, void *user) {
  (void)call;
  take_items(user);
}

static void on_end(pl_call *call, void *user) {
  (void)call;
  if (take_items(user)) finish(user);
}

static const pl_call_ops call_ops = {.on_items = on_items, .on_end = on_end};

int perilune_call_start(perilune_call **out, perilune *p, const char *action, const char *args,
                        double timeout, const perilune_call_ops *ops, void *user, char *why) {
  const char *reason;
  pl_bytes values;
  pl_node *n = pl_embed_node(p);
  if (n == NULL) return pl_embed_fail(PL_CLOSED, "the node does not run", why);
  pl_err err = pl_embed_values(&values, args, &reason);
  if (err != PL_OK) return pl_embed_fail(err, reason, why);

  perilune_call *c = pl_new(perilune_call);
  c->owner = p;
  c->ops = ops;
  c->user = user;
  c->streams = ops->on_chunk != NULL;
  c->action = pl_strdup(action);
  bool bounded = timeout > 0 && timeout < 1e9;
  uint64_t us = bounded ? (uint64_t)(timeout * 1e6) : 0;
  const pl_call_options o = {.action = pl_bytes_of(c->action, strlen(c->action)),
                             .deadline_us = bounded ? pl_now_us(p->loop) + us : PL_NEVER,
                             .idle_us = c->streams ? us : 0,
                             .stream = c->streams,
                             .codec = 1};
  pl_parts parts = pl_parts_of(values);
  pl_failure failure = {0};
  err = pl_node_call(&c->call, n, &o, &parts, &call_ops, c, &failure);
  if (err != PL_OK) {
    char *text = text_of(failure.message, pl_err_text(err));
    pl_embed_fail(err, text, why);
    pl_free(text);
    pl_free(c->action);
    pl_free(c);
    return err;
  }
  pl_list_push(&p->calls, &c->node);
  if (c->streams) pl_call_expect(c->call);
  *out = c;
  return PL_OK;
}

void pl_embed_cancel_calls(perilune *p) {
  const pl_failure f = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "the node is stopping");
  while (!pl_list_empty(&p->calls))
    finish_failed(pl_container(p->calls.next, perilune_call, node), &f);
}
