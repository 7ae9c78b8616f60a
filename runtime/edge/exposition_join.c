// Joins the texts of several nodes: all samples of one name stand together.

#include <string.h>

#include "edge/exposition.h"

static const char help[] = "# HELP ";

// The next line with its end, cut off `text`; empty at its end.
static pl_bytes take_line(pl_bytes *text) {
  const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
  size_t len = end != NULL ? (size_t)(end - text->data) + 1 : text->len;
  pl_bytes line = pl_bytes_of(text->data, len);
  *text = pl_bytes_of(text->data + len, text->len - len);
  return line;
}

static bool begins_family(pl_bytes line) {
  return line.len >= sizeof help - 1 && memcmp(line.data, help, sizeof help - 1) == 0;
}

static bool equal(pl_bytes a, pl_bytes b) {
  return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

// The samples of the family that `text` stands at, if it is the one of that first line.
static bool put_samples(pl_buf *out, pl_bytes *text, pl_bytes first) {
  pl_bytes rest = *text;
  if (!equal(take_line(&rest), first)) return true;
  bool done = true;
  while (rest.len > 0) {
    pl_bytes after = rest, line = take_line(&after);
    if (begins_family(line)) break;
    if (line.data[0] != '#') done = done && pl_buf_append(out, line.data, line.len);
    rest = after;
  }
  *text = rest;
  return done;
}

// The names come in one order in all of them, but some may not be in the others.
bool pl_exposition_join(pl_buf *out, pl_bytes own, const pl_bytes *others, size_t count) {
  pl_bytes left[PL_EXPOSITIONS_MAX];
  if (count > PL_EXPOSITIONS_MAX) count = PL_EXPOSITIONS_MAX;
  memcpy(left, others, count * sizeof *left);
  pl_bytes first = {0};
  bool done = true;
  while (own.len > 0) {
    pl_bytes line = take_line(&own);
    if (begins_family(line)) first = line;
    done = done && pl_buf_append(out, line.data, line.len);
    pl_bytes ahead = own;
    bool ends = own.len == 0 || begins_family(take_line(&ahead));
    for (size_t i = 0; ends && first.len > 0 && i < count; i++)
      done = done && put_samples(out, &left[i], first);
  }
  return done;
}
