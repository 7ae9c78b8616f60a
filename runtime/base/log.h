// Structured log lines: a level, a message, fields. Text for people
// (`2026-01-02T03:04:05.678Z info  link up peer=ab12 rtt_us=80`) or one JSON object a line.
// Control characters, newlines and bytes that are not UTF-8 are escaped everywhere, and
// text that holds spaces (in a value), `=`, quotes or backslashes is quoted, so input cannot
// forge a line or a field. The keys of JSON are `time`, `level`, `message` and those of the
// fields, with a `_` behind one that would repeat these.
// A log may be used from any thread, but for its creation and its end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

typedef enum pl_log_level {
  PL_LOG_DEBUG,
  PL_LOG_INFO,
  PL_LOG_WARN,
  PL_LOG_ERROR,
  PL_LOG_OFF,
} pl_log_level;

typedef enum pl_field_kind {
  PL_FIELD_TEXT,
  PL_FIELD_INT,
  PL_FIELD_FLOAT,
  PL_FIELD_BOOL
} pl_field_kind;

typedef struct pl_field {
  const char *key;
  pl_field_kind kind;
  const char *text;  // with `len`
  size_t len;
  int64_t integer;
  double number;
} pl_field;

pl_field pl_f_text(const char *key, const char *text);  // NULL reads as ""
pl_field pl_f_bytes(const char *key, const char *text, size_t len);
pl_field pl_f_int(const char *key, int64_t value);
pl_field pl_f_float(const char *key, double value);
pl_field pl_f_bool(const char *key, bool value);

// Receives one finished line with its newline, one at a time from any thread; it must not
// log. A sink that fails is counted and otherwise ignored.
typedef bool pl_log_sink(const char *line, size_t len, void *user);

typedef struct pl_log pl_log;

// Writes to standard error, text, from `info` on. What that does not take at once is lost.
pl_log *pl_log_new(void);
void pl_log_free(pl_log *log);
void pl_log_set_level(pl_log *log, pl_log_level level);
void pl_log_set_json(pl_log *log, bool json);
// NULL: standard error, as at first.
void pl_log_set_sink(pl_log *log, pl_log_sink *sink, void *user);
bool pl_log_enabled(const pl_log *log, pl_log_level level);
uint64_t pl_log_lost(const pl_log *log);  // lines that the sink refused

void pl_log_write(pl_log *log, pl_log_level level, const char *message, const pl_field *fields,
                  size_t count);

// pl_log_at(log, PL_LOG_INFO, "link up", pl_f_text("peer", name), pl_f_int("rtt_us", rtt))
#define pl_log_at(log, level, message, ...)                                                        \
  do {                                                                                             \
    if (pl_log_enabled((log), (level))) {                                                          \
      const pl_field pl_fields_[] = {__VA_ARGS__};                                                 \
      pl_log_write((log), (level), (message), pl_fields_, sizeof pl_fields_ / sizeof *pl_fields_); \
    }                                                                                              \
  } while (0)
// The newest lines are kept, whatever becomes of the sink: PL_LOG_KEPT_LINES of them, counted from
// 1 on. The number of the first of the last `count` lines that have at least that level.
uint64_t pl_log_tail(pl_log *log, pl_log_level least, size_t count);
// Appends lines from the number *next on, of at least that level, each with its newline, to `out`,
// which is empty: as many as `max` bytes take, but one at least; what there is no memory for comes
// the next time. *next is then the number of the first that was not looked at. Returns how many, of
// any level, were gone already.
uint64_t pl_log_read(pl_log *log, uint64_t *next, pl_log_level least, pl_buf *out, size_t max);

#define pl_log_debug(log, ...) pl_log_at((log), PL_LOG_DEBUG, __VA_ARGS__)
#define pl_log_info(log, ...) pl_log_at((log), PL_LOG_INFO, __VA_ARGS__)
#define pl_log_warn(log, ...) pl_log_at((log), PL_LOG_WARN, __VA_ARGS__)
#define pl_log_error(log, ...) pl_log_at((log), PL_LOG_ERROR, __VA_ARGS__)

// "debug" … "off"; false when unknown.
bool pl_log_level_parse(pl_log_level *out, const char *name);
const char *pl_log_level_name(pl_log_level level);
