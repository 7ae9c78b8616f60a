// A worker is a thread with a loop of its own, on which replicas of scripts live. Each replica is a
// host with one script and a node of its own, which reaches the mesh through a door of the node of
// the process (docs/architecture.md). The supervisor (lua/workers.h) makes workers and gives them
// orders; they answer with news. Both travel as mail, so neither waits for the other.
//
// All functions here are for the supervisor's thread.
#pragma once

#include "base/mailbox.h"
#include "lua/host.h"

typedef struct pl_worker pl_worker;

typedef enum pl_news_kind {
  PL_NEWS_READY,     // the replica is loaded and serves `offers` actions
  PL_NEWS_OVER,      // it has ended, and its memory is free: `code`, `text`
  PL_NEWS_EXIT,      // its script wants the process to end: `code`, `drain_us`
  PL_NEWS_RELOADS,   // it reloads itself: so shall the other replicas of its script
  PL_NEWS_RELOADED,  // `token` of the order, `report`
  PL_NEWS_ENDED,     // the thread is about to end
} pl_news_kind;

// What a worker tells. The supervisor frees it by pl_news_free.
typedef struct pl_news {
  pl_mail mail;
  pl_news_kind kind;
  pl_worker *worker;  // held
  uint64_t life;      // of the replica
  uint64_t token;
  size_t offers;
  int code;
  uint64_t drain_us;  // PL_NEVER: as the options say
  const char *text;   // why it died, static; NULL: it did not die
  pl_buf report;      // one encoded map, see pl_reload_report_encode
} pl_news;
void pl_news_free(pl_news *n);

// Starts a thread. News go to `out`, whose owner gets them by `on_news` on its own thread.
// NULL: the system gives none.
pl_worker *pl_worker_new(const char *name, pl_log_level level, bool json, pl_mailbox *out,
                         void (*on_news)(pl_news *n, void *owner));
const char *pl_worker_name(const pl_worker *w);
// Grows while its loop turns.
uint64_t pl_worker_beats(const pl_worker *w);
// Gives the supervisor's reference back.
void pl_worker_drop(pl_worker *w);
// After PL_NEWS_ENDED: waits for its last moment.
void pl_worker_join(pl_worker *w);
// It does not answer: nothing that it says counts. Should it come back, it ends whatever it runs,
// and itself.
void pl_worker_abandon(pl_worker *w);

// A life of a replica.
typedef struct pl_replica_plan {
  uint64_t life;     // never used before
  const char *path;  // of its script
  const pl_texts *args;
  const pl_options *options;
  pl_host_home home;       // its stores are held for it
  const pl_host_ops *ops;  // on_reload only, with `user`; on the thread of the worker
  void *user;
  bool watches;  // its files
} pl_replica_plan;

// Orders. What is given is copied.
void pl_worker_start(pl_worker *w, const pl_replica_plan *plan);  // READY may follow, then OVER
void pl_worker_stop(pl_worker *w, uint64_t life, uint64_t drain_us);
// RELOADED follows, unless the replica is over.
void pl_worker_reload(pl_worker *w, uint64_t life, uint64_t token);
// It ends when no replica is left.
void pl_worker_quit(pl_worker *w);
