// What a node counts, as text for Prometheus (version 0.0.4 of its format).
#pragma once

#include "base/buf.h"
#include "base/metric.h"
#include "service/service.h"

typedef struct pl_exposition {
  const char *id, *name, *version;
  uint64_t up_us;
  bool ready;
  bool labelled;              // each sample says which node it is of
  const pl_metrics *metrics;  // of the thread; NULL: none
  pl_service *service;
} pl_exposition;

// Appends it. False: no memory, and `out` has a part of it.
bool pl_exposition_put(pl_buf *out, const pl_exposition *e);

// Appends `own` with the samples of `others` behind those of the same name, as the format wants
// them. All are texts of pl_exposition_put; of anything else some lines may be left out. False as
// above.
bool pl_exposition_join(pl_buf *out, pl_bytes own, const pl_bytes *others, size_t count);
