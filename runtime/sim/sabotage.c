#include "sim/sabotage.h"

#include "wire/frame.h"
#include "wire/msgpack.h"

enum { PREAMBLE = 8, ONE_OF = 50 };  // frames of circuits that fare badly

void pl_saboteur_fini(pl_saboteur *s) {
  pl_buf_fini(&s->seen);
  pl_buf_fini(&s->passed);
}

static bool strikes(pl_net *n, uint8_t type) {
  return type >= PL_FRAME_CALL && pl_random_below(&n->random, ONE_OF) == 0;
}

// Moves a whole frame on; 0 when there is none.
static size_t pass_frame(pl_saboteur *s, pl_net *n) {
  const uint8_t *at = pl_buf_data(&s->seen);
  size_t left = pl_buf_len(&s->seen);
  if (left < PL_FRAME_HEADER) return 0;
  size_t len = PL_FRAME_HEADER + pl_get_be32(at + 8);
  if (left < len) return 0;
  bool struck = strikes(n, at[0]);
  if (!struck || n->sabotage == PL_SABOTAGE_DUPLICATE) pl_buf_append(&s->passed, at, len);
  if (struck && n->sabotage == PL_SABOTAGE_DUPLICATE) pl_buf_append(&s->passed, at, len);
  pl_buf_consume(&s->seen, len);
  return len;
}

pl_buf *pl_saboteur_pass(pl_saboteur *s, pl_net *n, const uint8_t *data, size_t len) {
  if (n->sabotage == PL_SABOTAGE_NONE) return NULL;
  pl_buf_append(&s->seen, data, len);
  if (!s->greeted && pl_buf_len(&s->seen) >= PREAMBLE) {
    s->greeted = true;
    pl_buf_append(&s->passed, pl_buf_data(&s->seen), PREAMBLE);
    pl_buf_consume(&s->seen, PREAMBLE);
  }
  while (s->greeted && pass_frame(s, n) > 0) {
  }
  return &s->passed;
}
