// What is counted of the calls of one action, at one end of them. All only grows; what is under way
// is `begun - ok - failed`.
#pragma once

#include "base/err.h"
#include "base/histogram.h"

enum {
  PL_METER_OWN_CODE = 0,  // a code of a script's own
#define X(name, number, text) PL_METER_##name = -(number),
  PL_ERRORS(X)
#undef X
      PL_METER_CODES
};

typedef struct pl_meter {
  uint64_t begun;
  uint64_t ok;
  uint64_t failed;
  uint64_t streams;  // of `begun`, also those in which only the caller sends
  uint64_t items_sent, items_received;
  uint64_t codes[PL_METER_CODES];  // of `failed`, by the number of the error without its sign
  pl_histogram took;               // calls that ended with a result and were no streams
} pl_meter;

static inline uint64_t pl_meter_under_way(const pl_meter *m) {
  return m->begun - m->ok - m->failed;
}

// `own`: the code is one of a script.
static inline void pl_meter_fail(pl_meter *m, pl_err code, bool own) {
  unsigned number = (unsigned)-(int)code;
  m->failed++;
  m->codes[own || number >= PL_METER_CODES ? PL_METER_OWN_CODE : number]++;
}

// Of the place in `codes`: "TIMEOUT", and "OWN" for those of scripts.
static inline const char *pl_meter_code_name(unsigned place) {
  return place == PL_METER_OWN_CODE ? "OWN" : pl_err_name((pl_err) - (int)place);
}
