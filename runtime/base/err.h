// The errors of the node, of the wire and of Lua are one list.
#pragma once

// X(name, number, text). Numbers are protocol: append, never renumber.
#define PL_ERRORS(X)                                                     \
  X(NOT_FOUND, -1, "no reachable node provides the action")              \
  X(NO_ROUTE, -2, "the node cannot be reached")                          \
  X(BUSY, -3, "refused by a bound")                                      \
  X(DRAINING, -4, "the node is stopping")                                \
  X(INVALID, -5, "the value is not valid here")                          \
  X(UNAUTHORIZED, -6, "authentication failed")                           \
  X(FORBIDDEN, -7, "not allowed")                                        \
  X(TIMEOUT, -8, "the deadline passed")                                  \
  X(CANCELLED, -9, "cancelled by the caller")                            \
  X(PEER_LOST, -10, "the path to the node was lost")                     \
  X(TOO_LARGE, -11, "larger than the limit")                             \
  X(PROTOCOL, -12, "the peer broke the protocol")                        \
  X(STREAM_EXPECTED, -13, "the action streams; use mesh.stream")         \
  X(HANDLER_ERROR, -14, "the handler raised an error")                   \
  X(CPU_LIMIT, -15, "used more CPU time than allowed between two waits") \
  X(MEMORY_LIMIT, -16, "used more memory than allowed")                  \
  X(SELF, -17, "the address leads back to this node")                    \
  X(CONNECT_FAILED, -18, "could not connect")                            \
  X(CLOSED, -19, "already closed")                                       \
  X(NO_MEMORY, -20, "out of memory")                                     \
  X(IO_ERROR, -21, "the operating system refused")                       \
  X(ADDRESS_IN_USE, -22, "the address is in use")                        \
  X(UNSUPPORTED, -23, "not available in this version")

typedef enum pl_err {
  PL_OK = 0,
#define X(name, number, text) PL_##name = (number),
  PL_ERRORS(X)
#undef X
} pl_err;

// What is known about the execution of a call that failed.
typedef enum pl_outcome {
  PL_NOT_SENT = 0,
  PL_NOT_EXECUTED = 1,
  PL_UNKNOWN = 2,
  PL_EXECUTED = 3,
} pl_outcome;

// Static strings; never NULL. An unknown number reads as "UNKNOWN_ERROR".
const char *pl_err_name(pl_err err);
const char *pl_err_text(pl_err err);

// The error of that name, or PL_OK when there is none.
pl_err pl_err_find(const char *name);

// "not_sent", "not_executed", "unknown", "executed".
const char *pl_outcome_name(pl_outcome outcome);

// Writes "CODE: detail" and a line end to standard error; without a detail the text of the error.
// The detail may have words of anybody: what would steer a terminal is shown as \x1b, and what is
// longer than a screen is cut.
void pl_err_print(pl_err err, const char *detail);

// The nearest error of an errno or libuv value (negative), e.g. UV_EADDRINUSE.
pl_err pl_err_from_uv(int uv_error);
