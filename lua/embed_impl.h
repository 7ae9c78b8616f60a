// Shared by the files of the C library (embed.h).
#pragma once

#include "base/list.h"
#include "lua/embed.h"
#include "lua/host.h"

struct perilune {
  pl_loop *loop;
  pl_options options;
  pl_host *host;     // NULL until there is a script, or the node starts
  uv_timer_t alive;  // keeps the loop turning, which has nothing to do
  const perilune_ops *ops;
  void *user;
  pl_list calls;  // of perilune_call, not ended
  pl_watch join;  // that on_ready waits for
  pl_work begin, stopping;
  bool started, over;
  int code;
};

// Its node, while requests and calls are taken; else NULL.
pl_node *pl_embed_node(const perilune *p);
// Copies `text`, which may be NULL, to `why`, which may be, too. Returns `err`.
int pl_embed_fail(pl_err err, const char *text, char *why);
// One JSON array, checked; NULL is "[]". INVALID with *reason (static).
pl_err pl_embed_values(pl_bytes *out, const char *text, const char **reason);
// A copy that ends with NUL, of what is a JSON array; NULL when it is none. pl_free.
char *pl_embed_text(pl_bytes values);
// embed_call.c: ends all calls with CANCELLED.
void pl_embed_cancel_calls(perilune *p);
