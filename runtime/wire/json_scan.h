// The strict pass over a JSON text before cJSON reads it. Private to the JSON codec.
//
// What cJSON would lose is written as a marked string. A mark is the character U+0001, its kind,
// and PL_JSON_MARK_SPACE digits. Strings of the text that begin with U+0001 become marked, too, so
// a text cannot forge one.
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
  PL_JSON_MARK = 1,
  PL_JSON_MARK_INTEGER = 'i',  // the digits are the value, hexadecimal
  PL_JSON_MARK_FLOAT = 'f',    // the digits are the bits of the double, hexadecimal
  PL_JSON_MARK_STRING =
      's',  // zeros, then the string, in which \1 + '0' stands for NUL, \1 + '1' for \1
  PL_JSON_MARK_SPACE = 16,
  PL_JSON_MARK_LEN = 2 + PL_JSON_MARK_SPACE,
};

typedef struct pl_json_scan {
  pl_buf out;        // the text for cJSON, with a NUL; the caller's, to be freed on errors, too
  bool marked;       // there are marks in it
  const char *what;  // why it was refused
  size_t at;         // and where: offset in the text
} pl_json_scan;

// Fills the zeroed `s`. PL_INVALID with what and at set, or PL_NO_MEMORY.
pl_err pl_json_scan_text(pl_json_scan *s, pl_bytes text, size_t depth_max);

// The first quote, backslash or control character from `p` on, or `end`.
const uint8_t *pl_json_skip_plain(const uint8_t *p, const uint8_t *end);
