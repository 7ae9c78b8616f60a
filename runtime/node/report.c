// `_perilune.info` and `_perilune.metrics`: what a node tells of itself to who may look into it
// (docs/protocol.md, 5.14).

#include <string.h>

#include "base/limits.h"
#include "base/metric.h"
#include "node/node_impl.h"
#include "wire/msgpack.h"
#include "wire/utf8.h"

enum { FIXED_FIELDS = 7, TEXT_ROOM = 64 };

// A name may be any bytes.
static uint8_t *put_text(uint8_t *p, const char *text) {
  uint32_t len = (uint32_t)strlen(text);
  return pl_utf8_valid(text, len) ? pl_mp_put_str(p, text, len) : pl_mp_put_bin(p, text, len);
}

static size_t metric_count(void) {
  size_t n = 0;
  while (pl_metric_list[n].name != NULL)
    n++;
  return n;
}

const pl_metrics *pl_node_metrics(pl_node *n) {
  pl_metrics *m = &n->loop->metrics;
  m->log_lines_lost = pl_log_lost(n->loop->log);  // counted where any thread may log
  if (n->ops != NULL && n->ops->on_count != NULL) n->ops->on_count(m, n->user);
  return m;
}

static uint8_t *put_metrics(uint8_t *p, const pl_metrics *all) {
  p = pl_mp_put_map(put_text(p, "metrics"), (uint32_t)metric_count());
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++)
    p = pl_mp_put_uint(put_text(p, m->name), pl_metric_get(all, m));
  return p;
}

// A map of these fields and `more`.
static uint8_t *put_info(uint8_t *p, pl_node *n, uint32_t more) {
  char hex[PL_ID_HEX];
  pl_id_format(&n->identity.id, hex);
  uint64_t up_us = pl_now_us(n->loop) - n->made_us;
  p = pl_mp_put_map(pl_mp_put_array(p, 1), FIXED_FIELDS + more);
  p = put_text(put_text(p, "id"), hex);
  p = put_text(put_text(p, "name"), n->identity.name);
  p = put_text(put_text(p, "version"), PL_VERSION);
  p = pl_mp_put_float(put_text(p, "uptime"), (double)up_us / 1e6);
  p = pl_mp_put_bool(put_text(p, "leaf"), n->identity.role == PL_ROLE_LEAF);
  p = pl_mp_put_bool(put_text(p, "draining"), n->identity.draining);
  return put_metrics(p, pl_node_metrics(n));
}

static bool add_info(pl_buf *out, pl_node *n, uint32_t more) {
  size_t room = (FIXED_FIELDS + metric_count()) * TEXT_ROOM + PL_NAME_MAX;
  uint8_t *p = pl_buf_reserve(out, room);
  if (p == NULL) return false;
  pl_buf_commit(out, (size_t)(put_info(p, n, more) - p));
  return true;
}

void pl_report_answer(pl_request *r, pl_buf *out, bool written) {
  const pl_parts result = pl_parts_of(pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
  const pl_failure none = pl_failure_of(PL_NO_MEMORY, PL_EXECUTED, NULL);
  pl_request_end(r, written ? &result : NULL, written ? NULL : &none);
  pl_buf_fini(out);
}

static void on_info(pl_request *r, void *user) {
  pl_buf out = {0};
  pl_report_answer(r, &out, add_info(&out, user, 0));
}

// Figures of actions.

enum {
  FIGURE_FIELDS = 12,
  // Of one action: a range and its count, each at most nine bytes.
  FIGURE_ROOM =
      (FIGURE_FIELDS + 8 + PL_METER_CODES) * TEXT_ROOM + PL_NAME_MAX + PL_HISTOGRAM_RANGES * 18,
};

static uint8_t *put_count(uint8_t *p, const char *name, uint64_t count) {
  return pl_mp_put_uint(put_text(p, name), count);
}

static uint8_t *put_us(uint8_t *p, const char *name, uint64_t us) {
  return pl_mp_put_float(put_text(p, name), (double)us / 1e6);
}

static uint8_t *put_codes(uint8_t *p, const pl_meter *m) {
  uint32_t count = 0;
  for (unsigned i = 0; i < PL_METER_CODES; i++)
    count += m->codes[i] > 0;
  p = pl_mp_put_map(put_text(p, "codes"), count);
  for (unsigned i = 0; i < PL_METER_CODES; i++)
    if (m->codes[i] > 0) p = put_count(p, pl_meter_code_name(i), m->codes[i]);
  return p;
}

static uint8_t *put_latency(uint8_t *p, const pl_histogram *h) {
  uint32_t used = 0;
  for (unsigned i = 0; i < PL_HISTOGRAM_RANGES; i++)
    used += h->ranges[i] > 0;
  p = pl_mp_put_map(put_text(p, "latency"), 7);
  p = put_count(p, "count", pl_histogram_count(h));
  p = put_us(p, "sum", h->sum_us);
  p = put_us(p, "p50", pl_histogram_at(h, 0.5));
  p = put_us(p, "p90", pl_histogram_at(h, 0.9));
  p = put_us(p, "p99", pl_histogram_at(h, 0.99));
  p = put_us(p, "max", pl_histogram_at(h, 1));
  p = pl_mp_put_array(put_text(p, "ranges"), used * 2);
  for (unsigned i = 0; i < PL_HISTOGRAM_RANGES; i++)
    if (h->ranges[i] > 0)
      p = pl_mp_put_uint(pl_mp_put_uint(p, pl_histogram_top_us(i)), h->ranges[i]);
  return p;
}

static uint8_t *put_figures(uint8_t *p, const pl_action_figures *f) {
  const pl_meter *m = f->meter;
  const char *name = (const char *)f->action.data;
  uint32_t len = (uint32_t)f->action.len;
  p = put_text(pl_mp_put_map(p, FIGURE_FIELDS), "action");
  p = pl_utf8_valid(name, len) ? pl_mp_put_str(p, name, len) : pl_mp_put_bin(p, name, len);
  p = pl_mp_put_bool(put_text(p, "served"), f->served);
  p = put_count(p, "calls", m->begun);
  p = put_count(p, "ok", m->ok);
  p = put_count(p, "failed", m->failed);
  p = put_count(p, "streams", m->streams);
  p = put_count(p, "sent", m->items_sent);
  p = put_count(p, "received", m->items_received);
  p = put_count(p, "running", f->served ? f->running : pl_meter_under_way(m));
  p = put_count(p, "queued", f->queued);
  return put_latency(put_codes(p, m), &m->took);
}

typedef struct listing {
  pl_buf *out;
  uint32_t count;
  bool failed;
} listing;

static void count_figures(const pl_action_figures *f, void *user) {
  (void)f;
  ((listing *)user)->count++;
}

static void add_figures(const pl_action_figures *f, void *user) {
  listing *l = user;
  uint8_t *p = l->failed ? NULL : pl_buf_reserve(l->out, FIGURE_ROOM);
  if (p == NULL) {
    l->failed = true;
  } else {
    pl_buf_commit(l->out, (size_t)(put_figures(p, f) - p));
  }
}

static bool add_all_figures(pl_buf *out, pl_node *n) {
  listing l = {.out = out};
  pl_node_each_figures(n, count_figures, &l);
  uint8_t *p = pl_buf_reserve(out, TEXT_ROOM);
  if (p == NULL) return false;
  pl_buf_commit(out, (size_t)(pl_mp_put_array(put_text(p, "actions"), l.count) - p));
  pl_node_each_figures(n, add_figures, &l);
  return !l.failed;
}

static void on_metrics(pl_request *r, void *user) {
  pl_buf out = {0};
  pl_report_answer(r, &out, add_info(&out, user, 1) && add_all_figures(&out, user));
}

void pl_report_open(pl_node *n) {
  static const pl_action_ops info = {.on_start = on_info}, metrics = {.on_start = on_metrics};
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "info", &info, n);
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "metrics", &metrics, n);
}
