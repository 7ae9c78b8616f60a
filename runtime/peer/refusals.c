#include "peer/refusals.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { FROM_MAX = 64 };

static const uint64_t FIRST_WAIT_US = 60ULL * 1000000;   // doubles each time it is told
static const uint64_t LAST_WAIT_US = 3600ULL * 1000000;  // and so long without it is forgotten

typedef struct row {
  char from[FROM_MAX];
  uint64_t seen_us;
  uint64_t told_us;
  uint64_t wait_us;  // from then on until it is told again
  uint64_t times;    // since then
} row;

struct pl_refusals {
  size_t count;
  row rows[PL_REFUSALS_MAX];
  row others;
};

pl_refusals *pl_refusals_new(void) {
  return pl_new(pl_refusals);
}

void pl_refusals_free(pl_refusals *r) {
  pl_free(r);
}

static row *begin(row *to, const char *from) {
  *to = (row){.wait_us = 0};
  snprintf(to->from, sizeof to->from, "%s", from);
  return to;
}

static row *find(pl_refusals *r, const char *from, uint64_t now_us) {
  row *quiet = NULL;
  for (row *at = r->rows; at < r->rows + r->count; at++) {
    if (strncmp(at->from, from, FROM_MAX - 1) == 0) return at;
    if (at->seen_us + LAST_WAIT_US < now_us) quiet = at;
  }
  if (quiet != NULL) return begin(quiet, from);
  if (r->count < PL_REFUSALS_MAX) return begin(&r->rows[r->count++], from);
  if (r->others.from[0] == '\0') begin(&r->others, "others");
  return &r->others;
}

uint64_t pl_refusals_note(pl_refusals *r, const char **from, uint64_t now_us) {
  row *at = find(r, *from, now_us);
  if (at->seen_us + LAST_WAIT_US < now_us) at->wait_us = 0;
  at->seen_us = now_us;
  at->times++;
  *from = at->from;
  if (at->wait_us > 0 && now_us < at->told_us + at->wait_us) return 0;
  uint64_t times = at->times;
  at->times = 0;
  at->told_us = now_us;
  at->wait_us = at->wait_us == 0 ? FIRST_WAIT_US : at->wait_us * 2;
  if (at->wait_us > LAST_WAIT_US) at->wait_us = LAST_WAIT_US;
  return times;
}
