// A wire that loses or repeats whole frames, which no TCP does: what is checked after a run must
// notice. It watches the frames of one direction go by.
#pragma once

#include "base/buf.h"
#include "sim/net.h"

// Zeroed is one that has seen nothing yet.
typedef struct pl_saboteur {
  pl_buf seen;    // the beginning of a frame that is not whole yet
  pl_buf passed;  // what goes out instead
  bool greeted;   // the preamble is through
} pl_saboteur;

void pl_saboteur_fini(pl_saboteur *s);
// What to send instead of the bytes, to be cleared after that; NULL: these.
pl_buf *pl_saboteur_pass(pl_saboteur *s, pl_net *n, const uint8_t *data, size_t len);
