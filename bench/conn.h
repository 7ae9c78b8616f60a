// A connection of the baselines: libuv, one read buffer, one write per read batch.
//
// Everything runs on the loop thread. These are measuring tools: what fails for a reason outside
// the measurement (address in use, peer gone) ends the process with a message.
#pragma once

#include <uv.h>

#include "wire.h"

typedef struct conn conn;

typedef struct conn_ops {
  // Once connected or accepted. Frames put into `out` leave when it returns.
  void (*on_open)(conn *c);

  // Takes whole frames off the front and returns how many bytes they had. Frames put into `out`,
  // also those that borrow from `bytes`, leave when it returns.
  size_t (*on_bytes)(conn *c, const uint8_t *bytes, size_t len);

  // NULL, or: whatever `out` borrowed may go now.
  void (*on_flush)(conn *c);

  // The last call; `c` is freed after it.
  void (*on_close)(conn *c);
} conn_ops;

struct conn {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } h;
  const conn_ops *ops;
  void *user;   // from conn_listen or conn_dial
  void *state;  // of the ops, one a connection
  batch out;
  uint8_t *in;  // owned
  size_t in_cap;
  size_t in_len;  // bytes of a partial frame at its start
};

// Accepts on "tcp://IP:PORT" or "unix://PATH" and prints "ready listen=URL" to standard error.
void conn_listen(uv_loop_t *loop, const char *url, const conn_ops *ops, void *user);
void conn_dial(uv_loop_t *loop, const char *url, const conn_ops *ops, void *user);

// Writes `out`. Only what is put there outside the callbacks needs it.
void conn_flush(conn *c);
void conn_close(conn *c);

// Ends the process, saying what failed and how.
_Noreturn void die(const char *what, const char *why);
