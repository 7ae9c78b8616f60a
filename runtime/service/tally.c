#include "service/tally.h"

#include <assert.h>

#include "base/mem.h"

pl_node_tally *pl_node_tally_new(void) {
  pl_node_tally *t = pl_new(pl_node_tally);
  t->refs = 1;
  return t;
}

void pl_node_tally_drop(pl_node_tally *t) {
  assert(t->refs > 0);
  if (--t->refs == 0) pl_free(t);
}

void pl_node_tally_told(pl_node_tally *t, uint32_t requests) {
  t->load = requests > t->outstanding ? requests - t->outstanding : 0;
}

pl_tally *pl_tally_new(pl_node_tally *node) {
  pl_tally *t = pl_new(pl_tally);
  t->refs = 1;
  t->node = node;
  node->refs++;
  return t;
}

void pl_tally_drop(pl_tally *t) {
  assert(t->refs > 0);
  if (--t->refs > 0) return;
  pl_node_tally_drop(t->node);
  pl_free(t);
}

void pl_errand_count(pl_errand *e, pl_node_tally *node) {
  assert(e->node == NULL && e->tally == NULL);
  e->node = node;
  node->refs++;
  node->outstanding++;
}

void pl_errand_begin(pl_errand *e, pl_tally *t, uint64_t now_us) {
  assert(e->node == NULL);
  e->node = t->node;
  e->tally = t;
  e->began_us = now_us;
  e->probe = pl_health_begin(&t->health, now_us);
  t->refs++;
  t->outstanding++;
  t->node->outstanding++;
}

static void smooth(pl_tally *t, uint64_t took_us) {
  if (took_us == 0) took_us = 1;
  if (t->latency_us == 0) t->latency_us = took_us;
  t->latency_us += (took_us > t->latency_us ? took_us - t->latency_us : 0) / 8;
  t->latency_us -= (took_us < t->latency_us ? t->latency_us - took_us : 0) / 8;
}

void pl_errand_end(pl_errand *e, uint64_t now_us, pl_verdict verdict, bool timed,
                   uint32_t retry_after_ms) {
  pl_node_tally *node = e->node;
  pl_tally *t = e->tally;
  if (node == NULL) return;
  e->node = NULL;
  assert(node->outstanding > 0);
  node->outstanding--;
  if (t == NULL) {
    pl_node_tally_drop(node);
    return;
  }
  e->tally = NULL;
  assert(t->outstanding > 0);
  t->outstanding--;
  pl_health_end(&t->health, now_us, e->probe, verdict, retry_after_ms);
  if (timed && verdict == PL_VERDICT_GOOD) smooth(t, now_us - e->began_us);
  pl_tally_drop(t);
}
