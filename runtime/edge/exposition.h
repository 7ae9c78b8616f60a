// What a node counts, as text for Prometheus (version 0.0.4 of its format).
#pragma once

#include "base/buf.h"
#include "base/metric.h"
#include "service/service.h"

typedef struct pl_exposition {
  const char *id, *name, *version;
  uint64_t up_us;
  bool ready;
  const pl_metrics *metrics;
  pl_service *service;
} pl_exposition;

// Appends it. False: no memory, and `out` has a part of it.
bool pl_exposition_put(pl_buf *out, const pl_exposition *e);
