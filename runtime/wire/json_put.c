#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_scan.h"

enum { ESCAPE_MAX = 6, NUMBER_MAX = 40 };

static uint8_t *put_escape(uint8_t *p, uint8_t b) {
  static const char letters[] = "btn\0fr";  // of 8 to 13
  *p++ = '\\';
  if (b == '"' || b == '\\') {
    *p++ = b;
  } else if (b >= '\b' && b <= '\r' && letters[b - '\b'] != 0) {
    *p++ = (uint8_t)letters[b - '\b'];
  } else {
    memcpy(p, "u00", 3);
    p[3] = (uint8_t)('0' + (b >> 4));
    p[4] = (uint8_t) "0123456789abcdef"[b & 15];
    p += 5;
  }
  return p;
}

static size_t escaped_len(const uint8_t *p, const uint8_t *end) {
  size_t len = 0;
  for (; (p = pl_json_skip_plain(p, end)) < end; p++)
    len += ESCAPE_MAX;
  return len;
}

pl_err pl_json_put_string(pl_buf *out, const void *text, size_t len) {
  if (!pl_utf8_valid(text, len)) return PL_INVALID;
  const uint8_t *p = len > 0 ? text : (const uint8_t *)"";
  const uint8_t *end = p + len;
  uint8_t *start = pl_buf_reserve(out, 2 + len + escaped_len(p, end));
  if (start == NULL) return PL_NO_MEMORY;

  uint8_t *to = start;
  *to++ = '"';
  for (;;) {
    const uint8_t *run = p;
    p = pl_json_skip_plain(p, end);
    memcpy(to, run, (size_t)(p - run));
    to += p - run;
    if (p == end) break;
    to = put_escape(to, *p++);
  }
  *to++ = '"';
  pl_buf_commit(out, (size_t)(to - start));
  return PL_OK;
}

// Digits at the end of `text`, which has NUMBER_MAX bytes; their start.
static char *format_integer(char *text, int64_t v) {
  char *p = text + NUMBER_MAX;
  uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  do {
    *--p = (char)('0' + left % 10);
    left /= 10;
  } while (left > 0);
  if (v < 0) *--p = '-';
  return p;
}

pl_err pl_json_put_integer(pl_buf *out, int64_t v) {
  char text[NUMBER_MAX];
  const char *p = format_integer(text, v);
  return pl_buf_append(out, p, (size_t)(text + NUMBER_MAX - p)) ? PL_OK : PL_NO_MEMORY;
}

// Whatever the locale has for a decimal point becomes one.
static size_t fix_point(char *text) {
  char *to = text;
  bool pointed = false;
  for (const char *p = text; *p != 0; p++) {
    bool plain = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
    if (plain) *to++ = *p;
    if (!plain && !pointed) *to++ = '.';
    pointed = pointed || !plain;
  }
  *to = 0;
  return (size_t)(to - text);
}

pl_err pl_json_put_float(pl_buf *out, double v) {
  if (!isfinite(v)) return PL_INVALID;
  char text[NUMBER_MAX];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    if (strtod(text, NULL) == v) break;
  }
  size_t len = fix_point(text);
  if (strpbrk(text, ".e") == NULL) {
    memcpy(text + len, ".0", 2);
    len += 2;
  }
  return pl_buf_append(out, text, len) ? PL_OK : PL_NO_MEMORY;
}
