#include "base/guess.h"

#include <stdbool.h>
#include <string.h>

static size_t smallest(size_t a, size_t b, size_t c) {
  size_t least = a < b ? a : b;
  return least < c ? least : c;
}

// Letters to add, drop or change to make `b` of `a`; a swap of neighbours counts as one.
static size_t distance(const char *a, const char *b) {
  enum { LONGEST = 32 };
  size_t rows[3][LONGEST + 1];
  size_t len_a = strlen(a), len_b = strlen(b);
  if (len_a > LONGEST || len_b > LONGEST) return LONGEST;
  size_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= len_b; j++)
    last[j] = j;
  for (size_t i = 1; i <= len_a; i++) {
    row[0] = i;
    for (size_t j = 1; j <= len_b; j++) {
      row[j] = smallest(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
    }
    size_t *unused = before;
    before = last;
    last = row;
    row = unused;
  }
  return last[len_b];
}

const char *pl_guess(const char *word, const char *const *candidates, size_t count) {
  const char *best = NULL;
  size_t nearest = strlen(word) / 3 + 2;  // farther ones have little in common with it
  for (size_t i = 0; i < count; i++) {
    size_t d = distance(word, candidates[i]);
    if (d >= nearest || d >= strlen(candidates[i])) continue;
    nearest = d;
    best = candidates[i];
  }
  return best;
}
