// Those who want to know what goes on in a node, see perilune_monitor.h.

#include "node/node_impl.h"
#include "service/span.h"

void pl_node_monitor(pl_node *n, pl_monitor *m, void (*on_notice)(const pl_notice *e, void *user),
                     void *user) {
  m->on_notice = on_notice;
  m->user = user;
  pl_service_monitor(n->service, m);
}

void pl_node_unmonitor(pl_node *n, pl_monitor *m) {
  pl_service_unmonitor(n->service, m);
}

void pl_node_each_span(pl_node *n, void (*fn)(const pl_span *s, void *user), void *user) {
  pl_spans_each(n->service, fn, user);
}

void pl_node_tell(pl_node *n, pl_notice *e) {
  pl_service_tell(n->service, e);
}
