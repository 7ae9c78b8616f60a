// Shared by the files of the supervisor (workers.c, replica.c).
#pragma once

#include "lua/script.h"
#include "lua/worker.h"
#include "lua/workers.h"

// A place for a thread.
typedef struct pl_seat {
  pl_worker *worker;  // NULL: none yet, or it has ended
  unsigned number;    // from 1 on; of the thread, the same for whatever follows it
  uint64_t beats;     // as of the last look
  unsigned silent;    // looks since they changed
} pl_seat;

typedef enum pl_replica_state {
  PL_REPLICA_WAITING,
  PL_REPLICA_LOADING,
  PL_REPLICA_SERVING,
  PL_REPLICA_ENDED,
  PL_REPLICA_GIVEN_UP,
  PL_REPLICA_FAILED,
} pl_replica_state;

typedef struct pl_replica {
  pl_list node;  // in pl_workers.replicas
  pl_workers *workers;
  pl_seat *seat;
  char *path;
  pl_texts args;
  unsigned index;  // of the script, from 1 on
  pl_replica_state state;
  uint64_t life;  // the current one, or the last
  pl_id id;       // of its node
  char name[PL_NAME_MAX + 1];
  bool served;          // once at least
  uint64_t restarts;    // in all
  uint64_t *deaths_us;  // the newest last, at most max_restarts + 1
  size_t deaths;
  const char *why;  // the last death; NULL
  size_t offers;    // actions that it has, and of which the node is to hear
  pl_watch heard;   // while LOADING
  pl_timer again;   // while WAITING; and LOADING, until others know of it
} pl_replica;

struct pl_workers {
  pl_host *host;
  pl_loop *loop;
  const pl_host_ops *ops;
  void *user;
  bool watches, started, stopping, over;
  pl_list replicas;
  pl_seat *seats;
  size_t seat_count, next_seat;
  uint64_t lives, tokens, abandoned;
  char door[PL_ID_HEX];  // of the node, where the replicas come in
  pl_mailbox *news;      // NULL before the start, and when all is over
  pl_list asked;         // of reloads that are not answered
  pl_timer look;
  pl_timer stop_limit;  // until when replicas may take to end
  pl_work end;
};

pl_replica *pl_replica_new(pl_workers *ws, const char *path, const char *const *args, size_t count,
                           unsigned index);
void pl_replica_free(pl_replica *r);
// Begins a life, on the thread of its seat, which is made if need be.
void pl_replica_start(pl_replica *r);
// It is loaded. It serves when the node has heard of its actions.
void pl_replica_loaded(pl_replica *r, size_t offers);
// Its life is over for a reason, which is logged: another begins after a pause, unless there were
// too many.
void pl_replica_died(pl_replica *r, const char *why);
// Its life is over, and another is not wanted.
void pl_replica_end(pl_replica *r, pl_replica_state state);
// It has a life.
static inline bool pl_replica_lives(const pl_replica *r) {
  return r->state == PL_REPLICA_LOADING || r->state == PL_REPLICA_SERVING;
}

// workers.c: the thread of the seat; NULL: the system gives none.
pl_worker *pl_workers_seat(pl_workers *ws, pl_seat *seat);
