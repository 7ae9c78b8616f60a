// Strict JSON (RFC 8259) over cJSON: UTF-8, control characters, escapes, numbers, depth and
// duplicate keys are checked before cJSON sees a byte, and integers of up to 64 bits survive
// exactly.
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/utf8.h"

enum { PL_JSON_DEPTH_MAX = 128 };

// Where and why a text was refused, for people.
typedef struct pl_json_error {
  size_t line, column;  // from 1, in characters
  const char *what;     // static
} pl_json_error;

// Parses one document nested at most `depth_max` (<= PL_JSON_DEPTH_MAX) arrays and objects deep.
// *out is the caller's (cJSON_Delete). PL_INVALID with *error set, or PL_NO_MEMORY. Integers past
// 64 bits and numbers past the range of a double are refused. The nodes are as cJSON's, but read
// them with the functions below: strings with `\u0000` and exact numbers are kept where cJSON alone
// has no place for them.
pl_err pl_json_parse(cJSON **out, pl_bytes text, size_t depth_max, pl_json_error *error);

// True when `node` is a number that was written without fraction or exponent; *out is exact.
bool pl_json_integer(const cJSON *node, int64_t *out);
// True for any number.
bool pl_json_number(const cJSON *node, double *out);
// True for a string: its bytes, which may hold NUL.
bool pl_json_string(const cJSON *node, const char **text, size_t *len);
// True for a member of an object: the bytes of its key, which may hold NUL.
bool pl_json_key(const cJSON *node, const char **text, size_t *len);

// Appends `text` with quotes and escapes. Invalid UTF-8 is refused with PL_INVALID.
pl_err pl_json_put_string(pl_buf *out, const void *text, size_t len);
// The shortest text that reads back as the same double; floats keep a ".0" so that they stay
// floats. NaN and infinities are refused with PL_INVALID.
pl_err pl_json_put_float(pl_buf *out, double v);
pl_err pl_json_put_integer(pl_buf *out, int64_t v);
