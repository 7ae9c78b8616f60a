// What two ends need to go on with a session over another link, and the proof that they are the
// ones who may (docs/protocol.md, "Resuming a session"). Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"

enum { PL_RESUME_PROOF = 32 };

// Of one session. Zeroed: it cannot be resumed.
typedef struct pl_resume {
  pl_id session;                       // dialler's nonce of its first link
  pl_id dialler_secret, other_secret;  // of its first link
} pl_resume;

static inline bool pl_resume_possible(const pl_resume *r) {
  return !pl_id_is_zero(&r->session);
}

// What a proof says, of the link that is to follow.
typedef struct pl_resume_claim {
  bool by_dialler;  // whose proof it is
  pl_id dialler_nonce, other_nonce;
  uint64_t position;  // received by who proves
} pl_resume_claim;

// False: no memory.
bool pl_resume_prove(const pl_resume *r, const pl_resume_claim *c, uint8_t proof[PL_RESUME_PROOF]);
// In constant time.
bool pl_resume_check(const pl_resume *r, const pl_resume_claim *c,
                     const uint8_t proof[PL_RESUME_PROOF]);
