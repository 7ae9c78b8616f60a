// What admission.c keeps: of each action a gate, and of the node what is common to them.
//
//   gate of an action:   line high    line normal    line low      a call waits in one of them
//   node:                ring high    ring normal    ring low      of gates that have a call of
//   that
//                                                                  priority and a slot for it
#pragma once

#include "base/list.h"
#include "base/loop.h"
#include "service/cost.h"
#include "service/line.h"
#include "service/pace.h"
#include "service/turns.h"

typedef struct pl_gate {
  pl_line lines[PL_RANKS];
  pl_list in_ring[PL_RANKS];
  pl_list in_busy;
  pl_turns turns;
  pl_pace pace;
  pl_cost cost;  // without a bound
  size_t running;
  size_t waiting;  // in all lines
} pl_gate;

typedef struct pl_gates {
  pl_list rings[PL_RANKS];  // of pl_gate, who was served last is last
  pl_list busy;             // of pl_gate: some call waits
  pl_list queue[PL_RANKS];  // of pl_request.in_queue: those that may have to give way
  pl_turns turns;
  pl_pace pace;
  size_t running;  // requests in handlers
  size_t waiting;
  size_t queued;        // of these, not promised to be held
  uint64_t pledged_ns;  // what those have to compute that have started and not begun
  bool going_on;        // pl_admission_go_on is under way
} pl_gates;
