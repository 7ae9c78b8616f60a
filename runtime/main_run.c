// Scripts in a node: the loop, the signals, the line that says ready, and the end.

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "edge/supervisor.h"
#include "lua/host.h"
#include "lua/reload.h"
#include "lua/reload_all.h"
#include "lua/stdlib.h"
#include "lua/terminal.h"
#include "lua/watchdog.h"
#include "main.h"
#include "wire/json.h"

enum { SIGNALS = 3 };

typedef struct session {
  pl_loop *loop;
  pl_host *host;
  pl_supervisor *supervisor;  // NULL for a client
  unsigned reloads;           // that it was told of, under way
  bool client;                // runs a command of the program, not a script of the user
  bool watches;               // the files of the scripts
  uv_signal_t signals[SIGNALS];
  unsigned stops;   // signals to stop so far
  int interrupted;  // exit code of a client that was stopped by one; 0: it was not
  int code;
} session;

// Waits for a reader that is slow, but not for one that never reads: the node goes on without.
static void write_patiently(int fd, const uint8_t *data, size_t len) {
  enum { PATIENCE_MS = 1000 };
  while (len > 0) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (poll(&p, 1, PATIENCE_MS) != 1) return;
    ssize_t n = write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
    if (n <= 0) return;  // closed
    data += n;
    len -= (size_t)n;
  }
}

static void put_text(pl_buf *out, const char *text) {
  pl_buf_append(out, text, strlen(text));
}

// A name with spaces and the like is quoted, so that the fields can be told apart.
static void put_name(pl_buf *out, const char *name) {
  bool plain = strpbrk(name, " \"=\\") == NULL;
  if (plain || pl_json_put_string(out, name, strlen(name)) != PL_OK) put_text(out, name);
}

void pl_ready_print(const pl_node *node) {
  pl_buf line = {0};
  char id[PL_ID_HEX];
  pl_id_format(pl_node_id(node), id);
  put_text(&line, "ready name=");
  put_name(&line, pl_node_name(node));
  put_text(&line, " id=");
  put_text(&line, id);
  put_text(&line, " listen=");
  const char *address;
  for (size_t i = 0; (address = pl_node_listener(node, i)) != NULL; i++) {
    if (i > 0) put_text(&line, ",");
    put_text(&line, address);
  }
  put_text(&line, "\n");
  write_patiently(STDERR_FILENO, pl_buf_data(&line), pl_buf_len(&line));
  pl_buf_fini(&line);
}

static void on_ready(pl_host *h, void *user) {
  session *s = user;
  if (s->client) return;
  pl_ready_print(pl_host_node(h));
  pl_supervisor_ready(s->supervisor);
}

static void on_stopping(pl_host *h, void *user) {
  (void)h;
  const session *s = user;
  if (s->supervisor != NULL) pl_supervisor_stopping(s->supervisor);
}

static void on_over(pl_host *h, int code, void *user) {
  (void)h;
  session *s = user;
  s->code = s->interrupted != 0 ? s->interrupted : code;
  if (s->supervisor != NULL) pl_supervisor_free(s->supervisor);
  s->supervisor = NULL;
  // Nothing else is left: the loop ends when these are closed.
  for (int i = 0; i < SIGNALS; i++)
    uv_close((uv_handle_t *)&s->signals[i], NULL);
  // A word that comes too late must not turn a clean end into a killed process.
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
}

// Whoever watches the files wants to see at once what came of a change.
static void on_reload(pl_host *h, const pl_reload_report *r, void *user) {
  (void)h;
  const session *s = user;
  if (!s->watches) return;
  pl_buf line = {0}, what = {0};
  char head[PL_URL_MAX + 64];
  if (r->failed) {
    snprintf(head, sizeof head, "cannot reload %.500s, generation %u goes on: ", r->script,
             r->generation);
    pl_reload_failure_put(r, &what);
  } else {
    snprintf(head, sizeof head, "reloaded %.500s generation %u in %llu ms: ", r->script,
             r->generation, (unsigned long long)(r->took_us / 1000));
    pl_reload_report_put(r, &what);
  }
  put_text(&line, head);
  pl_buf_append(&line, pl_buf_data(&what), pl_buf_len(&what));
  put_text(&line, "\n");
  write_patiently(STDERR_FILENO, pl_buf_data(&line), pl_buf_len(&line));
  pl_buf_fini(&line);
  pl_buf_fini(&what);
}

static const pl_host_ops host_ops = {
    .on_ready = on_ready, .on_stopping = on_stopping, .on_reload = on_reload, .on_over = on_over};

// The first signal drains, the second does not wait for running calls, the third for nothing.
static void on_stop(uv_signal_t *handle, int number) {
  session *s = handle->data;
  int as_shells_tell = 128 + number;
  if (number == SIGINT && pl_terminal_interrupt()) return;
  s->stops++;
  if (s->stops > 2 || (s->client && s->stops > 1)) {
    pl_terminal_restore();
    _exit(as_shells_tell);
  }
  if (s->client) {
    s->interrupted = as_shells_tell;
    pl_host_stop_within(s->host, as_shells_tell, 0);
  } else {
    pl_host_stop(s->host, PL_EXIT_OK);
  }
}

static void on_reloaded(void *user) {
  session *s = user;
  if (--s->reloads == 0 && s->supervisor != NULL) pl_supervisor_ready(s->supervisor);
}

static void on_hangup(uv_signal_t *handle, int number) {
  (void)number;
  session *s = handle->data;
  pl_node *node = pl_host_node(s->host);
  if (s->supervisor != NULL) pl_supervisor_reloading(s->supervisor);
  s->reloads++;
  pl_reload_all(s->host, s->loop, on_reloaded, s);
  if (node != NULL) pl_node_reload_keys(node);
}

// A node outlives its terminal; a command does not.
static void watch_signals(session *s) {
  static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
  sigset_t blocked;  // by whoever started this process
  sigemptyset(&blocked);
  for (int i = 0; i < SIGNALS; i++) {
    uv_signal_init(s->loop->uv, &s->signals[i]);
    s->signals[i].data = s;
    sigaddset(&blocked, numbers[i]);
    bool hangup = numbers[i] == SIGHUP;
    if (hangup && s->client) continue;
    uv_signal_start(&s->signals[i], hangup ? on_hangup : on_stop, numbers[i]);
  }
  pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
}

static void open_session(session *s, const pl_options *options, bool client) {
  *s = (session){.client = client};
  s->loop = pl_loop_new(pl_log_new());
  s->host = pl_host_new(s->loop, options, &host_ops, s);
  watch_signals(s);
}

static int close_session(session *s) {
  pl_loop_run(s->loop);
  pl_watchdog_stop();
  pl_host_free(s->host);
  pl_loop_free(s->loop);
  return s->code;
}

// When it did not come to running.
static int abandon_session(session *s, pl_err err, const char *detail) {
  pl_err_print(err, detail);
  pl_host_stop(s->host, PL_EXIT_FAILED);
  return close_session(s);
}

// Each connection is a descriptor: all that the system grants.
static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The sockets of a service manager are listeners like those of the command line, beside others that
// the node was told of.
static pl_err take_sockets(pl_options *options, char *why) {
  unsigned count;
  pl_err err = pl_supervisor_sockets(&count, getenv, why);
  const pl_option *listen = pl_option_find("listen");
  for (unsigned i = 0; err == PL_OK && i < count; i++) {
    char url[32];
    snprintf(url, sizeof url, "fd://%u", PL_HANDED_FIRST + i);
    pl_texts_add(&options->listen, url);
    options->source[listen - pl_option_list] = PL_SOURCE_ARGUMENTS;
  }
  return err;
}

int pl_run_files(pl_invocation *inv) {
  char unclear[PL_URL_MAX];
  pl_err sockets = take_sockets(&inv->options, unclear);
  if (sockets != PL_OK) return pl_usage_fail(inv->command, sockets, "%s", unclear);
  raise_descriptor_limit();
  session s;
  open_session(&s, &inv->options, false);
  s.supervisor = pl_supervisor_new(s.loop, getenv);
  pl_supervisor_hide();
  for (size_t i = 0; i < inv->word_count; i++) {
    char detail[PL_URL_MAX] = "";
    pl_err err = pl_host_add(s.host, inv->words[i], (pl_bytes){0}, inv->rest, inv->rest_count,
                             false, detail);
    if (err != PL_OK) return abandon_session(&s, err, detail);
  }
  char wrong[PL_URL_MAX] = "";
  pl_err placed = pl_host_check(s.host, wrong);
  if (placed != PL_OK) return abandon_session(&s, placed, wrong);
  s.watches = inv->flags.count > 0;  // --watch, its only one
  if (s.watches) pl_host_watch(s.host);
  pl_watchdog_start(s.loop->log);
  pl_host_run(s.host);
  return close_session(&s);
}

// Options first, then `--`, then what the user wants.
static const char **client_arguments(const pl_invocation *inv, size_t *count) {
  const char **args = pl_alloc((inv->flags.count + 1 + inv->word_count) * sizeof *args);
  *count = 0;
  for (size_t i = 0; i < inv->flags.count; i++)
    args[(*count)++] = inv->flags.items[i];
  args[(*count)++] = "--";
  for (size_t i = 0; i < inv->word_count; i++)
    args[(*count)++] = inv->words[i];
  return args;
}

void pl_default_set(pl_invocation *inv, const char *name, const char *text) {
  const pl_option_value v = {.given = PL_GIVEN_TEXT, .text = text};
  char detail[PL_URL_MAX];
  pl_option_set(&inv->options, PL_SOURCE_DEFAULT, pl_option_find(name), &v, detail);
}

int pl_run_client(pl_invocation *inv) {
  pl_default_set(inv, "log_level", PL_CLIENT_LOG_LEVEL);
  if (inv->command->alone) pl_default_set(inv, "mesh", "");
  char detail[PL_URL_MAX] = "";

  char name[64];
  snprintf(name, sizeof name, "perilune.cli.%s", inv->command->name);
  session s;
  open_session(&s, &inv->options, true);
  size_t count;
  const char **args = client_arguments(inv, &count);
  const pl_stdlib_module *m = pl_stdlib_find(name);
  assert(m != NULL);
  pl_err err = pl_host_add(s.host, name, pl_bytes_of(m->source, m->len), args, count, true, detail);
  pl_free(args);
  if (err != PL_OK) return abandon_session(&s, err, detail);
  pl_host_run(s.host);
  return close_session(&s);
}
