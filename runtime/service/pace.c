#include "service/pace.h"

static void smooth(uint64_t *mean, uint64_t sample) {
  *mean += (sample > *mean ? sample - *mean : 0) / 8;
  *mean -= (sample < *mean ? *mean - sample : 0) / 8;
}

void pl_pace_ended(pl_pace *p, uint64_t now_us, uint64_t took_us, size_t waiting) {
  smooth(&p->run_us, took_us);
  if (p->ended_us > 0) {
    uint64_t gap_ns = (now_us - p->ended_us) * 1000;
    if (p->gap_ns == 0) p->gap_ns = gap_ns;
    smooth(&p->gap_ns, gap_ns);
  }
  p->ended_us = waiting > 0 ? now_us : 0;
}

uint64_t pl_pace_wait_us(const pl_pace *p, size_t running, size_t waiting) {
  uint64_t gap_ns = p->gap_ns > 0 ? p->gap_ns : p->run_us * 1000 / (running > 0 ? running : 1);
  return gap_ns * (waiting + 1) / 1000;
}
