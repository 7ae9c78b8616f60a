#include "service/ancestry.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/action.h"

// Marks and lines.

bool pl_ancestry_take(pl_request *r, const pl_msg_call *m) {
  return m->ancestors.len == 0 || pl_bytes_copy(&r->ancestors, m->ancestors);
}

pl_err pl_ancestry_line(pl_request *r, pl_bytes *out) {
  if (r->line.len == 0) {
    if (pl_msg_ancestors_count(r->ancestors) >= PL_ANCESTORS_MAX) return PL_TOO_LARGE;
    enum { HEAD = 5, MARK = 9 };
    pl_slice *line = pl_slice_new(r->ancestors.len + HEAD + MARK);
    if (line == NULL) return PL_NO_MEMORY;
    do
      r->mark = pl_random_secret_u64();
    while (r->mark == 0 || pl_map_find(&r->service->marked, r->mark) != NULL);
    pl_map_put(&r->service->marked, r->mark, r);
    const uint8_t *end = pl_msg_ancestors_put(line->data, r->ancestors, r->mark);
    line->len = (size_t)(end - line->data);
    r->line = (pl_bytes){.data = line->data, .len = line->len, .owner = line};
  }
  *out = r->line;
  return PL_OK;
}

// The next of those that led to `r` and run here; NULL at the end. `elsewhere` counts those between
// that do not.
static pl_request *next_here(const pl_request *r, size_t *at, unsigned *elsewhere) {
  uint64_t mark;
  for (*elsewhere = 0; pl_msg_ancestors_next(r->ancestors, at, &mark); ++*elsewhere) {
    pl_request *of = pl_map_find(&r->service->marked, mark);
    if (of != NULL) return of;
  }
  return NULL;
}

bool pl_ancestry_leads(const pl_request *of, const pl_request *r) {
  size_t at = 0;
  unsigned elsewhere;
  const pl_request *one;
  do
    one = next_here(r, &at, &elsewhere);
  while (one != NULL && one != of);
  return one != NULL;
}

// Hanging.

typedef struct place {
  size_t bound, running;
} place;

static bool is_full(const place *p) {
  return p->bound > 0 && p->running >= p->bound;
}

static place place_in(const pl_action *a) {
  return (place){(size_t)a->options.concurrency, a->gate.running};
}

static place place_on(const pl_service *sv) {
  return (place){(size_t)sv->config.max_concurrency, sv->gates.running};
}

static void append(char *text, size_t size, const char *what, size_t len) {
  size_t at = strlen(text);
  snprintf(text + at, size - at, "%.*s", (int)len, what);
}

static void append_elsewhere(char *text, size_t size, unsigned count) {
  char between[48];
  if (count == 0) return;
  int len =
      snprintf(between, sizeof between, "(%u call%s elsewhere) -> ", count, count > 1 ? "s" : "");
  append(text, size, between, (size_t)len);
}

// The way from call to call, as far as it is known here.
void pl_ancestry_describe(const pl_request *r, const char *why, char *text, size_t size) {
  snprintf(text, size, "it would wait for itself: ");
  size_t at = 0;
  unsigned elsewhere;
  for (const pl_request *of; (of = next_here(r, &at, &elsewhere)) != NULL;) {
    append_elsewhere(text, size, elsewhere);
    append(text, size, of->action->name, of->action->name_len);
    append(text, size, " -> ", 4);
  }
  append_elsewhere(text, size, elsewhere);
  append(text, size, r->action->name, r->action->name_len);
  append(text, size, "; ", PL_NAME_MAX);
  append(text, size, why, PL_NAME_MAX);
}

bool pl_ancestry_hangs(const pl_request *r, char *text, size_t size) {
  if (r->ancestors.len == 0) return false;
  size_t of_action = 0, of_node = 0, at = 0;
  unsigned elsewhere;
  for (const pl_request *of; (of = next_here(r, &at, &elsewhere)) != NULL;) {
    of_node++;
    of_action += of->action == r->action;
  }
  place action = place_in(r->action), node = place_on(r->service);
  bool in_action = is_full(&action) && of_action >= action.bound;
  bool in_node = is_full(&node) && of_node >= node.bound;
  if (in_action) {
    pl_ancestry_describe(r, "the calls that led to it hold every slot of the action", text, size);
  } else if (in_node) {
    pl_ancestry_describe(r, "the calls that led to it hold every slot of the node", text, size);
  }
  return in_action || in_node;
}

// Borrowing.

bool pl_ancestry_is_awaited(const pl_request *r) {
  size_t at = 0;
  unsigned elsewhere;
  return next_here(r, &at, &elsewhere) != NULL;
}

// The nearest of those that led to `r` and have a slot where it finds none.
static pl_request *lender_of(const pl_request *r) {
  place action = place_in(r->action), node = place_on(r->service);
  bool in_action = is_full(&action), in_node = is_full(&node);
  pl_request *nearest = NULL;
  size_t at = 0;
  unsigned elsewhere;
  for (pl_request *of; (of = next_here(r, &at, &elsewhere)) != NULL;) {
    if (in_action ? of->action == r->action : in_node) nearest = of;
  }
  return nearest;
}

bool pl_ancestry_borrow(pl_request *r) {
  pl_request *of = r->ancestors.len > 0 ? lender_of(r) : NULL;
  if (of == NULL || of->lends) return false;
  of->lends = true;
  r->lender = of->mark;
  return true;
}

static void give_back(pl_request *r) {
  if (r->lender == 0) return;
  pl_request *of = pl_map_find(&r->service->marked, r->lender);
  r->lender = 0;
  if (of == NULL) return;  // it did not wait for all that it began
  of->lends = false;
  r->service->lendable = true;
}

pl_request *pl_ancestry_next(pl_service *sv) {
  if (!sv->lendable) return NULL;
  for (pl_list *n = sv->gates.busy.next; n != &sv->gates.busy; n = n->next) {
    pl_action *a = pl_container(n, pl_action, gate.in_busy);
    for (unsigned rank = 0; rank < PL_RANKS; rank++) {
      pl_list *awaited = &a->gate.lines[rank].awaited;
      for (pl_list *w = awaited->next; w != awaited; w = w->next) {
        pl_request *r = pl_container(w, pl_request, wait.in_line);
        if (pl_ancestry_borrow(r)) return r;
      }
    }
  }
  sv->lendable = false;
  return NULL;
}

void pl_ancestry_end(pl_request *r) {
  give_back(r);
  if (r->line.len == 0) return;
  pl_map_remove(&r->service->marked, r->mark);
  r->lends = false;
  pl_bytes_drop(&r->line);
}

void pl_ancestry_drop(pl_request *r) {
  give_back(r);
  pl_bytes_drop(&r->ancestors);
}
