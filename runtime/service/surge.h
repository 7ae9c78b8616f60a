// Whether a queue is overloaded: it is when it is long, its first has waited for a while, and as
// much comes as goes. A burst that is being worked off is no overload, however long that takes,
// nor is a short queue, however often somebody joins it. A queue for the processor is as long as
// its callers make it, so it is overloaded only when much more comes than goes, or when its first
// has waited for very long. Pure.
//
//   empty   came          PL_QUEUE_INTERVAL_US, PL_QUEUE_TURNS     … and again
//   ------->|<--------------------------------------------------->|<------------>|
//            may be a burst: says nothing                           judged, then the next
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pl_surge {
  uint64_t since_us;  // when the interval under observation began
  uint64_t came, went;
  bool first;     // interval since it was empty
  bool over;      // overloaded
  bool was_over;  // since it was empty: then the next time shows sooner
  bool fresh;     // since the owner has looked last
  bool grows;     // clearly more came than went, in the last interval
  bool easy;      // it is one for the processor
} pl_surge;

// One came to an empty queue.
void pl_surge_begin(pl_surge *s, uint64_t now_us, bool easy);
// One came, or was taken to be served: now `waiting` are there, and the first of them, or who was
// taken before it, has waited since `oldest_us`.
void pl_surge_came(pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us);
void pl_surge_went(pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us);
