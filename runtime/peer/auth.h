// How the two ends of a link show each other that they may talk (docs/protocol.md 2.5). Pure: what
// both ends know and bytes in, bytes and a verdict out.
//
// A method is a row of a table, which the handshake (hello.h) drives without knowing it by name:
//
//   dialler                                  other end
//     prove   ---- PROOF ------------------->  answer
//     check   <--- PROOF --------------------
//
// The dialler proves first: whoever only connects gets nothing that a guess could be tried on.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "peer/auth_psk.h"

enum { PL_AUTH_DIGEST = 32 };

// One end of the link, as its HELLO tells it.
typedef struct pl_auth_side {
  pl_id id;
  uint64_t epoch;
  pl_id nonce;
  uint8_t said[PL_AUTH_DIGEST];  // SHA-256 of its preamble and HELLO frame
} pl_auth_side;

typedef struct pl_auth_facts {
  pl_auth_side dialler, other;
  uint8_t binding[PL_AUTH_DIGEST];  // of an encrypted channel below; zeros where there is none
} pl_auth_facts;

// What a node proves with. Zeroed: with nothing, and it talks to those who ask for nothing.
typedef struct pl_auth {
  pl_psk psk;
} pl_auth;

// Errors of its functions: UNAUTHORIZED, PROTOCOL (malformed), NO_MEMORY.
struct pl_auth_method {
  const char *name;     // in HELLO key 6
  pl_bytes identity;    // of who was authenticated so: one MessagePack value
  const char *refused;  // why it ends with UNAUTHORIZED, for people at either end
  bool (*is_offered)(const pl_auth *a);
  // Append and take the body of a PROOF. `key` is filled with what both ends share from then on, of
  // this link alone.
  pl_err (*prove)(const pl_auth *a, const pl_auth_facts *f, pl_buf *proof);
  pl_err (*answer)(const pl_auth *a, const pl_auth_facts *f, pl_bytes proof, pl_buf *answer,
                   uint8_t key[PL_AUTH_DIGEST]);
  pl_err (*check)(const pl_auth *a, const pl_auth_facts *f, pl_bytes answer,
                  uint8_t key[PL_AUTH_DIGEST]);
};

// Whether it offers any method.
bool pl_auth_is_asked(const pl_auth *a);
// What it counts as itself: the identity by its best method; empty without one.
pl_bytes pl_auth_identity(const pl_auth *a);
// Appends the names of what it offers as one MessagePack array, best first; nothing when there is
// none. PL_NO_MEMORY.
pl_err pl_auth_offer(const pl_auth *a, pl_buf *out);

// Why two ends do not come together, as each is told. Static.
typedef struct pl_auth_refusal {
  const char *here;
  const char *there;
} pl_auth_refusal;

// The method of this link: the first one that the dialler offers and the other end, too. *out is
// NULL when neither offers any. UNAUTHORIZED with *why, when they have none in common. `offered` is
// what came in key 6 of the other's HELLO, well-formed or empty.
pl_err pl_auth_choose(const pl_auth_method **out, const pl_auth *a, bool dialler, pl_bytes offered,
                      pl_auth_refusal *why);

// SHA-256 of a preamble and a HELLO frame. False: the library refused.
bool pl_auth_digest(uint8_t out[PL_AUTH_DIGEST], const void *preamble, size_t preamble_len,
                    const void *frame, size_t frame_len);

// What READY carries to show that it is of the same end: a MAC of `said` by the key of the link.
bool pl_auth_seal(uint8_t out[PL_AUTH_DIGEST], const uint8_t key[PL_AUTH_DIGEST], bool by_dialler,
                  const void *said, size_t len);

// Overwrites the secrets.
void pl_auth_wipe(pl_auth *a);
