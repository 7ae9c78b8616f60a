// A program in C with nodes in it, for embed_spec.lua: each scenario is one of its arguments. It
// prints what it sees, and aborts where something is not as it must be.

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/embed.h"

#define MUST(condition)                                           \
  do {                                                            \
    if (!(condition)) {                                           \
      fprintf(stderr, "line %d: not %s\n", __LINE__, #condition); \
      abort();                                                    \
    }                                                             \
  } while (0)

static char why[PERILUNE_WHY];
static perilune *node;
static perilune_request *held;
static int ends, chunks, cancels, drains;

static bool is(int error, const char *name) {
  return strcmp(perilune_error_name(error), name) == 0;
}

static perilune *make(void) {
  perilune *p = perilune_new();
  MUST(perilune_set(p, "mesh", "", why) == 0);
  MUST(perilune_set(p, "log-level", "off", why) == 0);
  return p;
}

// What callbacks are given.

static void on_echo(perilune_request *r, void *user) {
  MUST(user == &ends);
  MUST(perilune_request_end(r, "no JSON") != 0);
  MUST(is(perilune_request_end(r, "{}"), "INVALID"));
  MUST(perilune_request_end(r, perilune_request_args(r)) == 0);
}
static const perilune_action_ops echo_ops = {.on_request = on_echo};

static void on_hold(perilune_request *r, void *user) {
  (void)user;
  held = r;
}
static void on_hold_cancel(perilune_request *r, void *user) {
  (void)user;
  MUST(r == held);
  MUST(is(perilune_request_emit(r, "[1]"), "CLOSED"));
  cancels++;
  perilune_request_fail(r, "LATE", "too late");
  held = NULL;
}
static const perilune_action_ops hold_ops = {.on_request = on_hold, .on_cancel = on_hold_cancel};

// Emits until the consumer is slow, goes on when it is not, and ends after a thousand blocks.
static int emitted;
static void emit_more(perilune_request *r) {
  static char block[8192];
  if (block[0] == '\0') {
    memset(block, 'x', sizeof block - 1);
    memcpy(block, "[\"", 2);
    memcpy(block + sizeof block - 3, "\"]", 2);
  }
  while (emitted < 1000) {
    int said = perilune_request_emit(r, block);
    if (said < 0) {
      perilune_request_fail(r, perilune_error_name(said), "it streams");
      return;
    }
    emitted++;
    if (said == 1) return;
  }
  MUST(perilune_request_end(r, "[\"all\"]") == 0);
}
static void on_flood(perilune_request *r, void *user) {
  (void)user;
  emitted = 0;
  emit_more(r);
}
static void on_flood_drained(perilune_request *r, void *user) {
  (void)user;
  drains++;
  emit_more(r);
}
static const perilune_action_ops flood_ops = {.on_request = on_flood,
                                              .on_drained = on_flood_drained};

static void on_chunk(perilune_call *c, const char *values, void *user) {
  (void)c;
  (void)user;
  MUST(values[0] == '[');
  chunks++;
}
static void on_end(perilune_call *c, const perilune_result *r, void *user) {
  (void)c;
  (void)user;
  ends++;
  if (r->values != NULL && strlen(r->values) > 100) {
    printf("%zu bytes\n", strlen(r->values));
  } else {
    printf("%s %s\n", r->values != NULL ? r->values : r->code, r->outcome);
  }
}
static const perilune_call_ops plain_ops = {.on_end = on_end};
static const perilune_call_ops stream_ops = {.on_chunk = on_chunk, .on_end = on_end};

static perilune_call *call(const char *action, const char *args, double timeout) {
  perilune_call *c = NULL;
  MUST(perilune_call_start(&c, node, action, args, timeout, &plain_ops, NULL, why) == 0);
  return c;
}

static void run_until(int count) {
  while (ends < count)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
}

static bool ready;
static void on_ready(perilune *p, void *user) {
  MUST(p == node && user == &ready);
  ready = true;
}
static void on_over(perilune *p, int code, void *user) {
  MUST(p == node && user == &ready);
  printf("over %d\n", code);
}
static const perilune_ops ops = {.on_ready = on_ready, .on_over = on_over};

static const char script[] =
    "local mesh = require 'perilune'\n"
    "mesh.action('lua', function(...)\n"
    "  for i = 1, 3 do coroutine.yield(i) end\n"
    "  return mesh.call('echo', ...)\n"
    "end)\n"
    "mesh.action('fails', function() error { code = 'OUT_OF_STOCK', message = 'none left' } end)\n";

static void begin(void) {
  node = make();
  MUST(perilune_add_text(node, "script.lua", script, sizeof script - 1, why) == 0);
  MUST(perilune_start(node, &ops, &ready, why) == 0);
  MUST(perilune_add_action(node, "echo", &echo_ops, &ends) == 0);
  MUST(perilune_add_action(node, "hold", &hold_ops, NULL) == 0);
  MUST(perilune_add_action(node, "flood", &flood_ops, NULL) == 0);
  MUST(!ready);
  while (!ready)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
}

static int finish(void) {
  perilune_stop(node, 1);
  int code = perilune_run(node);
  perilune_free(node);
  return code;
}

// The scenarios.

static int misuse(void) {
  perilune_free(NULL);
  perilune_free(make());
  perilune *p = make();
  MUST(is(perilune_set(p, "nonsense", "x", why), "INVALID"));
  MUST(is(perilune_set(p, "max-peers", "x", why), "INVALID"));
  MUST(strstr(why, "max_peers") != NULL);
  MUST(is(perilune_set(p, "listen", "x", NULL), "INVALID") || true);
  perilune_call *c;
  MUST(is(perilune_call_start(&c, p, "x", NULL, 1, &plain_ops, NULL, why), "CLOSED"));
  MUST(is(perilune_add_action(p, "x", &echo_ops, NULL), "CLOSED"));
  MUST(is(perilune_remove_action(p, "x"), "NOT_FOUND"));
  MUST(perilune_add_script(p, "/nowhere/x.lua", why) != 0);
  MUST(strstr(why, "/nowhere/x.lua") != NULL);
  perilune_stop(p, 1);
  perilune_free(p);

  p = make();
  MUST(perilune_set(p, "listen", "tcp://example.org:1", why) == 0);
  MUST(perilune_start(p, NULL, NULL, why) != 0);
  perilune_free(p);

  p = make();
  MUST(perilune_start(p, NULL, NULL, NULL) == 0);
  MUST(is(perilune_start(p, NULL, NULL, why), "INVALID"));
  MUST(is(perilune_set(p, "name", "x", why), "INVALID"));
  MUST(is(perilune_add_script(p, "x.lua", why), "INVALID"));
  MUST(is(perilune_add_action(p, "", &echo_ops, NULL), "INVALID"));
  MUST(is(perilune_add_action(p, "_perilune.x", &echo_ops, NULL), "INVALID"));
  perilune_free(p);
  return 0;
}

static int calls(void) {
  begin();
  call("echo", "[1,\"a\\u0000b\",null,{\"k\":[2.5]}]", 5);
  run_until(1);
  call("echo", NULL, 0);
  run_until(2);
  perilune_call *c = NULL;
  MUST(perilune_call_start(&c, node, "lua", "[5]", 5, &stream_ops, NULL, why) == 0);
  run_until(3);
  MUST(chunks == 3);
  call("fails", "[]", 5);
  run_until(4);
  size_t len = 1024 * 1024;
  char *big = malloc(len + 5);
  memset(big, 'y', len + 4);
  memcpy(big, "[\"", 2);
  memcpy(big + len + 2, "\"]", 3);
  call("echo", big, 20);
  run_until(5);
  free(big);
  static const char *const bad[] = {"", "5", "{}", "[1", "[1]x", "[\"\xff\"]", "[1,]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    MUST(is(perilune_call_start(&c, node, "echo", bad[i], 5, &plain_ops, NULL, why), "INVALID"));
  MUST(is(perilune_call_start(&c, node, "nobody", "[]", 5, &plain_ops, NULL, why), "NOT_FOUND"));
  MUST(perilune_remove_action(node, "echo") == 0);
  MUST(is(perilune_call_start(&c, node, "echo", "[]", 5, &plain_ops, NULL, why), "NOT_FOUND"));
  return finish();
}

static int flood(void) {
  begin();
  perilune_call *c = NULL;
  MUST(perilune_call_start(&c, node, "flood", "[]", 20, &stream_ops, NULL, why) == 0);
  run_until(1);
  MUST(chunks == 1000 && drains > 0);
  return finish();
}

static void on_first_chunk(perilune_call *c, const char *values, void *user) {
  (void)values;
  (void)user;
  chunks++;
  perilune_call_cancel(c);
}

static int cancelling(void) {
  static const perilune_call_ops once = {.on_chunk = on_first_chunk, .on_end = on_end};
  begin();
  perilune_call *c = NULL;
  MUST(perilune_call_start(&c, node, "flood", "[]", 20, &once, NULL, why) == 0);
  while (chunks == 0)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  c = call("hold", "[]", 0);
  while (held == NULL)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  perilune_call_cancel(c);
  while (cancels == 0)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  call("hold", "[]", 0.05);
  run_until(1);
  while (cancels == 1)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  MUST(chunks == 1 && ends == 1);
  return finish();
}

static int stopping(void) {
  begin();
  call("hold", "[]", 0);
  while (held == NULL)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  perilune_stop(node, 0);
  MUST(ends == 0);  // no callback inside a call
  int code = perilune_run(node);
  MUST(ends == 1 && cancels == 1);
  perilune_free(node);

  ends = cancels = 0;
  ready = false;
  begin();
  call("hold", "[]", 0);
  while (held == NULL)
    uv_run(perilune_loop(node), UV_RUN_ONCE);
  perilune_free(node);
  MUST(ends == 1 && cancels == 1);
  return code;
}

static int broken_script(void) {
  node = make();
  MUST(perilune_add_text(node, "bad.lua", "error 'no'", 10, why) == 0);
  MUST(perilune_start(node, &ops, &ready, why) == 0);
  int code = perilune_run(node);
  MUST(!ready && code == 1);
  perilune_free(node);
  return 0;
}

// Serves until a call of "quit".
static void on_quit(perilune_request *r, void *user) {
  (void)user;
  MUST(perilune_request_end(r, "[\"bye\"]") == 0);
  perilune_stop(node, 1);
}

static int serve(const char *url) {
  static const perilune_action_ops quit_ops = {.on_request = on_quit};
  node = make();
  MUST(perilune_set(node, "listen", url, why) == 0);
  MUST(perilune_start(node, &ops, &ready, why) == 0);
  MUST(perilune_add_action(node, "echo", &echo_ops, &ends) == 0);
  MUST(perilune_add_action(node, "flood", &flood_ops, NULL) == 0);
  MUST(perilune_add_action(node, "quit", &quit_ops, NULL) == 0);
  int code = perilune_run(node);
  perilune_free(node);
  return code;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(void);
  } scenarios[] = {{"misuse", misuse},     {"calls", calls},
                   {"flood", flood},       {"cancelling", cancelling},
                   {"stopping", stopping}, {"broken_script", broken_script}};
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  MUST(argc > 1);
  if (argc > 2) return serve(argv[2]);
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    if (strcmp(scenarios[i].name, argv[1]) == 0) return scenarios[i].run();
  }
  return 9;
}
