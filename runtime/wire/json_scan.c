#include "wire/json_scan.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_keys.h"

typedef struct level {
  bool object;
  size_t keys;  // of the objects around it
} level;

typedef struct scan {
  const uint8_t *start, *end;
  const uint8_t *at;
  const uint8_t *copied;  // up to here the text is in s->out
  pl_json_scan *s;
  pl_json_keys keys;  // of the open objects
  pl_buf scratch;
  level levels[PL_JSON_DEPTH_MAX + 1];
  size_t depth, depth_max;
} scan;

static pl_err refuse(scan *c, const uint8_t *at, const char *what) {
  c->s->what = what;
  c->s->at = (size_t)(at - c->start);
  return PL_INVALID;
}

static pl_err unexpected(scan *c) {
  return refuse(c, c->at, c->at == c->end ? "unexpected end" : "unexpected character");
}

static void skip_space(scan *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
    c->at++;
}

static bool take(scan *c, char wanted) {
  if (c->at == c->end || *c->at != (uint8_t)wanted) return false;
  c->at++;
  return true;
}

static bool is_digit(const scan *c, const uint8_t *p) {
  return p < c->end && *p >= '0' && *p <= '9';
}

// Replaces the text from `from` to the position by what the caller appends next.
static bool replace_from(scan *c, const uint8_t *from) {
  bool ok = pl_buf_append(&c->s->out, c->copied, (size_t)(from - c->copied));
  c->copied = c->at;
  c->s->marked = true;
  return ok;
}

static uint8_t *put_mark(uint8_t *p, char kind, uint64_t digits) {
  memcpy(p, "\\u0001", 6);
  p[6] = (uint8_t)kind;
  p += 7;
  for (int shift = 60; shift >= 0; shift -= 4)
    *p++ = (uint8_t) "0123456789abcdef"[digits >> shift & 15];
  return p;
}

static pl_err mark_number(scan *c, const uint8_t *from, char kind, uint64_t digits) {
  uint8_t mark[7 + PL_JSON_MARK_SPACE + 2] = "\"";
  uint8_t *p = put_mark(mark + 1, kind, digits);
  *p++ = '"';
  if (!replace_from(c, from)) return PL_NO_MEMORY;
  return pl_buf_append(&c->s->out, mark, (size_t)(p - mark)) ? PL_OK : PL_NO_MEMORY;
}

// Numbers

enum { EXACT_DIGITS = 15 };
static const long EXPONENT_END = 100000000000000000;  // no text is long enough to matter past it

// The parts of a number, as the grammar has them. `end`s are one past.
typedef struct number {
  const uint8_t *from;
  const uint8_t *digits, *digits_end;
  const uint8_t *fraction, *fraction_end;  // equal: none
  bool has_exponent;
  long exponent;
} number;

static void take_digits(scan *c) {
  while (is_digit(c, c->at))
    c->at++;
}

static pl_err take_exponent(scan *c, number *n) {
  n->has_exponent = true;
  bool negative = take(c, '-');
  if (!negative) take(c, '+');
  if (!is_digit(c, c->at)) return unexpected(c);
  for (; is_digit(c, c->at); c->at++) {
    if (n->exponent < EXPONENT_END) n->exponent = n->exponent * 10 + (*c->at - '0');
  }
  if (negative) n->exponent = -n->exponent;
  return PL_OK;
}

static pl_err take_number(scan *c, number *n) {
  *n = (number){.from = c->at};
  take(c, '-');
  n->digits = c->at;
  if (!take(c, '0')) take_digits(c);
  n->digits_end = c->at;
  if (n->digits == n->digits_end) return unexpected(c);
  if (is_digit(c, c->at)) return refuse(c, n->digits, "a number with a leading zero");

  if (take(c, '.')) {
    n->fraction = c->at;
    take_digits(c);
    n->fraction_end = c->at;
    if (n->fraction == n->fraction_end) return unexpected(c);
  }
  if (take(c, 'e') || take(c, 'E')) return take_exponent(c, n);
  return PL_OK;
}

static pl_err check_integer(scan *c, const number *n) {
  size_t digits = (size_t)(n->digits_end - n->digits);
  if (digits <= EXACT_DIGITS) return PL_OK;  // a double holds it

  bool negative = *n->from == '-';
  uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
  uint64_t v = 0;
  for (const uint8_t *p = n->digits; p < n->digits_end; p++) {
    unsigned digit = *p - '0';
    if (v > (limit - digit) / 10) return refuse(c, n->from, "an integer of more than 64 bits");
    v = v * 10 + digit;
  }
  return mark_number(c, n->from, PL_JSON_MARK_INTEGER, negative ? 0 - v : v);
}

static bool all_zeros(const uint8_t *p, const uint8_t *end) {
  while (p < end && *p == '0')
    p++;
  return p == end;
}

// A short decimal that is no whole number: the double that cJSON makes of it is none, either, and
// cannot be mistaken for an integer.
static bool is_plain_float(const number *n) {
  size_t digits = (size_t)(n->digits_end - n->digits) + (size_t)(n->fraction_end - n->fraction);
  return !n->has_exponent && digits <= EXACT_DIGITS && !all_zeros(n->fraction, n->fraction_end);
}

// Without a decimal point, so that no locale has a say: 1.25e3 is read as 125e1.
static bool put_pointless(pl_buf *out, const number *n) {
  size_t whole = (size_t)(n->digits_end - n->from);
  size_t fraction = (size_t)(n->fraction_end - n->fraction);
  char exponent[24];
  int len = snprintf(exponent, sizeof exponent, "e%ld", n->exponent - (long)fraction);
  return pl_buf_append(out, n->from, whole) &&
         (fraction == 0 || pl_buf_append(out, n->fraction, fraction)) &&
         pl_buf_append(out, exponent, (size_t)len + 1);
}

static pl_err check_float(scan *c, const number *n) {
  if (is_plain_float(n)) return PL_OK;
  pl_buf_clear(&c->scratch);
  if (!put_pointless(&c->scratch, n)) return PL_NO_MEMORY;
  double v = strtod((const char *)pl_buf_data(&c->scratch), NULL);
  if (!isfinite(v)) return refuse(c, n->from, "a number past the range of a double");
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return mark_number(c, n->from, PL_JSON_MARK_FLOAT, bits);
}

static pl_err scan_number(scan *c) {
  number n;
  pl_err err = take_number(c, &n);
  if (err != PL_OK) return err;
  return n.fraction == NULL && !n.has_exponent ? check_integer(c, &n) : check_float(c, &n);
}

// Strings

static const uint64_t ONES = 0x0101010101010101U;
static const uint64_t HIGH_BITS = 0x8080808080808080U;

// Nonzero when one of the eight bytes is a quote, a backslash or a control character.
static uint64_t has_special(uint64_t w) {
  uint64_t quote = w ^ ONES * '"';
  uint64_t backslash = w ^ ONES * '\\';
  return (((w - ONES * 0x20) & ~w) | ((quote - ONES) & ~quote) |
          ((backslash - ONES) & ~backslash)) &
         HIGH_BITS;
}

const uint8_t *pl_json_skip_plain(const uint8_t *p, const uint8_t *end) {
  for (uint64_t w; end - p >= 8; p += 8) {
    memcpy(&w, p, sizeof w);
    if (has_special(w) != 0) break;
  }
  while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
    p++;
  return p;
}

static int hex_digit(uint8_t b) {
  if (b >= '0' && b <= '9') return b - '0';
  b |= 0x20;
  return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

// The four digits at the position, or -1.
static int32_t take_hex4(scan *c) {
  int32_t v = 0;
  for (int i = 0; i < 4; i++) {
    int digit = c->at < c->end ? hex_digit(*c->at) : -1;
    if (digit < 0) return -1;
    v = v << 4 | digit;
    c->at++;
  }
  return v;
}

static uint8_t *put_utf8(uint8_t *p, uint32_t v) {
  if (v < 0x80) {
    *p++ = (uint8_t)v;
    return p;
  }
  if (v < 0x800) {
    *p++ = (uint8_t)(0xc0 | v >> 6);
  } else {
    if (v < 0x10000) {
      *p++ = (uint8_t)(0xe0 | v >> 12);
    } else {
      *p++ = (uint8_t)(0xf0 | v >> 18);
      *p++ = (uint8_t)(0x80 | (v >> 12 & 0x3f));
    }
    *p++ = (uint8_t)(0x80 | (v >> 6 & 0x3f));
  }
  *p++ = (uint8_t)(0x80 | (v & 0x3f));
  return p;
}

// The character of an escape, the position being behind its `\u`.
static pl_err take_unicode(scan *c, uint32_t *out) {
  const uint8_t *from = c->at - 2;
  int32_t v = take_hex4(c);
  if (v < 0) return unexpected(c);
  if (v >= 0xdc00 && v < 0xe000) return refuse(c, from, "half of a surrogate pair");
  if (v >= 0xd800 && v < 0xdc00) {
    if (!take(c, '\\') || !take(c, 'u')) return refuse(c, from, "half of a surrogate pair");
    int32_t low = take_hex4(c);
    if (low < 0) return unexpected(c);
    if (low < 0xdc00 || low >= 0xe000) return refuse(c, from, "half of a surrogate pair");
    v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
  }
  *out = (uint32_t)v;
  return PL_OK;
}

// Appends the character of the escape at the position to the scratch.
static pl_err take_escape(scan *c) {
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  c->at++;
  if (c->at == c->end) return unexpected(c);
  uint32_t v = 0;
  const char *letter = *c->at == 0 ? NULL : strchr(letters, *c->at);
  if (letter != NULL) {
    c->at++;
    v = (uint8_t)meanings[letter - letters];
  } else if (take(c, 'u')) {
    pl_err err = take_unicode(c, &v);
    if (err != PL_OK) return err;
  } else {
    return refuse(c, c->at - 1, "an unknown escape");
  }
  uint8_t *p = pl_buf_reserve(&c->scratch, 4);
  if (p == NULL) return PL_NO_MEMORY;
  pl_buf_commit(&c->scratch, (size_t)(put_utf8(p, v) - p));
  return PL_OK;
}

// Moves past the string at the position. *value borrows from the scratch when it is *escaped, else
// from the text.
static pl_err take_string(scan *c, pl_bytes *value, bool *escaped) {
  const uint8_t *run = ++c->at;
  *escaped = false;
  pl_buf_clear(&c->scratch);
  for (;;) {
    c->at = pl_json_skip_plain(c->at, c->end);
    if (c->at == c->end) return unexpected(c);
    if (*c->at < 0x20) return refuse(c, c->at, "a control character in a string");
    bool ended = *c->at == '"';
    if (ended && !*escaped) {
      *value = pl_bytes_of(run, (size_t)(c->at++ - run));
      return PL_OK;
    }
    if (!pl_buf_append(&c->scratch, run, (size_t)(c->at - run))) return PL_NO_MEMORY;
    if (ended) break;
    pl_err err = take_escape(c);
    if (err != PL_OK) return err;
    *escaped = true;
    run = c->at;
  }
  c->at++;
  *value = pl_bytes_of(pl_buf_data(&c->scratch), pl_buf_len(&c->scratch));
  return PL_OK;
}

static bool put_escape(pl_buf *out, uint8_t b) {
  char text[8];
  int len;
  if (b <= PL_JSON_MARK) {
    len = snprintf(text, sizeof text, "\\u0001%c", '0' + b);
  } else if (b < 0x20) {
    len = snprintf(text, sizeof text, "\\u%04x", b);
  } else {
    len = snprintf(text, sizeof text, "\\%c", b);
  }
  return pl_buf_append(out, text, (size_t)len);
}

static bool put_marked_string(pl_buf *out, pl_bytes value) {
  uint8_t head[1 + 7 + PL_JSON_MARK_SPACE] = "\"";
  const uint8_t *head_end = put_mark(head + 1, PL_JSON_MARK_STRING, 0);
  bool ok = pl_buf_append(out, head, (size_t)(head_end - head));
  const uint8_t *end = value.data + value.len;
  for (const uint8_t *p = value.data; ok && p < end;) {
    const uint8_t *run = p;
    p = pl_json_skip_plain(p, end);
    ok = pl_buf_append(out, run, (size_t)(p - run));
    if (ok && p < end) ok = put_escape(out, *p++);
  }
  return ok && pl_buf_append(out, "\"", 1);
}

static pl_err scan_string(scan *c, pl_bytes *value) {
  const uint8_t *from = c->at;
  bool escaped = false;
  pl_err err = take_string(c, value, &escaped);
  if (err != PL_OK) return err;
  if (!escaped) return PL_OK;  // then neither character can be in it
  bool special = value->data[0] == PL_JSON_MARK || memchr(value->data, 0, value->len) != NULL;
  if (!special) return PL_OK;
  return replace_from(c, from) && put_marked_string(&c->s->out, *value) ? PL_OK : PL_NO_MEMORY;
}

// Structure

static pl_err open_level(scan *c, bool object) {
  if (c->depth == c->depth_max) return refuse(c, c->at, "nested too deep");
  c->at++;
  c->levels[++c->depth] = (level){.object = object, .keys = pl_json_keys_count(&c->keys)};
  return PL_OK;
}

static pl_err close_level(scan *c) {
  level *l = &c->levels[c->depth--];
  if (!l->object) return PL_OK;
  size_t at = 0;
  if (pl_json_keys_close(&c->keys, l->keys, &at)) return PL_OK;
  return refuse(c, c->start + at, "a key that the object has already");
}

static pl_err scan_key(scan *c) {
  skip_space(c);
  size_t from = (size_t)(c->at - c->start);
  if (c->at == c->end || *c->at != '"') return unexpected(c);
  pl_bytes key;
  pl_err err = scan_string(c, &key);
  if (err != PL_OK) return err;
  if (!pl_json_keys_add(&c->keys, key, from)) return PL_NO_MEMORY;
  skip_space(c);
  return take(c, ':') ? PL_OK : unexpected(c);
}

static pl_err scan_word(scan *c, const char *word) {
  const uint8_t *from = c->at;
  for (; *word != 0; word++) {
    if (!take(c, *word)) {
      c->at = from;
      return unexpected(c);
    }
  }
  return PL_OK;
}

// A scalar, or the start of an array or object: *open when there is a value to come in it.
static pl_err scan_value(scan *c, bool *open) {
  *open = false;
  skip_space(c);
  pl_bytes ignored;
  switch (c->at < c->end ? *c->at : 0) {
    case '{':
    case '[': break;
    case '"': return scan_string(c, &ignored);
    case 't': return scan_word(c, "true");
    case 'f': return scan_word(c, "false");
    case 'n': return scan_word(c, "null");
    default: return scan_number(c);
  }
  bool object = *c->at == '{';
  pl_err err = open_level(c, object);
  if (err != PL_OK) return err;
  skip_space(c);
  if (take(c, object ? '}' : ']')) return close_level(c);
  *open = true;
  return object ? scan_key(c) : PL_OK;
}

// Closes what ends behind a value; *more when another value follows.
static pl_err scan_after(scan *c, bool *more) {
  for (*more = false; c->depth > 0;) {
    bool object = c->levels[c->depth].object;
    skip_space(c);
    if (take(c, ',')) {
      *more = true;
      return object ? scan_key(c) : PL_OK;
    }
    if (!take(c, object ? '}' : ']')) return unexpected(c);
    pl_err err = close_level(c);
    if (err != PL_OK) return err;
  }
  return PL_OK;
}

static pl_err scan_document(scan *c) {
  for (bool more = true; more;) {
    pl_err err = scan_value(c, &more);
    if (err == PL_OK && !more) err = scan_after(c, &more);
    if (err != PL_OK) return err;
  }
  skip_space(c);
  return c->at == c->end ? PL_OK : unexpected(c);
}

pl_err pl_json_scan_text(pl_json_scan *s, pl_bytes text, size_t depth_max) {
  assert(depth_max <= PL_JSON_DEPTH_MAX);
  scan c = {.s = s, .depth_max = depth_max};
  c.start = c.at = c.copied = text.len > 0 ? text.data : (const uint8_t *)"";
  c.end = c.start + text.len;

  size_t good = pl_utf8_prefix(text.data, text.len);
  pl_err err = good < text.len ? refuse(&c, c.start + good, "not UTF-8") : scan_document(&c);
  if (err == PL_OK && !(pl_buf_append(&s->out, c.copied, (size_t)(c.end - c.copied)) &&
                        pl_buf_append(&s->out, "", 1))) {
    err = PL_NO_MEMORY;
  }
  pl_json_keys_fini(&c.keys);
  pl_buf_fini(&c.scratch);
  return err;
}
