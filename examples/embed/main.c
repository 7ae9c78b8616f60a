// A program in C with a node of the mesh inside: an action in C, one in Lua, and calls of both.
//
//   cc main.c $(pkg-config --cflags --libs perilune) -o embed && ./embed

#include <perilune.h>
#include <stdio.h>
#include <stdlib.h>

static const char script[] =
    "local mesh = require 'perilune'\n"
    "mesh.action('greet', function(name)\n"
    "  for i = 1, 2 do coroutine.yield(i) end\n"
    "  return 'hello ' .. name .. ', ' .. mesh.call('twice', 21)\n"
    "end)\n";

// The action in C: one number in, its double out.
static void on_twice(perilune_request *r, void *user) {
  (void)user;
  double number;
  if (sscanf(perilune_request_args(r), "[%lf]", &number) != 1) {
    perilune_request_fail(r, "NO_NUMBER", "twice takes a number");
    return;
  }
  char result[64];
  snprintf(result, sizeof result, "[%g]", 2 * number);
  perilune_request_end(r, result);
}

static const perilune_action_ops twice_ops = {.on_request = on_twice};

static void on_chunk(perilune_call *c, const char *values, void *user) {
  (void)c;
  (void)user;
  printf("chunk %s\n", values);
}

static void on_failed(perilune_call *c, const perilune_result *result, void *user) {
  (void)c;
  printf("failed %s: %s (%s)\n", result->code, result->message, result->outcome);
  perilune_stop(user, 1);
}

static const perilune_call_ops failing_ops = {.on_end = on_failed};

static void on_result(perilune_call *c, const perilune_result *result, void *user) {
  (void)c;
  printf("result %s\n", result->values != NULL ? result->values : result->message);
  perilune_call *second;
  char why[PERILUNE_WHY];
  if (perilune_call_start(&second, user, "twice", "[\"x\"]", 5, &failing_ops, user, why) != 0) {
    fprintf(stderr, "%s\n", why);
    perilune_stop(user, 0);
  }
}

static const perilune_call_ops stream_ops = {.on_chunk = on_chunk, .on_end = on_result};

static void on_ready(perilune *p, void *user) {
  (void)user;
  perilune_call *c;
  char why[PERILUNE_WHY];
  if (perilune_call_start(&c, p, "greet", "[\"C\"]", 5, &stream_ops, p, why) != 0) {
    fprintf(stderr, "%s\n", why);
    perilune_stop(p, 0);
  }
}

static void on_over(perilune *p, int code, void *user) {
  (void)p;
  (void)user;
  printf("over %d\n", code);
}

static const perilune_ops ops = {.on_ready = on_ready, .on_over = on_over};

// Or says why not, and ends the program.
static void check(int error, const char *why) {
  if (error == 0) return;
  fprintf(stderr, "%s: %s\n", perilune_error_name(error), why);
  exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
  char why[PERILUNE_WHY] = "";
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  perilune *p = perilune_new();
  check(perilune_set(p, "name", "embedded", why), why);
  check(perilune_set(p, "log-level", "error", why), why);
  check(perilune_set(p, "listen", argc > 1 ? argv[1] : "tcp://127.0.0.1:0", why), why);
  check(perilune_add_text(p, "greet.lua", script, sizeof script - 1, why), why);
  check(perilune_start(p, &ops, NULL, why), why);
  check(perilune_add_action(p, "twice", &twice_ops, NULL), "twice");
  int code = perilune_run(p);
  perilune_free(p);
  return code;
}
