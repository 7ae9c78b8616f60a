// The matcher of Lua's patterns, with a bound on its work: a pattern with several repetitions can
// take time that grows with a power of the subject's length, and no hook reaches a C function.
#pragma once

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

enum { PL_CAPTURES_MAX = 32, PL_CAPTURE_OPEN = -1, PL_CAPTURE_POSITION = -2 };

typedef struct pl_capture {
  const char *start;
  ptrdiff_t len;  // or PL_CAPTURE_OPEN, PL_CAPTURE_POSITION
} pl_capture;

typedef struct pl_matcher {
  lua_State *L;
  const char *subject, *subject_end;
  const char *pattern_end;
  uint64_t steps_left;  // over all attempts
  int depth_left;
  int level;  // captures, finished or not
  pl_capture captures[PL_CAPTURES_MAX];
} pl_matcher;

void pl_matcher_init(pl_matcher *m, lua_State *L, const char *subject, size_t len,
                     const char *pattern, size_t pattern_len);
// The end of the match of `pattern` that begins at `at`, or NULL. Raises what is wrong with the
// pattern, and when the steps are used up.
const char *pl_matcher_try(pl_matcher *m, const char *at, const char *pattern);
// Pushes the captures of the last match from `at` to `end`; without any, the whole when `at` is
// given. Returns their number. [-0, +n]
int pl_matcher_push(pl_matcher *m, const char *at, const char *end);
// Pushes capture number `i` from 0 on. [-0, +1]
void pl_matcher_push_one(pl_matcher *m, int i, const char *at, const char *end);
