// Shared by intruder.c, which connects and listens, and intruder_words.c, which makes up what is
// said.
#pragma once

#include "peer/hello.h"
#include "sim/sim_impl.h"

typedef enum pl_manner {
  // From outside, where the mesh has a key that the intruder has not:
  PL_MANNER_KNOCK,   // the handshake, with a wrong key or none
  PL_MANNER_NOISE,   // bytes and frames at random
  PL_MANNER_REPLAY,  // what a node said in its handshake, whole or in another order
  PL_MANNER_MIRROR,  // whatever it is told
  PL_MANNER_CROSS,   // whatever another node tells it
  // From inside, as one of the mesh:
  PL_MANNER_LIES,    // of itself, of others, of nodes that do not exist
  PL_MANNER_CALLS,   // with heads that it made up
  PL_MANNER_FRAMES,  // at random
  PL_MANNERS,
} pl_manner;

enum {
  PL_HEARD = 8,           // handshakes of others that are remembered
  PL_HEARD_MAX = 4096,    // bytes of each
  PL_FOREIGN_MAX = 4096,  // calls
};

// The beginning of what a dialler said.
typedef struct pl_heard {
  uint64_t conn;
  const pl_site *to;
  pl_buf said;
} pl_heard;

typedef struct pl_intruder {
  pl_sim *sim;
  pl_site *site;
  pl_random random;
  pl_identity self;
  bool inside;
  pl_list visits;
  unsigned visiting;
  pl_timer next;
  pl_tap tap;
  pl_heard heard[PL_HEARD];
  unsigned heard_count;
  uint64_t version;  // of its record
  unsigned calls;    // made so far
  uint8_t runs[PL_FOREIGN_MAX];
} pl_intruder;

// One connection to a node.
typedef struct pl_visit {
  pl_list node;
  pl_intruder *owner;
  pl_manner manner;
  pl_sim_node *host;
  pl_link *link;
  struct pl_visit *twin;  // of a cross; NULL: closed
  pl_identity self;
  pl_hello hello;
  bool greeted;  // the preamble of the host has come
  bool up;
  unsigned acts;    // that are left
  unsigned labels;  // used so far
  pl_timer act;
} pl_visit;

static inline uint64_t pl_visit_pick(const pl_visit *v, uint64_t below) {
  return pl_random_below(&v->owner->random, below);
}
void pl_visit_say(pl_visit *v, const void *data, size_t len);

// intruder_words.c
void pl_visit_noise(pl_visit *v);
void pl_visit_replay(pl_visit *v);
void pl_visit_lie(pl_visit *v);
void pl_visit_call(pl_visit *v);
// A frame at random, as nobody who has done the handshake would send.
void pl_visit_frame(pl_visit *v);
