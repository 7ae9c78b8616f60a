#include "edge/http_head.h"

#include <string.h>
#include <strings.h>

enum { BAD = 400, TOO_LARGE = 431, NOT_IMPLEMENTED = 501, VERSION = 505, METHOD_MAX = 32 };

ptrdiff_t pl_http_head_end(pl_bytes in, size_t *scanned) {
  const uint8_t *p = in.data;
  size_t most = in.len < PL_HTTP_HEAD_MAX ? in.len : PL_HTTP_HEAD_MAX;
  for (size_t i = *scanned; i < most; i++) {
    if (p[i] != '\n') continue;
    if (i == 0 || p[i - 1] != '\r') return -BAD;
    if (i >= 3 && p[i - 2] == '\n') return (ptrdiff_t)i + 1;
  }
  *scanned = most;
  return most < PL_HTTP_HEAD_MAX ? 0 : -TOO_LARGE;
}

bool pl_http_is(pl_bytes text, const char *is) {
  return text.len == strlen(is) && memcmp(text.data, is, text.len) == 0;
}

static bool is_field(pl_bytes name, const char *is) {
  return name.len == strlen(is) && strncasecmp((const char *)name.data, is, name.len) == 0;
}

pl_bytes pl_http_path(const pl_http_head *h) {
  const uint8_t *query = memchr(h->target.data, '?', h->target.len);
  size_t len = query != NULL ? (size_t)(query - h->target.data) : h->target.len;
  return pl_bytes_of(h->target.data, len);
}

// Pieces of a line. Each takes what fits from the front of `in`.

static bool is_token(uint8_t c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_visible(uint8_t c) {
  return c > 0x20 && c < 0x7f;
}

static bool is_text(uint8_t c) {
  return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static pl_bytes take(pl_bytes *in, bool (*fits)(uint8_t c)) {
  size_t n = 0;
  while (n < in->len && fits(in->data[n]))
    n++;
  pl_bytes taken = pl_bytes_of(in->data, n);
  in->data += n;
  in->len -= n;
  return taken;
}

static bool take_one(pl_bytes *in, uint8_t c) {
  if (in->len == 0 || in->data[0] != c) return false;
  in->data++;
  in->len--;
  return true;
}

static pl_bytes trimmed(pl_bytes v) {
  while (v.len > 0 && (v.data[0] == ' ' || v.data[0] == '\t'))
    v.data++, v.len--;
  while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t'))
    v.len--;
  return v;
}

static int read_version(pl_http_head *h, pl_bytes version) {
  if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.')
    return BAD;
  uint8_t major = version.data[5], minor = version.data[7];
  if (major < '0' || major > '9' || minor < '0' || minor > '9') return BAD;
  if (major != '1') return VERSION;
  h->minor = (unsigned)(minor - '0');
  return 0;
}

static int read_request(pl_http_head *h, pl_bytes line) {
  h->method = take(&line, is_token);
  if (h->method.len == 0 || h->method.len > METHOD_MAX || !take_one(&line, ' ')) return BAD;
  h->target = take(&line, is_visible);
  if (h->target.len == 0 || h->target.data[0] != '/' || !take_one(&line, ' ')) return BAD;
  return read_version(h, line);
}

// What a body would be.

static int read_length(pl_http_head *h, pl_bytes value) {
  enum { DIGITS_MAX = 18 };
  if (h->has_length || value.len == 0 || value.len > DIGITS_MAX) return BAD;
  h->has_length = true;
  for (size_t i = 0; i < value.len; i++) {
    if (value.data[i] < '0' || value.data[i] > '9') return BAD;
    h->length = h->length * 10 + (uint64_t)(value.data[i] - '0');
  }
  return 0;
}

static int read_coding(pl_http_head *h, pl_bytes value) {
  if (h->chunked || h->minor == 0) return BAD;
  if (!is_field(value, "chunked")) return NOT_IMPLEMENTED;
  h->chunked = true;
  return 0;
}

static int read_field(pl_http_head *h, pl_bytes line) {
  if (h->count == PL_HTTP_FIELDS_MAX) return TOO_LARGE;
  pl_http_field *f = &h->fields[h->count++];
  f->name = take(&line, is_token);
  if (f->name.len == 0 || !take_one(&line, ':')) return BAD;
  f->value = trimmed(take(&line, is_text));
  if (line.len > 0) return BAD;
  if (is_field(f->name, "Content-Length")) return read_length(h, f->value);
  if (is_field(f->name, "Transfer-Encoding")) return read_coding(h, f->value);
  if (!is_field(f->name, "Host")) return 0;
  if (h->host.data != NULL) return BAD;
  h->host = f->value;
  return 0;
}

static pl_bytes take_line(pl_bytes *in) {
  const uint8_t *end = memchr(in->data, '\n', in->len);
  size_t len = end != NULL ? (size_t)(end - in->data) + 1 : in->len;
  pl_bytes line = pl_bytes_of(in->data, len >= 2 ? len - 2 : 0);
  in->data += len;
  in->len -= len;
  return line;
}

static int decode(pl_http_head *h, pl_bytes in) {
  int status = read_request(h, take_line(&in));
  for (pl_bytes line; status == 0 && in.len > 0;) {
    line = take_line(&in);
    if (line.len == 0) break;
    status = read_field(h, line);
  }
  if (status != 0) return status;
  bool named = h->host.data != NULL || h->minor == 0;
  return named && !(h->chunked && h->has_length) ? 0 : BAD;
}

int pl_http_head_decode(pl_http_head *out, pl_bytes head) {
  size_t scanned = 0;
  if (pl_http_head_end(head, &scanned) != (ptrdiff_t)head.len) return BAD;
  pl_http_head h;
  memset(&h, 0, offsetof(pl_http_head, fields));
  int status = decode(&h, head);
  if (status == 0) *out = h;
  return status;
}
