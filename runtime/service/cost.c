#include "service/cost.h"

void pl_cost_hit(pl_cost *c, uint64_t cpu_us) {
  uint64_t calls = c->begun > c->ended ? c->begun : c->ended;
  uint64_t ns = cpu_us * 1000 / (calls + 1);
  c->ns = c->ns == 0 ? ns : (c->ns + ns) / 2;
  c->begun = c->ended = 0;
}
