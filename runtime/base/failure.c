#include "base/failure.h"

#include <string.h>

pl_failure pl_failure_of(pl_err code, pl_outcome outcome, const char *message) {
  pl_failure f = {.code = code, .outcome = outcome};
  if (message != NULL) f.message = pl_bytes_of(message, strlen(message));
  return f;
}

static void keep(pl_bytes *view) {
  if (!pl_bytes_keep(view, *view)) *view = (pl_bytes){0};
}

pl_failure pl_failure_keep(const pl_failure *f) {
  pl_failure copy = *f;
  keep(&copy.name);
  keep(&copy.message);
  keep(&copy.action);
  keep(&copy.traceback);
  keep(&copy.cause);
  keep(&copy.details);
  return copy;
}

void pl_failure_drop(pl_failure *f) {
  pl_bytes_drop(&f->name);
  pl_bytes_drop(&f->message);
  pl_bytes_drop(&f->action);
  pl_bytes_drop(&f->traceback);
  pl_bytes_drop(&f->cause);
  pl_bytes_drop(&f->details);
}
