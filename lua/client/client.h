// A node for a program that only asks, such as one in plain Lua: it registers nothing, carries
// nothing for others, and calls.
//
// Whoever holds the client turns its loop: the program while it waits for an answer, and else the
// keeper, a thread that does nothing but that, so that links stay up and come back whatever the
// program does meanwhile. No callback of the program runs on it.
//
// Any one thread of the program. Of these functions only open, close and free are called without
// holding the client.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "base/list.h"
#include "perilune.h"

typedef struct pl_client {
  pl_loop *loop;  // as node: NULL once it is closed
  pl_node *node;
  pl_list asks;      // of pl_ask: what has a call
  bool joined;       // every peer has connected, or failed once
  uint64_t changes;  // of the directory or the neighbours, so far
  uint64_t seen;     // and when `reached` was found out
  bool reached;
  bool stopped;
  uv_timer_t alive;  // keeps the loop turning, which has nothing to do

  pthread_mutex_t lock;  // held
  sigset_t before;       // signals that the holder blocks by itself: now all
  bool pending;          // SIGPIPE was, before
  pthread_t keeper;
  pthread_cond_t wake;
  int bell;          // ends the keeper's sleep
  uint64_t left_us;  // when the program let go
  bool sleeps;       // the keeper, on what it knew of timers then
  bool over;         // the keeper is to end
} pl_client;

// Begins to connect. An error with `why` (PL_URL_MAX bytes).
pl_err pl_client_open(pl_client **out, const pl_options *options, char *why);
// Says goodbye; whatever was asked must have been freed. Idempotent.
void pl_client_close(pl_client *c);
void pl_client_free(pl_client *c);  // closes it first

// Not twice by one thread. Signals wait meanwhile, but for those that come while it sleeps in
// pl_client_turn; SIGPIPE, which writing to a peer that is gone may cause, is kept from the
// program.
void pl_client_hold(pl_client *c);
void pl_client_drop(pl_client *c);

typedef bool pl_client_done(void *user);
// Does what there is to do, then, unless `done` is true of it, sleeps until more comes in or
// `until_us` has come. False: a signal came instead.
bool pl_client_turn(pl_client *c, pl_client_done *done, void *user, uint64_t until_us);
// Only does what there is to do.
void pl_client_flush(pl_client *c);
// Whether a node of the mesh is there to be asked, and has said what it provides.
bool pl_client_reaches(pl_client *c);

// keeper.c, both without holding the client.
pl_err pl_keeper_start(pl_client *c);
void pl_keeper_stop(pl_client *c);
