#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sim/sim_impl.h"

static const char *const kinds[PL_SIM_KINDS] = {"work", "once", "count", "nest", "share"};

static int format(const pl_sim_entry *e, char *out, size_t size) {
  unsigned s = (unsigned)(e->at_us / 1000000), us = (unsigned)(e->at_us % 1000000);
  int n = snprintf(out, size, "%6u.%06u  ", s, us);
  out += n;
  size -= (size_t)n;
  double x_s = (double)e->x / 1e6;
  switch (e->event) {
    case PL_SIM_BOOT: return n + snprintf(out, size, "n%u starts", e->a);
    case PL_SIM_KILL: return n + snprintf(out, size, "n%u is killed", e->a);
    case PL_SIM_POWER: return n + snprintf(out, size, "n%u loses power", e->a);
    case PL_SIM_STOP: return n + snprintf(out, size, "n%u is told to stop", e->a);
    case PL_SIM_CUT:
      return n + snprintf(out, size, "n%u-n%u is cut; told:%s%s%s", e->a, e->b,
                          e->x & 1 ? " the first" : "", e->x & 2 ? " the second" : "",
                          e->x & 4 ? ", silently" : "");
    case PL_SIM_BLOCK: return n + snprintf(out, size, "n%u->n%u is blocked", e->a, e->b);
    case PL_SIM_CLOG:
      return n + snprintf(out, size, "n%u->n%u is slow: %.1f ms, %" PRId64 " B/s", e->a, e->b,
                          (double)e->x / 1e3, e->y);
    case PL_SIM_CLEAR: return n + snprintf(out, size, "n%u->n%u is well", e->a, e->b);
    case PL_SIM_PAUSE: return n + snprintf(out, size, "n%u is stopped for %.3f s", e->a, x_s);
    case PL_SIM_RESUME: return n + snprintf(out, size, "n%u goes on", e->a);
    case PL_SIM_SLOW: return n + snprintf(out, size, "n%u lags by %.3f s", e->a, x_s);
    case PL_SIM_LEAP: return n + snprintf(out, size, "n%u's clock leaps by %.3f s", e->a, x_s);
    case PL_SIM_RATE: return n + snprintf(out, size, "n%u's clock runs at %.6f", e->a, x_s);
    case PL_SIM_WALL:
      return n + snprintf(out, size, "n%u's wall clock is off by %.0f s", e->a, x_s);
    case PL_SIM_CHURN:
      return n +
             snprintf(out, size, "n%u %s '%s'", e->a, e->y ? "provides" : "withdraws", kinds[e->x]);
    case PL_SIM_KEYS:
      return n + snprintf(out, size, "n%u changes its keys, for the %" PRId64 ". time", e->a, e->x);
    case PL_SIM_VISIT:
      return n + snprintf(out, size, "n%u is visited: %s", e->a, pl_intruder_manners[e->x]);
    case PL_SIM_CALL:
      return n + snprintf(out, size, "n%u calls '%s', #%" PRId64, e->a, kinds[e->y], e->x);
    case PL_SIM_RUN: return n + snprintf(out, size, "n%u runs #%" PRId64, e->a, e->x);
    case PL_SIM_SETTLE:
      return n + snprintf(out, size, "n%u's #%" PRId64 " ends: %s%s%s", e->a, e->x,
                          e->y == 0 ? "OK" : pl_err_name((pl_err)(e->y >> 8)),
                          e->y == 0 ? "" : ", ",
                          e->y == 0 ? "" : pl_outcome_name((pl_outcome)(e->y & 0xff)));
    case PL_SIM_QUIET: return n + snprintf(out, size, "the disasters are over");
    case PL_SIM_RIGHT: return n + snprintf(out, size, "every table is right");
  }
  return n;
}

// FNV-1a over the numbers.
static uint64_t mix(uint64_t digest, uint64_t value) {
  for (int i = 0; i < 8; i++) {
    digest ^= value >> (8 * i) & 0xff;
    digest *= 0x100000001b3;
  }
  return digest;
}

void pl_sim_note(pl_sim *s, pl_sim_event event, unsigned a, unsigned b, int64_t x, int64_t y) {
  pl_sim_journal *j = &s->journal;
  const pl_sim_entry e = {
      .at_us = pl_sim_now_us(s), .event = event, .a = a, .b = b, .x = x, .y = y};
  j->last[j->count++ % PL_SIM_EVENTS_KEPT] = e;
  uint64_t d = mix(j->digest, e.at_us);
  d = mix(d, (uint64_t)e.event << 32 | e.a);
  d = mix(d, e.b);
  d = mix(d, (uint64_t)e.x);
  j->digest = mix(d, (uint64_t)e.y);
  if (j->trace == NULL) return;
  char line[256];
  format(&e, line, sizeof line);
  fprintf(j->trace, "%s\n", line);
}

char *pl_sim_journal_text(const pl_sim_journal *j) {
  pl_buf text = {0};
  uint64_t first = j->count > PL_SIM_EVENTS_KEPT ? j->count - PL_SIM_EVENTS_KEPT : 0;
  for (uint64_t i = first; i < j->count; i++) {
    char line[256];
    format(&j->last[i % PL_SIM_EVENTS_KEPT], line, sizeof line);
    pl_buf_append(&text, line, strlen(line));
    pl_buf_append(&text, "\n", 1);
  }
  pl_buf_append(&text, "", 1);
  char *out = pl_strdup((const char *)pl_buf_data(&text));
  pl_buf_fini(&text);
  return out;
}
