// Intrusive circular list. A node that is in no list points at itself.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct pl_list {
  struct pl_list *next, *prev;
} pl_list;

static inline void pl_list_init(pl_list *l) {
  l->next = l->prev = l;
}

static inline bool pl_list_empty(const pl_list *l) {
  return l->next == l;
}

static inline void pl_list_push(pl_list *head, pl_list *node) {
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

static inline void pl_list_push_front(pl_list *head, pl_list *node) {
  pl_list_push(head->next, node);
}

// Leaves `node` as a list of its own, so that removing twice is harmless.
static inline void pl_list_remove(pl_list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  pl_list_init(node);
}

// NULL when empty.
static inline pl_list *pl_list_pop(pl_list *head) {
  if (pl_list_empty(head)) return NULL;
  pl_list *node = head->next;
  pl_list_remove(node);
  return node;
}

// Moves all nodes of `from` to the empty list `to`.
static inline void pl_list_take(pl_list *to, pl_list *from) {
  pl_list_init(to);
  if (pl_list_empty(from)) return;
  *to = *from;
  to->next->prev = to->prev->next = to;
  pl_list_init(from);
}
