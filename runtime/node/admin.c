// The admin listener of a node: of itself, and of the replicas on its worker threads, which it asks
// by calls of `_perilune.exposition`.

#include "edge/admin.h"

#include <string.h>

#include "base/mem.h"
#include "edge/exposition.h"
#include "link/link.h"
#include "node/node_impl.h"
#include "wire/msgpack.h"

enum { PATIENCE_US = 1000000 };  // for a replica; without it the others are told

static const char *why_not_ready(void *user) {
  const pl_node *n = user;
  if (n->stopping) return "draining";
  return n->ready ? NULL : "loading";
}

static bool put_exposition(pl_buf *out, pl_node *n, bool labelled) {
  char id[PL_ID_HEX];
  pl_id_format(&n->identity.id, id);
  const pl_exposition e = {
      .id = id,
      .name = n->identity.name,
      .version = PL_VERSION,
      .up_us = pl_now_us(n->loop) - n->made_us,
      .ready = why_not_ready(n) == NULL,
      .labelled = labelled,
      .metrics = labelled ? NULL : pl_node_metrics(n),  // which replicas of a thread share
      .service = n->service,
  };
  return pl_exposition_put(out, &e);
}

static void on_exposition(pl_request *r, void *user) {
  pl_buf text = {0}, out = {0};
  bool put = put_exposition(&text, user, true);
  uint32_t len = (uint32_t)pl_buf_len(&text);
  uint8_t *p = put ? pl_buf_reserve(&out, len + (size_t)2 * PL_MP_TOKEN_MAX) : NULL;
  if (p != NULL)
    pl_buf_commit(&out, (size_t)(pl_mp_put_bin(pl_mp_put_array(p, 1), pl_buf_data(&text), len) -
                                 pl_buf_data(&out)));
  pl_buf_fini(&text);
  pl_report_answer(r, &out, p != NULL);
}

// One look at all of them.

typedef struct look look;

typedef struct reply {
  look *of;
  pl_id id;
  pl_call *call;  // NULL: none is under way
  pl_bytes text;  // of its result
} reply;

struct look {
  pl_node *node;
  pl_admin_ask *ask;
  size_t count, open;  // replies, and calls that have not ended
  reply replies[PL_EXPOSITIONS_MAX];
};

static void finish(look *k) {
  pl_bytes others[PL_EXPOSITIONS_MAX];
  for (size_t i = 0; i < k->count; i++)
    others[i] = k->replies[i].text;
  pl_buf own = {0}, out = {0};
  bool put =
      put_exposition(&own, k->node, false) &&
      pl_exposition_join(&out, pl_bytes_of(pl_buf_data(&own), pl_buf_len(&own)), others, k->count);
  pl_admin_tell(k->ask, put ? &out : NULL);
  for (size_t i = 0; i < k->count; i++)
    if (k->replies[i].call != NULL) pl_call_free(k->replies[i].call, PL_OK);
  pl_buf_fini(&own);
  pl_buf_fini(&out);
  pl_free(k);
}

// The text in `[text]`; nothing when it is something else.
static pl_bytes text_of(pl_bytes result) {
  pl_mp_reader r = {result.data, result.data + result.len};
  pl_mp_token list, text;
  bool has = pl_mp_read(&r, &list) == PL_OK && list.kind == PL_MP_ARRAY && list.len == 1 &&
             pl_mp_read(&r, &text) == PL_OK && text.kind == PL_MP_BIN;
  return has ? pl_bytes_of(text.data, text.len) : (pl_bytes){0};
}

static void on_end(pl_call *c, void *user) {
  reply *r = user;
  if (pl_call_failure(c) == NULL) r->text = text_of(pl_call_result(c));
  if (--r->of->open == 0) finish(r->of);
}

// Who says that it is a worker of this node, and lives in this process.
static void find_replica(const pl_node_info *info, void *user) {
  look *k = user;
  const pl_node *n = k->node;
  bool says_so = info->worker_of != NULL && pl_id_equal(info->worker_of, &n->identity.id);
  if (!says_so || k->count == PL_EXPOSITIONS_MAX) return;
  pl_peer *p = pl_peers_find(n->peers, &info->id);
  pl_session *s = p == NULL ? NULL : pl_peer_session(p);
  pl_link *l = s == NULL ? NULL : pl_session_link(s);
  if (l == NULL || strcmp(pl_link_scheme(l), "door") != 0) return;
  k->replies[k->count++] = (reply){.of = k, .id = info->id};
}

static void ask(reply *r) {
  static const char action[] = PL_SYSTEM_PREFIX "exposition";
  static const pl_call_ops ops = {.on_end = on_end};
  pl_node *n = r->of->node;
  pl_failure why;
  const pl_call_options o = {
      .action = pl_bytes_of(action, sizeof action - 1),
      .node = &r->id,
      .deadline_us = pl_now_us(n->loop) + PATIENCE_US,
  };
  const pl_parts nothing = pl_parts_of(pl_bytes_of("\x90", 1));
  if (pl_service_call(&r->call, n->service, &o, &nothing, &ops, r, &why) == PL_OK) r->of->open++;
}

static void want_metrics(pl_admin_ask *wanted, void *user) {
  look *k = pl_new(look);
  k->node = user;
  k->ask = wanted;
  pl_node_each(user, find_replica, k);
  for (size_t i = 0; i < k->count; i++)
    ask(&k->replies[i]);
  if (k->open == 0) finish(k);
}

pl_err pl_node_open_admin(pl_node *n, char *detail) {
  static const pl_admin_ops ops = {.want_metrics = want_metrics, .why_not_ready = why_not_ready};
  const char *address = n->options.admin;
  if (address == NULL || address[0] == '\0') return PL_OK;
  char bound[PL_URL_MAX];
  pl_err err = pl_admin_open(&n->admin, n->loop, address, &ops, n, bound, detail);
  if (err != PL_OK) return err;
  pl_log_info(n->loop->log, "admin listener", pl_f_text("address", bound));
  return PL_OK;
}

void pl_exposition_open(pl_node *n) {
  static const pl_action_ops ops = {.on_start = on_exposition};
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "exposition", &ops, n);
}

void pl_node_set_ready(pl_node *n, bool ready) {
  n->ready = ready;
}
