#include "edge/exposition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/histogram.h"
#include "base/limits.h"
#include "wire/utf8.h"

enum {
  LINE_ROOM = 512,              // without labels
  LABEL_MAX = 5 * PL_NAME_MAX,  // each byte may become five
  ESCAPE_ROOM = 6,
  BUCKET_LEAST = 6,  // 2^6 us
  BUCKET_MOST = 26,  // 2^26 us, 67 s
};

typedef struct text {
  pl_buf *out;
  char node[LABEL_MAX + 1];  // what each sample says it is of; "": nothing
  bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...) {
  char *p = t->failed ? NULL : (char *)pl_buf_reserve(t->out, LINE_ROOM + 2 * LABEL_MAX);
  if (p == NULL) {
    t->failed = true;
    return;
  }
  va_list args;
  va_start(args, format);
  int len = vsnprintf(p, LINE_ROOM + 2 * LABEL_MAX, format, args);
  va_end(args);
  pl_buf_commit(t->out, (size_t)len);
}

// A label as it stands between quotes. What is no UTF-8 is told in hexadecimal.
static const char *escaped(char out[LABEL_MAX + 1], const void *data, size_t len) {
  const uint8_t *from = data;
  bool valid = pl_utf8_valid(data, len);
  if (len > PL_NAME_MAX) len = PL_NAME_MAX;
  char *p = out;
  for (size_t i = 0; i < len; i++) {
    uint8_t c = from[i];
    if (c == '\\' || c == '"') *p++ = '\\';
    if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid)) {
      p += snprintf(p, ESCAPE_ROOM, "\\\\x%02x", c);
      continue;
    }
    *p++ = (char)c;
  }
  *p = '\0';
  return out;
}

static void head(text *t, const char *name, const char *type, const char *help) {
  put(t, "# HELP perilune_%s %s\n# TYPE perilune_%s %s\n", name, help, name, type);
}

// The node.

static void put_node(text *t, const pl_exposition *e) {
  char name[LABEL_MAX + 1], label[LABEL_MAX + 16] = "";
  if (t->node[0] != '\0') snprintf(label, sizeof label, "{node=\"%s\"}", t->node);
  head(t, "node_info", "gauge", "who the node is");
  put(t, "perilune_node_info{id=\"%s\",name=\"%s\",version=\"%s\"} 1\n", e->id,
      escaped(name, e->name, strlen(e->name)), e->version);
  head(t, "uptime_seconds", "gauge", "since the node was made");
  put(t, "perilune_uptime_seconds%s %.3f\n", label, (double)e->up_us / 1e6);
  head(t, "ready", "gauge", "1 when it serves: loaded, and not draining");
  put(t, "perilune_ready%s %d\n", label, e->ready);
}

static void put_metric(text *t, const pl_metric_info *m, uint64_t value) {
  static const char now[] = "_now";
  char name[64];
  size_t len = strlen(m->name), end = sizeof now - 1;
  bool gauge = len > end && strcmp(m->name + len - end, now) == 0;
  snprintf(name, sizeof name, "%.*s%s", (int)(gauge ? len - end : len), m->name,
           gauge ? "" : "_total");
  head(t, name, gauge ? "gauge" : "counter", m->help);
  put(t, "perilune_%s %llu\n", name, (unsigned long long)value);
}

// Its actions: all samples of one name stand together.

typedef struct family {
  text *text;
  const char *name;
  uint64_t (*of)(const pl_action_figures *f);
  bool served_only;
} family;

static const char *end_of(const pl_action_figures *f) {
  return f->served ? "provider" : "caller";
}

static void put_labels(text *t, const char *name, const pl_action_figures *f) {
  char action[LABEL_MAX + 1];
  put(t, "perilune_action_%s{action=\"%s\",end=\"%s\"", name,
      escaped(action, f->action.data, f->action.len), end_of(f));
  if (t->node[0] != '\0') put(t, ",node=\"%s\"", t->node);
}

static void put_sample(const pl_action_figures *f, void *user) {
  const family *of = user;
  if (of->served_only && !f->served) return;
  put_labels(of->text, of->name, f);
  put(of->text, "} %llu\n", (unsigned long long)of->of(f));
}

static uint64_t begun(const pl_action_figures *f) {
  return f->meter->begun;
}
static uint64_t ok(const pl_action_figures *f) {
  return f->meter->ok;
}
static uint64_t streams(const pl_action_figures *f) {
  return f->meter->streams;
}
static uint64_t sent(const pl_action_figures *f) {
  return f->meter->items_sent;
}
static uint64_t received(const pl_action_figures *f) {
  return f->meter->items_received;
}
static uint64_t running(const pl_action_figures *f) {
  return f->served ? f->running : pl_meter_under_way(f->meter);
}
static uint64_t queued(const pl_action_figures *f) {
  return f->queued;
}

static void put_failed(const pl_action_figures *f, void *user) {
  text *t = user;
  for (unsigned i = 0; i < PL_METER_CODES; i++) {
    if (f->meter->codes[i] == 0) continue;
    put_labels(t, "failed_total", f);
    put(t, ",code=\"%s\"} %llu\n", pl_meter_code_name(i), (unsigned long long)f->meter->codes[i]);
  }
}

static void put_latency(const pl_action_figures *f, void *user) {
  text *t = user;
  const pl_histogram *h = &f->meter->took;
  uint64_t count = 0;
  unsigned range = 0;
  for (unsigned bits = BUCKET_LEAST; bits <= BUCKET_MOST; bits++) {
    for (unsigned end = pl_histogram_range(UINT64_C(1) << bits); range < end; range++)
      count += h->ranges[range];
    put_labels(t, "latency_seconds_bucket", f);
    put(t, ",le=\"%.6f\"} %llu\n", (double)(UINT64_C(1) << bits) / 1e6, (unsigned long long)count);
  }
  for (; range < PL_HISTOGRAM_RANGES; range++)
    count += h->ranges[range];
  put_labels(t, "latency_seconds_bucket", f);
  put(t, ",le=\"+Inf\"} %llu\n", (unsigned long long)count);
  put_labels(t, "latency_seconds_sum", f);
  put(t, "} %.6f\n", (double)h->sum_us / 1e6);
  put_labels(t, "latency_seconds_count", f);
  put(t, "} %llu\n", (unsigned long long)count);
}

static void put_actions(text *t, pl_service *sv) {
  static const struct {
    const char *name, *type, *help;
    uint64_t (*of)(const pl_action_figures *f);
    bool served_only;
  } families[] = {
      {"calls_total", "counter", "calls and streams begun", begun, false},
      {"ok_total", "counter", "of these, ended with a result", ok, false},
      {"streams_total", "counter", "of these, streams", streams, false},
      {"items_sent_total", "counter", "items of streams sent", sent, false},
      {"items_received_total", "counter", "items of streams received", received, false},
      {"running", "gauge", "calls under way, or handlers", running, false},
      {"queued", "gauge", "calls that wait for a handler", queued, true},
  };
  char name[64];
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    family f = {t, families[i].name, families[i].of, families[i].served_only};
    snprintf(name, sizeof name, "action_%s", f.name);
    head(t, name, families[i].type, families[i].help);
    pl_service_each_figures(sv, put_sample, &f);
  }
  head(t, "action_failed_total", "counter", "calls and streams ended with an error");
  pl_service_each_figures(sv, put_failed, t);
  head(t, "action_latency_seconds", "histogram", "of calls with a result, streams apart");
  pl_service_each_figures(sv, put_latency, t);
}

bool pl_exposition_put(pl_buf *out, const pl_exposition *e) {
  text t = {.out = out};
  if (e->labelled) escaped(t.node, e->name, strlen(e->name));
  put_node(&t, e);
  for (const pl_metric_info *m = pl_metric_list; e->metrics != NULL && m->name != NULL; m++)
    put_metric(&t, m, pl_metric_get(e->metrics, m));
  put_actions(&t, e->service);
  return !t.failed;
}
