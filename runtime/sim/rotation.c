// How the pre-shared keys of a mesh are changed while it runs: each node first gets the new key
// beside the old one, and when all have both, the old one is taken away. No link ends by it, and no
// two nodes are ever without a key in common.

#include <stdio.h>
#include <string.h>

#include "sim/sim_impl.h"

enum { SECOND_US = 1000000 };  // between two rounds: longer than a handshake where all is well

// Even steps: one key; odd ones: that and the next.
void pl_rotation_text(const pl_sim_node *n, char out[PL_SIM_KEYS_TEXT]) {
  unsigned first = n->key_step / 2, last = (n->key_step + 1) / 2;
  int len = snprintf(out, PL_SIM_KEYS_TEXT, "key number %010u of %llu\n", first,
                     (unsigned long long)n->sim->config->seed);
  if (first == last) return;
  snprintf(out + len, PL_SIM_KEYS_TEXT - (size_t)len, "key number %010u of %llu\n", last,
           (unsigned long long)n->sim->config->seed);
}

// A process that is stopped reads no file.
static bool go_on(pl_sim_node *n) {
  if (n->node != NULL && n->site->paused) return false;
  n->key_step++;
  pl_sim_note(n->sim, PL_SIM_KEYS, n->number, 0, n->key_step, 0);
  n->sim->report->counts.rotations++;
  if (n->node == NULL) return true;
  char text[PL_SIM_KEYS_TEXT];
  pl_rotation_text(n, text);
  pl_kernel *before = pl_site_enter(n->site);
  const char *why = NULL;
  if (pl_node_set_keys(n->node, pl_bytes_of(text, strlen(text)), &why) != PL_OK)
    pl_sim_violated(n->sim, "n%u does not take its keys: %s", n->number, why);
  pl_site_leave(n->site, before);
  return true;
}

static unsigned lowest_step(const pl_sim *s, unsigned *most) {
  unsigned least = s->nodes[0].key_step;
  *most = least;
  for (unsigned i = 1; i < s->count; i++) {
    unsigned step = s->nodes[i].key_step;
    if (step < least) least = step;
    if (step > *most) *most = step;
  }
  return least;
}

void pl_rotation_go_on(pl_sim *s, unsigned first, bool all) {
  unsigned most, least = lowest_step(s, &most);
  bool begins = least == most;
  if (begins && pl_sim_now_us(s) - s->keys_since_us < SECOND_US) return;
  for (unsigned i = 0; i < s->count; i++) {
    pl_sim_node *n = &s->nodes[(first + i) % s->count];
    if (n->key_step == least && go_on(n) && !all) break;
  }
  if (lowest_step(s, &most) == most) s->keys_since_us = pl_sim_now_us(s);
}
