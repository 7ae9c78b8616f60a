// An action of this node.
#pragma once

#include "service/channel.h"

typedef struct pl_action {
  pl_service *service;
  pl_action_options options;  // without attributes: those are in the directory
  const pl_action_ops *ops;
  void *user;
  pl_gate gate;
  size_t refs;   // requests, and one while it is published
  pl_work gone;  // on_gone, once
  size_t name_len;
  char name[];
} pl_action;

static inline pl_action *pl_action_hold(pl_action *a) {
  a->refs++;
  return a;
}
// The last drop tells on_gone from the loop.
void pl_action_drop(pl_action *a);
// Tells on_gone now; for the end of the service, when nothing refers to it.
void pl_action_free(pl_action *a);

pl_action *pl_action_find(pl_service *sv, pl_bytes name);
