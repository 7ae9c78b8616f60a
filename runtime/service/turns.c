#include "service/turns.h"

#include "perilune.h"

// After so many others it is a rank's turn. Where all are always there, of 85 turns 64 are high, 16
// normal and 5 low.
static const uint8_t patience[PL_RANKS] = {
    [PL_RANK_NORMAL] = 4,
    [PL_RANK_LOW] = 16,
};

unsigned pl_rank_of(uint64_t priority) {
  if (priority == PL_PRIORITY_HIGH) return PL_RANK_HIGH;
  return priority == PL_PRIORITY_LOW ? PL_RANK_LOW : PL_RANK_NORMAL;
}

static bool is_in(unsigned present, unsigned rank) {
  return (present >> rank & 1) != 0;
}

unsigned pl_turns_overdue(const pl_turns *t, unsigned present) {
  for (unsigned rank = PL_RANK_LOW; rank > PL_RANK_HIGH; rank--) {
    if (is_in(present, rank) && t->passed[rank] >= patience[rank]) return rank;
  }
  return PL_RANKS;
}

unsigned pl_turns_next(const pl_turns *t, unsigned present) {
  unsigned rank = pl_turns_overdue(t, present);
  if (rank < PL_RANKS) return rank;
  for (rank = PL_RANK_HIGH; !is_in(present, rank);)
    rank++;
  return rank;
}

void pl_turns_took(pl_turns *t, unsigned present, unsigned rank) {
  for (unsigned other = PL_RANK_HIGH; other < PL_RANKS; other++) {
    if (!is_in(present, other) || other == rank) {
      t->passed[other] = 0;
    } else if (other > rank && t->passed[other] < patience[other]) {
      t->passed[other]++;
    }
  }
}
