// The head of an HTTP/1 request, up to the empty line. Strict where leniency would let two readers
// of the same bytes disagree: no bare line feed, no folded field, no space before a colon, one
// length. Pure: no I/O, no allocation; everything found is a view of the bytes given.
#pragma once

#include "base/buf.h"
#include "base/limits.h"

typedef struct pl_http_field {
  pl_bytes name, value;  // without the spaces around
} pl_http_field;

typedef struct pl_http_head {
  pl_bytes method;  // as it came; methods are told apart by case
  pl_bytes target;  // begins with '/'
  unsigned minor;   // of HTTP/1.x
  pl_bytes host;    // empty when there is none, which only HTTP/1.0 may
  uint64_t length;  // of the body, unless it is chunked
  bool has_length, chunked;
  size_t count;
  pl_http_field fields[PL_HTTP_FIELDS_MAX];
} pl_http_head;

// Looks for the end of a head in bytes of which *scanned have been looked at: its length with the
// empty line; 0 when it has not come yet; or, negative, the status of the refusal: 400, 431.
ptrdiff_t pl_http_head_end(pl_bytes in, size_t *scanned);
// Decodes a whole head. 0; or the status of the refusal, with *out untouched: 400, 431 (more than
// PL_HTTP_FIELDS_MAX), 501 (a transfer coding), 505.
int pl_http_head_decode(pl_http_head *out, pl_bytes head);

// The target up to '?'.
pl_bytes pl_http_path(const pl_http_head *h);
bool pl_http_is(pl_bytes text, const char *is);
