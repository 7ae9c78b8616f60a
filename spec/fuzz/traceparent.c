// What is read of a traceparent is what stands there.
#include <assert.h>
#include <string.h>

#include "base/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  pl_trace t;
  if (!pl_trace_parse(&t, text, size)) return 0;
  char id[PL_ID_HEX], span[PL_SPAN_HEX];
  pl_id_format(&t.id, id);
  pl_span_format(t.span, span);
  assert(memcmp(text + 3, id, sizeof id - 1) == 0);
  assert(memcmp(text + 36, span, sizeof span - 1) == 0);
  assert((t.flags & ~PL_TRACE_SAMPLED) == 0);
  return 0;
}
