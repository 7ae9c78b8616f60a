// What this node holds for others in streams, queues, bodies and links, and what it does when that
// becomes much. Loop thread only.
//
//     FINE ---- 1/2 ----> TIGHT ---- 3/4 ----> FULL ---- 9/10 ----> OVER     of the limit
//
// TIGHT: windows become small. FULL: new work is refused as well (BUSY). OVER: those that hold the
// most are ended as well (MEMORY_LIMIT), one after the other, until it is FULL only: circuits, or
// links if these hold more than all circuits do. A level is left when an eighth of the limit less
// is held than where it began.
//
// Circuits count what they hold as it changes; links are asked from time to time.
#pragma once

#include "base/loop.h"

struct pl_service;

typedef enum pl_memory_level {
  PL_MEMORY_FINE,
  PL_MEMORY_TIGHT,
  PL_MEMORY_FULL,
  PL_MEMORY_OVER,
} pl_memory_level;

typedef struct pl_memory {
  uint64_t limit;  // bytes; 0: none
  uint64_t held;   // by circuits, which count here
  uint64_t links;  // by links, when they were asked last
  uint64_t alarm;  // of `held`: it is time to look
  uint64_t told;   // in the metrics
  pl_memory_level level;
  bool heard;     // something came since the last look
  pl_timer pace;  // between two looks while something is going on
  pl_work look;
} pl_memory;

void pl_memory_init(pl_memory *m, uint64_t limit);
void pl_memory_fini(struct pl_service *sv);

// The level for so many bytes, after `before`.
pl_memory_level pl_memory_judge(uint64_t limit, uint64_t bytes, pl_memory_level before);

// A look is due, or nobody looks any more.
void pl_memory_watch(struct pl_service *sv);
// Something came; to be called for every frame of a circuit.
static inline void pl_memory_note(struct pl_service *sv, pl_memory *m) {
  m->heard = true;
  if (m->held >= m->alarm || !pl_timer_active(&m->pace)) pl_memory_watch(sv);
}

// New work is to be refused; when to try again.
static inline bool pl_memory_refuses(const pl_memory *m) {
  return m->level >= PL_MEMORY_FULL;
}
#define PL_MEMORY_TEXT "the node is short of memory"
enum { PL_MEMORY_RETRY_MS = 250 };
