// The admin listener of a node.

#include "edge/admin.h"

#include "edge/exposition.h"
#include "node/node_impl.h"

static const char *why_not_ready(void *user) {
  const pl_node *n = user;
  if (n->stopping) return "draining";
  return n->ready ? NULL : "loading";
}

static bool put_metrics(pl_buf *out, void *user) {
  pl_node *n = user;
  char id[PL_ID_HEX];
  pl_id_format(&n->identity.id, id);
  const pl_exposition e = {
      .id = id,
      .name = n->identity.name,
      .version = PL_VERSION,
      .up_us = pl_now_us(n->loop) - n->made_us,
      .ready = why_not_ready(n) == NULL,
      .metrics = pl_node_metrics(n),
      .service = n->service,
  };
  return pl_exposition_put(out, &e);
}

pl_err pl_node_open_admin(pl_node *n, char *detail) {
  static const pl_admin_ops ops = {.put_metrics = put_metrics, .why_not_ready = why_not_ready};
  const char *address = n->options.admin;
  if (address == NULL || address[0] == '\0') return PL_OK;
  char bound[PL_URL_MAX];
  pl_err err = pl_admin_open(&n->admin, n->loop, address, &ops, n, bound, detail);
  if (err != PL_OK) return err;
  pl_log_info(n->loop->log, "admin listener", pl_f_text("address", bound));
  return PL_OK;
}

void pl_node_set_ready(pl_node *n, bool ready) {
  n->ready = ready;
}
