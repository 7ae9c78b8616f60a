#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/log_kept.h"
#include "base/loop.h"
#include "base/mem.h"

struct pl_log {
  atomic_int level;
  atomic_uint_fast64_t lost;
  pthread_mutex_t mutex;  // guards the rest
  bool json;
  bool torn;  // standard error took only a part of the last line
  pl_log_sink *sink;
  void *user;
  pl_buf line;
  pl_log_kept kept;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

enum { LEVELS = sizeof level_names / sizeof *level_names };

pl_field pl_f_bytes(const char *key, const char *text, size_t len) {
  return (pl_field){.key = key, .kind = PL_FIELD_TEXT, .text = text, .len = len};
}

pl_field pl_f_text(const char *key, const char *text) {
  return pl_f_bytes(key, text, text == NULL ? 0 : strlen(text));
}

pl_field pl_f_int(const char *key, int64_t value) {
  return (pl_field){.key = key, .kind = PL_FIELD_INT, .integer = value};
}

pl_field pl_f_float(const char *key, double value) {
  return (pl_field){.key = key, .kind = PL_FIELD_FLOAT, .number = value};
}

pl_field pl_f_bool(const char *key, bool value) {
  return (pl_field){.key = key, .kind = PL_FIELD_BOOL, .integer = value};
}

// Whether a write of one page will not wait. A pipe nobody reads must not stop the node.
static bool has_room(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static bool write_once(int fd, const char *bytes, size_t len) {
  if (!has_room(fd)) return false;
  ssize_t wrote;
  do {
    wrote = write(fd, bytes, len);
  } while (wrote < 0 && errno == EINTR);
  return wrote == (ssize_t)len;
}

static bool write_stderr(const char *line, size_t len, void *user) {
  pl_log *log = user;
  if (log->torn && !write_once(STDERR_FILENO, "\n", 1)) return false;
  log->torn = false;

  // A page is the unit that fits a pipe whole or not at all; nearly every line is one write.
  enum { PAGE = 4096 };
  for (size_t at = 0; at < len; at += PAGE) {
    size_t part = len - at < PAGE ? len - at : PAGE;
    if (write_once(STDERR_FILENO, line + at, part)) continue;
    log->torn = at > 0;
    return false;
  }
  return true;
}

pl_log *pl_log_new(void) {
  pl_log *log = pl_new(pl_log);
  pthread_mutex_init(&log->mutex, NULL);
  pl_log_kept_init(&log->kept);
  log->level = PL_LOG_INFO;
  log->sink = write_stderr;
  log->user = log;
  return log;
}

void pl_log_free(pl_log *log) {
  if (log == NULL) return;
  pthread_mutex_destroy(&log->mutex);
  pl_log_kept_fini(&log->kept);
  pl_buf_fini(&log->line);
  pl_free(log);
}

void pl_log_set_level(pl_log *log, pl_log_level level) {
  atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

void pl_log_set_json(pl_log *log, bool json) {
  pthread_mutex_lock(&log->mutex);
  log->json = json;
  pthread_mutex_unlock(&log->mutex);
}

void pl_log_set_sink(pl_log *log, pl_log_sink *sink, void *user) {
  pthread_mutex_lock(&log->mutex);
  log->sink = sink != NULL ? sink : write_stderr;
  log->user = sink != NULL ? user : log;
  pthread_mutex_unlock(&log->mutex);
}

bool pl_log_enabled(const pl_log *log, pl_log_level level) {
  return level != PL_LOG_OFF &&
         (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

uint64_t pl_log_lost(const pl_log *log) {
  return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

static bool put(pl_buf *out, const char *text) {
  return pl_buf_append(out, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static bool put_format(pl_buf *out, const char *format, ...) {
  char text[64];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  assert(len >= 0);
  assert((size_t)len < sizeof text);
  return pl_buf_append(out, text, (size_t)len);
}

// Length of the UTF-8 sequence at `at` and its code point; 0 when it is not valid.
static size_t decode_utf8(const uint8_t *at, size_t len, uint32_t *point) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  uint8_t first = at[0];
  *point = first;
  if (first < 0x80) return 1;
  size_t need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || len < need) return 0;
  *point = first & (0x7fU >> need);
  for (size_t i = 1; i < need; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
    *point = *point << 6 | (at[i] & 0x3fU);
  }
  bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
  return *point < least[need] || surrogate || *point > 0x10ffff ? 0 : need;
}

// Control characters of all kinds: C0, DEL, C1, and what some readers take for a line end.
static bool is_control(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029;
}

static bool put_escape(pl_buf *out, uint32_t point) {
  switch (point) {
    case '"': return put(out, "\\\"");
    case '\\': return put(out, "\\\\");
    case '\n': return put(out, "\\n");
    case '\r': return put(out, "\\r");
    case '\t': return put(out, "\\t");
    default: return put_format(out, "\\u%04" PRIx32, point);
  }
}

// Text between quotes, for people and for JSON alike; but only the first have an escape for
// bytes that are not UTF-8.
static bool put_escaped(pl_buf *out, const char *text, size_t len, bool json) {
  const uint8_t *at = (const uint8_t *)text;
  size_t plain = 0;  // bytes before `i` that are not yet written
  for (size_t i = 0; i < len;) {
    uint32_t point;
    size_t took = decode_utf8(at + i, len - i, &point);
    if (took > 0 && !is_control(point) && point != '"' && point != '\\') {
      i += took;
      continue;
    }
    if (!pl_buf_append(out, at + plain, i - plain)) return false;
    bool ok = took > 0 ? put_escape(out, point)
              : json   ? put(out, "\\ufffd")
                       : put_format(out, "\\x%02x", at[i]);
    if (!ok) return false;
    i += took > 0 ? took : 1;
    plain = i;
  }
  return pl_buf_append(out, at + plain, len - plain);
}

// The longest prefix within the bound that does not cut a character.
static size_t cut(const char *text, size_t len) {
  if (len <= PL_LOG_TEXT_MAX) return len;
  size_t end = PL_LOG_TEXT_MAX;
  while (end > PL_LOG_TEXT_MAX - 4 && (text[end] & 0xc0) == 0x80)
    end--;
  return end;
}

static bool put_quoted(pl_buf *out, const char *text, size_t len, bool json) {
  size_t kept = cut(text, len);
  return put(out, "\"") && put_escaped(out, text, kept, json) &&
         put(out, kept < len ? "...\"" : "\"");
}

// Whether text can stand without quotes and still be told from what is beside it.
static bool is_plain(const char *text, size_t len, bool spaces) {
  if (len == 0 || len > PL_LOG_TEXT_MAX) return false;
  for (size_t i = 0; i < len;) {
    uint32_t point;
    size_t took = decode_utf8((const uint8_t *)text + i, len - i, &point);
    if (took == 0 || is_control(point)) return false;
    if (point == '"' || point == '\\' || point == '=') return false;
    if (point == ' ' && !spaces) return false;
    i += took;
  }
  return true;
}

static bool put_text(pl_buf *out, const char *text, size_t len, bool spaces) {
  if (is_plain(text, len, spaces)) return pl_buf_append(out, text, len);
  return put_quoted(out, text, len, false);
}

// The shortest of two forms that reads back as the same number. A script may have chosen
// a locale with another decimal point.
static bool put_float(pl_buf *out, double number, bool json) {
  if (!isfinite(number)) {
    const char *name = isnan(number) ? "nan" : number > 0 ? "inf" : "-inf";
    return json ? put_quoted(out, name, strlen(name), true) : put(out, name);
  }
  char text[40];
  snprintf(text, sizeof text, "%.15g", number);
  if (strtod(text, NULL) != number) snprintf(text, sizeof text, "%.17g", number);
  size_t point = strspn(text, "-0123456789e+");
  if (text[point] != '\0') text[point] = '.';
  return put(out, text);
}

static bool put_value(pl_buf *out, const pl_field *f, bool json) {
  switch (f->kind) {
    case PL_FIELD_TEXT:
      return json ? put_quoted(out, f->text, f->len, true) : put_text(out, f->text, f->len, false);
    case PL_FIELD_INT: return put_format(out, "%" PRId64, f->integer);
    case PL_FIELD_FLOAT: return put_float(out, f->number, json);
    case PL_FIELD_BOOL: return put(out, f->integer != 0 ? "true" : "false");
  }
  return true;
}

static bool put_time(pl_buf *out) {
  uint64_t now_us = pl_wall_us();
  time_t seconds = (time_t)(now_us / 1000000);
  struct tm t;
  gmtime_r(&seconds, &t);
  return put_format(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", t.tm_year + 1900, t.tm_mon + 1,
                    t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (unsigned)(now_us / 1000 % 1000));
}

static bool put_text_line(pl_buf *out, pl_log_level level, const char *message,
                          const pl_field *fields, size_t count) {
  if (!put_time(out) || !put_format(out, " %-5s ", level_names[level])) return false;
  if (!put_text(out, message, strlen(message), true)) return false;
  for (size_t i = 0; i < count; i++) {
    if (!put(out, " ") || !put_text(out, fields[i].key, strlen(fields[i].key), false)) return false;
    if (!put(out, "=") || !put_value(out, &fields[i], false)) return false;
  }
  return put(out, "\n");
}

// A field must not pass for one of ours: of two equal keys readers take the last.
static bool is_reserved(const char *key) {
  return strcmp(key, "time") == 0 || strcmp(key, "level") == 0 || strcmp(key, "message") == 0;
}

static bool put_json_line(pl_buf *out, pl_log_level level, const char *message,
                          const pl_field *fields, size_t count) {
  if (!put(out, "{\"time\":\"") || !put_time(out)) return false;
  if (!put(out, "\",\"level\":\"") || !put(out, level_names[level])) return false;
  if (!put(out, "\",\"message\":")) return false;
  if (!put_quoted(out, message, strlen(message), true)) return false;
  for (size_t i = 0; i < count; i++) {
    const char *key = fields[i].key;
    if (!put(out, ",\"") || !put_escaped(out, key, strlen(key), true)) return false;
    if (!put(out, is_reserved(key) ? "_\":" : "\":")) return false;
    if (!put_value(out, &fields[i], true)) return false;
  }
  return put(out, "}\n");
}

void pl_log_write(pl_log *log, pl_log_level level, const char *message, const pl_field *fields,
                  size_t count) {
  if (!pl_log_enabled(log, level)) return;
  pthread_mutex_lock(&log->mutex);
  pl_buf_clear(&log->line);
  bool ok = log->json ? put_json_line(&log->line, level, message, fields, count)
                      : put_text_line(&log->line, level, message, fields, count);
  if (ok) pl_log_kept_push(&log->kept, level, (const char *)log->line.data, log->line.end);
  if (ok) ok = log->sink((const char *)log->line.data, log->line.end, log->user);
  if (!ok) atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
  pthread_mutex_unlock(&log->mutex);
}

uint64_t pl_log_tail(pl_log *log, pl_log_level least, size_t count) {
  pthread_mutex_lock(&log->mutex);
  uint64_t from = pl_log_kept_tail(&log->kept, least, count);
  pthread_mutex_unlock(&log->mutex);
  return from;
}

uint64_t pl_log_read(pl_log *log, uint64_t *next, pl_log_level least, pl_buf *out, size_t max) {
  pthread_mutex_lock(&log->mutex);
  uint64_t lost = pl_log_kept_read(&log->kept, next, least, out, max);
  pthread_mutex_unlock(&log->mutex);
  return lost;
}

bool pl_log_level_parse(pl_log_level *out, const char *name) {
  for (int i = 0; i < LEVELS; i++) {
    if (strcmp(level_names[i], name) != 0) continue;
    *out = (pl_log_level)i;
    return true;
  }
  return false;
}

const char *pl_log_level_name(pl_log_level level) {
  return level_names[level];
}
