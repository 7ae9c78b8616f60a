#include "lua/states.h"

#include <string.h>

#include "base/mem.h"

typedef struct state {
  pl_list node;
  char *path;  // of the script; NULL: of the node
  pl_store *store;
} state;

struct pl_states {
  pl_loop *loop;
  pl_list all;  // of state
  size_t limit;
};

pl_states *pl_states_new(pl_loop *loop) {
  pl_states *s = pl_new(pl_states);
  s->loop = loop;
  pl_list_init(&s->all);
  return s;
}

void pl_states_open(pl_states *s, const pl_options *options) {
  s->limit = (size_t)options->state_limit;
}

static state *from(pl_list *node) {
  return pl_container(node, state, node);
}

static bool is_of(const state *x, const char *path) {
  if (path == NULL || x->path == NULL) return path == x->path;
  return strcmp(path, x->path) == 0;
}

pl_store *pl_states_find(pl_states *s, const char *path) {
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    if (is_of(from(n), path)) return from(n)->store;
  }
  state *x = pl_new(state);
  x->path = path == NULL ? NULL : pl_strdup(path);
  x->store = pl_store_new(s->limit);
  pl_list_push(&s->all, &x->node);
  return x->store;
}

void pl_states_free(pl_states *s) {
  while (!pl_list_empty(&s->all)) {
    state *x = from(pl_list_pop(&s->all));
    pl_store_free(x->store);
    pl_free(x->path);
    pl_free(x);
  }
  pl_free(s);
}

void pl_states_count(pl_states *s, pl_metrics *m) {
  m->state_keys_now = m->state_bytes_now = m->state_refused = 0;
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    pl_store_use use = pl_store_usage(from(n)->store);
    m->state_keys_now += use.keys;
    m->state_bytes_now += use.bytes;
    m->state_refused += use.refused;
  }
}
