// An action of this node.
#pragma once

#include "service/channel.h"

// Who serves an action. Another may take its place: then those requests keep it that it has begun.
typedef struct pl_handler {
  pl_loop *loop;
  const pl_action_ops *ops;
  void *user;
  size_t refs;   // requests that it has begun, and one while it is the action's
  pl_work gone;  // on_gone, once
} pl_handler;

typedef struct pl_action {
  pl_service *service;
  pl_action_options options;  // without attributes: those are in the directory
  pl_handler *handler;        // of requests that begin now
  pl_gate gate;               // whoever the handler is
  pl_meter *meter;            // held
  size_t refs;                // requests, and one while it is published
  pl_work gone;
  bool system;  // of the node itself, see system.h
  size_t name_len;
  char name[];
} pl_action;

static inline pl_handler *pl_handler_hold(pl_handler *h) {
  h->refs++;
  return h;
}
// The last drop tells on_gone from the loop.
void pl_handler_drop(pl_handler *h);

// `name` and `o`, whose attributes are not looked at, are copied. The caller holds it.
pl_action *pl_action_new(pl_service *sv, pl_bytes name, bool system, const pl_action_options *o,
                         const pl_action_ops *ops, void *user);
static inline pl_action *pl_action_hold(pl_action *a) {
  a->refs++;
  return a;
}
// The last drop frees it, and drops its handler, from the loop.
void pl_action_drop(pl_action *a);
// Tells on_gone now; for the end of the service, when nothing refers to it.
void pl_action_free(pl_action *a);

pl_action *pl_action_find(pl_service *sv, pl_bytes name);
