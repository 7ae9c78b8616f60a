// Strict JSON (RFC 8259) over cJSON: UTF-8, control characters, escapes, numbers, depth and size are
// checked before cJSON sees a byte, and integers of up to 64 bits survive exactly.
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

// Where and why a text was refused, for people.
typedef struct pl_json_error {
  size_t line, column;  // from 1
  const char *what;     // static
} pl_json_error;

// Parses one document. *out is the caller's (cJSON_Delete). Integers beyond 2^53 are kept exactly: see pl_json_integer.
// `\u0000` in strings is kept, too: see pl_json_string.
pl_err pl_json_parse(cJSON **out, pl_bytes text, size_t depth_max, pl_json_error *error);

// True when `node` is a number written without fraction or exponent that fits; *out is exact.
bool pl_json_integer(const cJSON *node, int64_t *out);
// True for any number.
bool pl_json_number(const cJSON *node, double *out);
// True for a string: its bytes, which may hold NUL.
bool pl_json_string(const cJSON *node, const char **text, size_t *len);

// Appends `text` with quotes and escapes. Invalid UTF-8 is refused with PL_INVALID.
pl_err pl_json_put_string(pl_buf *out, const void *text, size_t len);
// The shortest text that reads back as the same double; floats keep a ".0" so that they stay floats. NaN and
// infinities are refused with PL_INVALID.
pl_err pl_json_put_float(pl_buf *out, double v);
pl_err pl_json_put_integer(pl_buf *out, int64_t v);

// Strict UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). Fast on long ASCII.
bool pl_utf8_valid(const void *text, size_t len);
