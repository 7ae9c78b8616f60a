// The C library: actions.

#include <string.h>

#include "base/mem.h"
#include "lua/embed_impl.h"

// What the node keeps of an action; freed when its last request is gone.
typedef struct action {
  const perilune_action_ops *ops;
  void *user;
} action;

struct perilune_request {
  pl_request *request;  // NULL: nobody waits for it any more
  const perilune_action_ops *ops;
  void *user;
  char *args;
};

static void refuse(pl_request *r, const char *message) {
  const pl_failure f = pl_failure_of(PL_INVALID, PL_NOT_EXECUTED, message);
  pl_request_end(r, NULL, &f);
}

static void on_start(pl_request *r, void *user) {
  const action *a = user;
  char *args = pl_request_codec(r) == 1 ? pl_embed_text(pl_request_args(r)) : NULL;
  if (args == NULL) {
    refuse(r, "this action takes its arguments as a JSON array");
    return;
  }
  perilune_request *q = pl_new(perilune_request);
  *q = (perilune_request){.request = r, .ops = a->ops, .user = a->user, .args = args};
  pl_request_set_user(r, q);
  pl_request_begun(r);
  q->ops->on_request(q, q->user);
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  perilune_request *q = pl_request_user(r);
  q->request = NULL;
  pl_request_end(r, NULL, why);
  if (q->ops->on_cancel != NULL) {
    q->ops->on_cancel(q, q->user);
  } else if (q->ops->on_drained != NULL) {
    q->ops->on_drained(q, q->user);
  }
}

static void on_credit(pl_request *r) {
  perilune_request *q = pl_request_user(r);
  if (q->ops->on_drained != NULL) q->ops->on_drained(q, q->user);
}

static void on_gone(void *user) {
  pl_free(user);
}

static const pl_action_ops action_ops = {
    .on_start = on_start, .on_cancel = on_cancel, .on_credit = on_credit, .on_gone = on_gone};

int perilune_add_action(perilune *p, const char *name, const perilune_action_ops *ops, void *user) {
  static const char json_attribute[] = "\x81\xaaserializer\xa4json";  // a MessagePack map
  pl_node *n = pl_embed_node(p);
  if (n == NULL) return PL_CLOSED;
  action *a = pl_new(action);
  *a = (action){ops, user};
  const pl_action_options o = {
      .queue = -1,
      .codec = 1,
      .attributes = pl_bytes_of(json_attribute, sizeof json_attribute - 1)};
  pl_err err = pl_node_add_action(n, pl_bytes_of(name, strlen(name)), &o, &action_ops, a);
  if (err != PL_OK) {
    pl_free(a);
    return err;
  }
  char detail[PL_URL_MAX];
  return pl_node_promote(n, detail);
}

int perilune_remove_action(perilune *p, const char *name) {
  pl_node *n = pl_embed_node(p);
  return n == NULL ? PL_NOT_FOUND : pl_node_remove_action(n, pl_bytes_of(name, strlen(name)));
}

const char *perilune_request_args(const perilune_request *r) {
  return r->args;
}

int perilune_request_emit(perilune_request *r, const char *values) {
  const char *reason;
  pl_parts item = {0};
  pl_err err = pl_embed_values(&item.head, values, &reason);
  if (err != PL_OK) return err;
  if (r->request == NULL) return PL_CLOSED;
  err = pl_request_chunk(r->request, &item);
  return err == PL_BUSY ? 1 : err;
}

static void release(perilune_request *r) {
  pl_free(r->args);
  pl_free(r);
}

int perilune_request_end(perilune_request *r, const char *values) {
  const char *reason;
  pl_parts result = {0};
  pl_err err = pl_embed_values(&result.head, values, &reason);
  if (err != PL_OK) return err;
  if (r->request != NULL) pl_request_end(r->request, &result, NULL);
  release(r);
  return PL_OK;
}

void perilune_request_fail(perilune_request *r, const char *code, const char *message) {
  pl_failure f = pl_failure_of(PL_HANDLER_ERROR, PL_EXECUTED, message);
  pl_err known = pl_err_find(code);
  if (known != PL_OK) f.code = known;
  if (known == PL_OK) f.name = pl_bytes_of(code, strlen(code));
  if (r->request != NULL) pl_request_end(r->request, NULL, &f);
  release(r);
}
