#include "lua/reload_action.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/script.h"
#include "lua/workers.h"
#include "wire/msgpack.h"

typedef struct order order;

// One script of this thread.
typedef struct item {
  pl_reload_wait wait;
  order *order;
  bool told;
} item;

// One request. Freed with it.
struct order {
  pl_request *request;
  pl_workers *workers;   // that were asked, too; NULL: none
  size_t left, reports;  // to come, and that have come
  pl_buf out;            // these, encoded
  size_t count;
  item items[];
};

static void order_free(order *o) {
  pl_buf_fini(&o->out);
  pl_free(o);
}

// Answering.

static void put_head(pl_buf *out, size_t n) {
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p != NULL) pl_buf_commit(out, (size_t)(pl_mp_put_array(p, (uint32_t)n) - p));
}

static void answer(order *o) {
  pl_buf out = {0};
  put_head(&out, 1);
  put_head(&out, o->reports);
  pl_buf_append(&out, pl_buf_data(&o->out), pl_buf_len(&o->out));
  pl_parts result = pl_parts_of(pl_buf_take(&out));
  pl_request *r = o->request;
  order_free(o);
  pl_request_end(r, &result, NULL);
  pl_parts_drop(&result);
}

static void refuse(pl_request *r, pl_err code, const char *message) {
  pl_failure f = pl_failure_of(code, PL_NOT_EXECUTED, message);
  pl_request_end(r, NULL, &f);
}

// Ordering.

static void on_done(pl_reload_wait *w, pl_reload_report *r) {
  item *i = pl_container(w, item, wait);
  order *o = i->order;
  i->told = true;
  o->reports++;
  pl_reload_report_encode(r, &o->out);
  if (--o->left == 0) answer(o);
}

// Of a replica on a worker thread. One that died meanwhile begins with what there is to load.
static void on_replica_done(pl_bytes report, void *user) {
  order *o = user;
  if (report.len > 0) {
    o->reports++;
    pl_buf_append(&o->out, report.data, report.len);
  }
  if (--o->left == 0) answer(o);
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  order *o = pl_request_user(r);
  for (size_t i = 0; i < o->count; i++) {
    if (!o->items[i].told) pl_reload_wait_cancel(&o->items[i].wait);
  }
  if (o->workers != NULL) pl_workers_forget(o->workers, o);
  order_free(o);
  pl_request_end(r, NULL, why);
}

// Nothing, nil, or the path of a script. False: something else.
static bool read_path(pl_bytes args, char *path, size_t size) {
  pl_mp_reader in = {args.data, args.data + args.len};
  pl_mp_token t;
  path[0] = '\0';
  if (pl_mp_read(&in, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len > 1) return false;
  if (t.len == 0) return true;
  if (pl_mp_read(&in, &t) != PL_OK) return false;
  if (t.kind == PL_MP_NIL) return true;
  if (t.kind != PL_MP_STR || t.len == 0 || t.len >= size) return false;
  memcpy(path, t.data, t.len);
  path[t.len] = '\0';
  return strlen(path) == t.len;
}

static void ask(pl_script *s, void *user) {
  order *o = user;
  item *i = &o->items[o->count++];
  i->order = o;
  i->wait.done = on_done;
  o->left++;
  pl_reload_ask(pl_script_reload(s), &i->wait);
}

static void on_start(pl_request *r, void *user) {
  pl_host *h = user;
  char path[PL_URL_MAX];
  if (pl_request_codec(r) != 0 || !read_path(pl_request_args(r), path, sizeof path)) {
    refuse(r, PL_INVALID, "_perilune.reload: the path of a script is expected, or nothing");
    return;
  }
  const char *which = path[0] == '\0' ? NULL : path;
  pl_workers *workers = pl_host_workers(h);
  size_t count = pl_host_each_file(h, which, NULL, NULL);
  bool known = count > 0 || (workers != NULL && (which == NULL || pl_workers_have(workers, which)));
  if (!known) {
    char text[PL_URL_MAX + 64];
    snprintf(text, sizeof text, "the node runs no script '%s'", path);
    refuse(r, PL_INVALID, text);
    return;
  }
  order *o = pl_alloc(sizeof *o + count * sizeof o->items[0]);
  o->request = r;
  pl_request_set_user(r, o);
  pl_host_each_file(h, which, ask, o);
  o->workers = workers;
  if (workers != NULL) o->left += pl_workers_reload(workers, which, on_replica_done, o);
  if (o->left == 0) answer(o);
}

void pl_reload_action_open(pl_host *h) {
  static const pl_action_ops ops = {.on_start = on_start, .on_cancel = on_cancel};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "reload", &ops, h);
}
