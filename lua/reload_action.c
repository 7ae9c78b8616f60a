#include "lua/reload_action.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/script.h"
#include "wire/msgpack.h"

typedef struct order order;

typedef struct item {
  pl_reload_wait wait;
  order *order;
  pl_reload_report *report;  // one reference; NULL until it is there
} item;

// One request. Freed with it.
struct order {
  pl_request *request;
  size_t count, left;
  item items[];
};

static void order_free(order *o) {
  for (size_t i = 0; i < o->count; i++) {
    if (o->items[i].report != NULL) pl_reload_report_drop(o->items[i].report);
  }
  pl_free(o);
}

// Answering.

static void put_token(pl_buf *out, uint8_t *(*put)(uint8_t *, uint32_t), size_t n) {
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p != NULL) pl_buf_commit(out, (size_t)(put(p, (uint32_t)n) - p));
}

static void put_bytes(pl_buf *out, const void *data, size_t len) {
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX + len);
  if (p != NULL) pl_buf_commit(out, (size_t)(pl_mp_put_str(p, data, (uint32_t)len) - p));
}

static void put_text(pl_buf *out, const char *text) {
  put_bytes(out, text, strlen(text));
}

static void put_int(pl_buf *out, const char *key, int64_t value) {
  put_text(out, key);
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p != NULL) pl_buf_commit(out, (size_t)(pl_mp_put_int(p, value) - p));
}

static void put_names(pl_buf *out, const char *key, const pl_texts *names) {
  put_text(out, key);
  put_token(out, pl_mp_put_array, names->count);
  for (size_t i = 0; i < names->count; i++)
    put_text(out, names->items[i]);
}

static void put_report(pl_buf *out, const pl_reload_report *r) {
  put_token(out, pl_mp_put_map, r->failed ? 5 : 6);
  put_text(out, "script");
  put_text(out, r->script);
  put_int(out, "generation", r->generation);
  put_int(out, "took_us", (int64_t)r->took_us);
  if (r->failed) {
    pl_buf text = {0};
    pl_reload_failure_put(r, &text);
    put_text(out, "code");
    put_text(out, pl_err_name(r->failure.code));
    put_text(out, "failure");
    put_bytes(out, pl_buf_data(&text), pl_buf_len(&text));
    pl_buf_fini(&text);
    return;
  }
  put_names(out, "added", &r->difference.added);
  put_names(out, "removed", &r->difference.removed);
  put_names(out, "replaced", &r->difference.replaced);
}

static void answer(order *o) {
  pl_buf out = {0};
  put_token(&out, pl_mp_put_array, 1);
  put_token(&out, pl_mp_put_array, o->count);
  for (size_t i = 0; i < o->count; i++)
    put_report(&out, o->items[i].report);
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
  i->report = pl_reload_report_hold(r);
  if (--i->order->left == 0) answer(i->order);
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  order *o = pl_request_user(r);
  for (size_t i = 0; i < o->count; i++) {
    if (o->items[i].report == NULL) pl_reload_wait_cancel(&o->items[i].wait);
  }
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
  size_t count = pl_host_each_file(h, path[0] == '\0' ? NULL : path, NULL, NULL);
  if (count == 0) {
    char text[PL_URL_MAX + 64];
    snprintf(text, sizeof text, "the node runs no script '%s'", path);
    refuse(r, PL_INVALID, text);
    return;
  }
  order *o = pl_alloc(sizeof *o + count * sizeof o->items[0]);
  o->request = r;
  pl_request_set_user(r, o);
  pl_host_each_file(h, path[0] == '\0' ? NULL : path, ask, o);
}

void pl_reload_action_open(pl_host *h) {
  static const pl_action_ops ops = {.on_start = on_start, .on_cancel = on_cancel};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "reload", &ops, h);
}
