// perilune for programs in C: a node of the mesh on a loop of libuv that the program shares.
//
//     perilune *p = perilune_new();
//     perilune_set(p, "peer", "tcp://127.0.0.1:4100", why);
//     perilune_add_script(p, "app.lua", why);
//     perilune_start(p, &ops, NULL, why);
//     perilune_run(p);
//     perilune_free(p);
//
// Threads: a node and all that belongs to it are used on one thread, which may be any. Several
// nodes may live on several.
// Values are texts in JSON, as docs/embedding.md of perilune says; lists of arguments and results
// are arrays: "[1,2]". Texts given to a callback are gone when it returns; texts given to a
// function are copied.
// Callbacks come from the loop, never from inside a function of this header, and may call anything
// here but perilune_run and perilune_free.
// Errors: functions return 0, or a negative number whose name is perilune_error_name. `why` has
// room for PERILUNE_WHY bytes and says it for people; NULL: nobody wants to know.
#ifndef PERILUNE_H
#define PERILUNE_H

#include <stddef.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERILUNE_API __attribute__((visibility("default")))

enum { PERILUNE_WHY = 512 };

typedef struct perilune perilune;
typedef struct perilune_call perilune_call;
typedef struct perilune_request perilune_request;

PERILUNE_API const char *perilune_version(void);
// "TIMEOUT"; never NULL.
PERILUNE_API const char *perilune_error_name(int error);

// A node. What happens around it; any may be NULL.
typedef struct perilune_ops {
  // It listens, every script is loaded, and what the given peers provide is known: calls may begin.
  void (*on_ready)(perilune *p, void *user);
  // It is down: stopped, or its scripts failed (then `code` is not 0). The last callback.
  void (*on_over)(perilune *p, int code, void *user);
} perilune_ops;

// Does nothing yet.
PERILUNE_API perilune *perilune_new(void);
// One option, by its name on the command line: "name", "listen", "peer", "psk", "log-level", ….
// Lists grow. Before scripts are added and the node starts. INVALID, UNSUPPORTED.
PERILUNE_API int perilune_set(perilune *p, const char *option, const char *value, char *why);
// A script that runs in the node: a file that can be reloaded; or a text with a name. Before the
// start. A script that ends does not end the node. INVALID, IO_ERROR.
PERILUNE_API int perilune_add_script(perilune *p, const char *path, char *why);
PERILUNE_API int perilune_add_text(perilune *p, const char *name, const char *text, size_t len,
                                   char *why);
// Opens the listeners, dials the peers, and loads the scripts when the loop runs. `ops` is needed
// until on_over. After an error only perilune_free remains. ADDRESS_IN_USE, INVALID, FORBIDDEN, ….
PERILUNE_API int perilune_start(perilune *p, const perilune_ops *ops, void *user, char *why);

// The loop, from the beginning: for handles of the program, which it closes before perilune_free.
PERILUNE_API uv_loop_t *perilune_loop(perilune *p);
// Runs the loop until the node is over and nothing else keeps it alive. Returns the `code` of
// on_over. The program may also run the loop itself, by uv_run.
PERILUNE_API int perilune_run(perilune *p);
// Takes no more requests, lets those that run finish for so many seconds, ends. on_over follows.
// A second time with less time hastens it.
PERILUNE_API void perilune_stop(perilune *p, double drain_seconds);
// Ends it at once if it still runs. NULL is fine.
PERILUNE_API void perilune_free(perilune *p);

// Calls, from the start on.

typedef struct perilune_result {
  const char *values;   // an array; NULL: it failed
  const char *code;     // "NOT_FOUND", or one of the handler's own; NULL: it did not fail
  const char *message;  // for people
  const char *outcome;  // "not_sent", "not_executed", "unknown" or "executed"
} perilune_result;

typedef struct perilune_call_ops {
  // One chunk, an array. NULL: the action is called, not streamed.
  void (*on_chunk)(perilune_call *c, const char *values, void *user);
  // Once, and `c` is gone; unless it was cancelled.
  void (*on_end)(perilune_call *c, const perilune_result *result, void *user);
} perilune_call_ops;

// Calls an action of the mesh with arguments ("[1,2]"; NULL: none). `timeout` in seconds, 0: none;
// of a stream it bounds the wait for the first chunk and for each further one. `ops` is needed
// until the end. When the node begins to stop, calls end with CANCELLED.
// INVALID: no JSON array. NOT_FOUND, NO_ROUTE, BUSY, TOO_LARGE, CLOSED: nothing was sent.
PERILUNE_API int perilune_call_start(perilune_call **out, perilune *p, const char *action,
                                     const char *args, double timeout, const perilune_call_ops *ops,
                                     void *user, char *why);
// Nobody wants the result any more: the handler is cancelled, on_end does not follow.
PERILUNE_API void perilune_call_cancel(perilune_call *c);

// Actions, from the start on.

typedef struct perilune_action_ops {
  // Serve it: here or later, perilune_request_end or _fail must follow, once, whatever happens.
  void (*on_request)(perilune_request *r, void *user);
  // Optional. Nobody waits for it any more: hurry to end it, the result is not looked at.
  void (*on_cancel)(perilune_request *r, void *user);
  // Optional. After perilune_request_emit returned 1: there is room again; or, without on_cancel,
  // nobody waits any more.
  void (*on_drained)(perilune_request *r, void *user);
} perilune_action_ops;

// Publishes an action, in place of one of that name. `ops` and `user` are needed until the node is
// over. INVALID: the name is empty, too long or reserved. CLOSED: the node has not started, or
// stops.
PERILUNE_API int perilune_add_action(perilune *p, const char *name, const perilune_action_ops *ops,
                                     void *user);
PERILUNE_API int perilune_remove_action(perilune *p, const char *name);  // NOT_FOUND

PERILUNE_API const char *perilune_request_args(const perilune_request *r);  // until it ends
// Sends one chunk, an array. 1: taken, but the consumer is slow, wait for on_drained. INVALID: no
// JSON array. STREAM_EXPECTED: the caller takes none. CLOSED: nobody waits any more.
PERILUNE_API int perilune_request_emit(perilune_request *r, const char *values);
// Ends it with results ("[5]"; NULL: none), and `r` is gone. INVALID: no JSON array; then it has
// not ended.
PERILUNE_API int perilune_request_end(perilune_request *r, const char *values);
// Ends it as failed with a code of its own ("OUT_OF_STOCK") and a text; `r` is gone.
PERILUNE_API void perilune_request_fail(perilune_request *r, const char *code, const char *message);

#ifdef __cplusplus
}
#endif
#endif
