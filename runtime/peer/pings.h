// Pings of one session that are on their way. Loop thread only.
#pragma once

#include "base/list.h"
#include "base/loop.h"
#include "peer/session.h"

typedef struct pl_pings {
  pl_loop *loop;
  pl_list waiting;  // of ping, oldest first
  size_t count;
  uint64_t last;  // token
} pl_pings;

void pl_pings_init(pl_pings *p, pl_loop *loop);
// *token is what the PING carries. `done` may be NULL; `timeout_us` PL_NEVER.
pl_err pl_pings_add(pl_pings *p, uint64_t timeout_us, pl_pong_fn *done, void *user,
                    uint64_t *token);
// A pong with that token came: calls `done`, and returns the round trip (at least 1), or 0 when
// nobody waits for it any more, or this process stood still meanwhile and the time says nothing.
uint64_t pl_pings_answer(pl_pings *p, uint64_t token);
// What was sent is lost: sends those that somebody waits for once more, and forgets the others.
void pl_pings_again(pl_pings *p, void (*send)(uint64_t token, void *user), void *user);
// All that wait fail.
void pl_pings_fail(pl_pings *p, pl_err why);
