#include "lua/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "lua/core.h"

enum {
  ESCAPE = '%',
  DEPTH_MAX = 200,
  STEPS_BASE = 20 * 1000 * 1000,  // some 80 ms
  STEPS_PER_BYTE = 16,            // what takes time in proportion is never refused
  STEPS_PER_LOOK = 64 * 1024,     // but ends with its task
};

static const char *match(pl_matcher *m, const char *s, const char *p);

void pl_matcher_init(pl_matcher *m, lua_State *L, const char *subject, size_t len,
                     const char *pattern, size_t pattern_len) {
  m->L = L;
  m->subject = subject;
  m->subject_end = subject + len;
  m->pattern_end = pattern + pattern_len;
  m->steps_left = STEPS_BASE + (uint64_t)STEPS_PER_BYTE * len;
  m->depth_left = DEPTH_MAX;
  m->level = 0;
}

static void count_step(pl_matcher *m) {
  if (m->steps_left % STEPS_PER_LOOK == 0) pl_slice_spend(m->L);
  if (m->steps_left-- == 0) {
    m->steps_left = 0;
    luaL_error(m->L, "pattern takes too many steps");
  }
}

// Single characters.

// One past the character, class or set that begins at `p`.
static const char *item_end(pl_matcher *m, const char *p) {
  char first = *p++;
  if (first == ESCAPE) {
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 1;
  }
  if (first != '[') return p;
  if (*p == '^') p++;
  do {  // a ']' that comes first is one of the set
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
    if (*p++ == ESCAPE && p < m->pattern_end) p++;
  } while (p == m->pattern_end || *p != ']');
  return p + 1;
}

static bool in_class(int c, int class) {
  bool is;
  switch (tolower(class)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break;  // as in Lua 5.1
    default: return class == c;
  }
  return isupper(class) ? !is : is;
}

// `p` is at '[', `last` at the ']' that ends the set.
static bool in_set(int c, const char *p, const char *last) {
  bool found = true;
  if (p[1] == '^') {
    found = false;
    p++;
  }
  while (++p < last) {
    if (*p == ESCAPE) {
      p++;
      if (in_class(c, (unsigned char)*p)) return found;
    } else if (p[1] == '-' && p + 2 < last) {
      p += 2;
      if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p) return found;
    } else if ((unsigned char)*p == c) {
      return found;
    }
  }
  return !found;
}

// Whether the character at `s` is what the item from `p` to `end` takes.
static bool takes(pl_matcher *m, const char *s, const char *p, const char *end) {
  count_step(m);
  if (s >= m->subject_end) return false;
  int c = (unsigned char)*s;
  switch (*p) {
    case '.': return true;
    case ESCAPE: return in_class(c, (unsigned char)p[1]);
    case '[': return in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
  }
}

// Repetitions.

static const char *expand_most(pl_matcher *m, const char *s, const char *p, const char *end) {
  ptrdiff_t n = 0;
  while (takes(m, s + n, p, end))
    n++;
  for (; n >= 0; n--) {
    const char *result = match(m, s + n, end + 1);
    if (result != NULL) return result;
  }
  return NULL;
}

static const char *expand_least(pl_matcher *m, const char *s, const char *p, const char *end) {
  for (;; s++) {
    const char *result = match(m, s, end + 1);
    if (result != NULL) return result;
    if (!takes(m, s, p, end)) return NULL;
  }
}

// Captures.

static const char *open_capture(pl_matcher *m, const char *s, const char *p, ptrdiff_t kind) {
  if (m->level >= PL_CAPTURES_MAX) luaL_error(m->L, "too many captures");
  m->captures[m->level] = (pl_capture){s, kind};
  m->level++;
  const char *result = match(m, s, p);
  if (result == NULL) m->level--;
  return result;
}

static const char *close_capture(pl_matcher *m, const char *s, const char *p) {
  int i = m->level - 1;
  while (i >= 0 && m->captures[i].len != PL_CAPTURE_OPEN)
    i--;
  if (i < 0) luaL_error(m->L, "invalid pattern capture");
  m->captures[i].len = s - m->captures[i].start;
  const char *result = match(m, s, p);
  if (result == NULL) m->captures[i].len = PL_CAPTURE_OPEN;
  return result;
}

static const char *match_capture(pl_matcher *m, const char *s, int digit) {
  int i = digit - '1';
  if (i < 0 || i >= m->level || m->captures[i].len == PL_CAPTURE_OPEN) {
    luaL_error(m->L, "invalid capture index %%%d", i + 1);
  }
  size_t len = (size_t)m->captures[i].len;
  if ((size_t)(m->subject_end - s) < len) return NULL;
  return memcmp(m->captures[i].start, s, len) == 0 ? s + len : NULL;
}

// Balanced brackets and frontiers.

static const char *match_balance(pl_matcher *m, const char *s, const char *p) {
  if (m->pattern_end - p < 2) {
    luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
  }
  if (s >= m->subject_end || *s != p[0]) return NULL;
  int depth = 1;
  while (++s < m->subject_end) {
    count_step(m);
    if (*s == p[1]) {
      if (--depth == 0) return s + 1;
    } else if (*s == p[0]) {
      depth++;
    }
  }
  return NULL;
}

// `p` is at the set. True when the frontier is at `s`.
static bool is_frontier(pl_matcher *m, const char *s, const char *p, const char *end) {
  int before = s == m->subject ? 0 : (unsigned char)s[-1];
  int here = s == m->subject_end ? 0 : (unsigned char)*s;
  return !in_set(before, p, end - 1) && in_set(here, p, end - 1);
}

// What begins with the escape at `*p` and is no class. True when it was such, with *p and *s moved
// behind it, or *s NULL when it does not match.
static bool match_special(pl_matcher *m, const char **s, const char **p) {
  const char *at = *p;
  char kind = at + 1 < m->pattern_end ? at[1] : '\0';
  if (kind == 'b') {
    *s = match_balance(m, *s, at + 2);
    *p = at + 4;
    return true;
  }
  if (kind == 'f') {
    at += 2;
    if (at == m->pattern_end || *at != '[') {
      luaL_error(m->L, "missing '[' after '%%f' in pattern");
    }
    const char *end = item_end(m, at);
    if (!is_frontier(m, *s, at, end)) *s = NULL;
    *p = end;
    return true;
  }
  if (!isdigit((unsigned char)kind)) return false;
  *s = match_capture(m, *s, (unsigned char)kind);
  *p = at + 2;
  return true;
}

// One item with its suffix. True when the match goes on at *s and *p, else *s is the result.
static bool match_item(pl_matcher *m, const char **s, const char **p) {
  const char *end = item_end(m, *p);
  char suffix = end < m->pattern_end ? *end : '\0';
  switch (suffix) {
    case '*': *s = expand_most(m, *s, *p, end); return false;
    case '-': *s = expand_least(m, *s, *p, end); return false;
    case '+': *s = takes(m, *s, *p, end) ? expand_most(m, *s + 1, *p, end) : NULL; return false;
    case '?': {
      const char *result = takes(m, *s, *p, end) ? match(m, *s + 1, end + 1) : NULL;
      *p = end + 1;
      if (result == NULL) return true;
      *s = result;
      return false;
    }
    default:
      if (!takes(m, *s, *p, end)) {
        *s = NULL;
        return false;
      }
      (*s)++;
      *p = end;
      return true;
  }
}

static const char *match_on(pl_matcher *m, const char *s, const char *p) {
  while (p < m->pattern_end) {
    count_step(m);
    if (*p == '(') {
      bool position = p + 1 < m->pattern_end && p[1] == ')';
      return open_capture(m, s, p + (position ? 2 : 1),
                          position ? PL_CAPTURE_POSITION : PL_CAPTURE_OPEN);
    }
    if (*p == ')') return close_capture(m, s, p + 1);
    if (*p == '$' && p + 1 == m->pattern_end) return s == m->subject_end ? s : NULL;
    if (*p == ESCAPE && match_special(m, &s, &p)) {
      if (s == NULL) return NULL;
    } else if (!match_item(m, &s, &p)) {
      return s;
    }
  }
  return s;
}

static const char *match(pl_matcher *m, const char *s, const char *p) {
  if (m->depth_left-- == 0) luaL_error(m->L, "pattern too complex");
  const char *result = match_on(m, s, p);
  m->depth_left++;
  return result;
}

const char *pl_matcher_try(pl_matcher *m, const char *at, const char *pattern) {
  m->level = 0;
  m->depth_left = DEPTH_MAX;
  return match(m, at, pattern);
}

// Results.

void pl_matcher_push_one(pl_matcher *m, int i, const char *at, const char *end) {
  if (i >= m->level) {
    if (i != 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
    lua_pushlstring(m->L, at, (size_t)(end - at));
    return;
  }
  const pl_capture *c = &m->captures[i];
  if (c->len == PL_CAPTURE_OPEN) luaL_error(m->L, "unfinished capture");
  if (c->len == PL_CAPTURE_POSITION) {
    lua_pushinteger(m->L, c->start - m->subject + 1);
  } else {
    lua_pushlstring(m->L, c->start, (size_t)c->len);
  }
}

int pl_matcher_push(pl_matcher *m, const char *at, const char *end) {
  int n = m->level == 0 && at != NULL ? 1 : m->level;
  luaL_checkstack(m->L, n, "too many captures");
  for (int i = 0; i < n; i++)
    pl_matcher_push_one(m, i, at, end);
  return n;
}
