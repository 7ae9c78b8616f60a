// The two ends of the baseline without Lua, and what may be between them.
#pragma once

#include "conn.h"

typedef enum bare_kind {
  BARE_SUM = 1,  // payload: numbers of one byte; the reply is their sum, of one byte
  BARE_ECHO,     // the reply is the payload
  BARE_REPLY,
  BARE_COUNT,   // payload: u32 credit; opens the connection's one stream, of u32 1, 2, 3, …
  BARE_BLOCKS,  // payload: u32 credit; the same of blocks of BARE_BLOCK bytes
  BARE_CREDIT,  // payload: u32, that many more chunks
  BARE_CHUNK,
} bare_kind;

enum { BARE_BLOCK = 64 * 1024 };

// All run until the process is ended or the work is done, and return the exit code.
int bare_serve(const char *url);
// Passes calls from its clients on to the upstreams, in turn, and replies back; besides one stream
// at a time.
int bare_relay(const char *url, char **upstreams, size_t count);
int bare_load(const char *url, const char *workload_name, double seconds);
// How long calls take, without and beside a stream of blocks on the same connection.
int bare_beside(const char *url);
