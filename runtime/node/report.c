// `_perilune.info`: what a node tells of itself to who may look into it (docs/protocol.md, 5.14).

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

static uint8_t *put_metrics(uint8_t *p, pl_loop *loop) {
  loop->metrics.log_lines_lost = pl_log_lost(loop->log);  // counted where any thread may log
  p = pl_mp_put_map(put_text(p, "metrics"), (uint32_t)metric_count());
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++)
    p = pl_mp_put_uint(put_text(p, m->name), pl_metric_get(&loop->metrics, m));
  return p;
}

static uint8_t *put_all(uint8_t *p, const pl_node *n) {
  char hex[PL_ID_HEX];
  pl_id_format(&n->identity.id, hex);
  uint64_t up_us = pl_now_us(n->loop) - n->made_us;
  p = pl_mp_put_map(pl_mp_put_array(p, 1), FIXED_FIELDS);
  p = put_text(put_text(p, "id"), hex);
  p = put_text(put_text(p, "name"), n->identity.name);
  p = put_text(put_text(p, "version"), PL_VERSION);
  p = pl_mp_put_float(put_text(p, "uptime"), (double)up_us / 1e6);
  p = pl_mp_put_bool(put_text(p, "leaf"), n->identity.role == PL_ROLE_LEAF);
  p = pl_mp_put_bool(put_text(p, "draining"), n->identity.draining);
  return put_metrics(p, n->loop);
}

static void on_info(pl_request *r, void *user) {
  pl_node *n = user;
  pl_buf out = {0};
  size_t room = (FIXED_FIELDS + metric_count()) * TEXT_ROOM + PL_NAME_MAX;
  uint8_t *p = pl_buf_reserve(&out, room);
  if (p == NULL) {
    const pl_failure none = pl_failure_of(PL_NO_MEMORY, PL_EXECUTED, NULL);
    pl_request_end(r, NULL, &none);
    return;
  }
  const pl_parts result = pl_parts_of(pl_bytes_of(p, (size_t)(put_all(p, n) - p)));
  pl_request_end(r, &result, NULL);
  pl_buf_fini(&out);
}

void pl_report_open(pl_node *n) {
  static const pl_action_ops ops = {.on_start = on_info};
  pl_node_add_system_action(n, PL_SYSTEM_PREFIX "info", &ops, n);
}
