// Whose turn it is among the three priorities: the highest one's, but none waits for ever. Pure.
#pragma once

#include <stdint.h>

// Ranks of priorities, the highest first.
enum { PL_RANK_HIGH, PL_RANK_NORMAL, PL_RANK_LOW, PL_RANKS };

typedef struct pl_turns {
  uint8_t passed[PL_RANKS];  // how often a higher one went first, up to its patience
} pl_turns;

// The rank of a priority as it stands on the wire. What is not known is normal.
unsigned pl_rank_of(uint64_t priority);

// Who is next among those of `present`, a bit (1 << rank) for each; it is not 0.
unsigned pl_turns_next(const pl_turns *t, unsigned present);
// Who has been passed over for long enough; PL_RANKS: nobody.
unsigned pl_turns_overdue(const pl_turns *t, unsigned present);
// `rank` went first, the others of `present` wait on.
void pl_turns_took(pl_turns *t, unsigned present, unsigned rank);
