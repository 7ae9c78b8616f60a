// perilune.core.terminal: keys one by one, the size of the terminal, and Ctrl-C. A process has one
// terminal, so all of this is of the process. stdlib/perilune/cli/ makes tools of it.

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/bind_task.h"
#include "lua/core.h"
#include "lua/error.h"
#include "lua/fdwait.h"
#include "lua/modules.h"
#include "lua/terminal.h"

enum { READ_MAX = 4096, LOG_MAX = 65536 };

static const char interrupt[] = "interrupt";

// A signal that is watched while a task waits. Frees itself.
typedef struct watched {
  uv_signal_t handle;
} watched;

static struct {
  pl_op op;  // of the task that waits
  bool waiting;
  const char *event;  // that ended the wait
  pl_fdwait *input;
  watched *resized;
  pl_timer timer;
  unsigned columns, rows;  // that were told last
  bool interrupted;        // by Ctrl-C, and nobody was told
  pl_task *victim;         // what Ctrl-C ends, or NULL
  pl_watcher end_of_victim;
  pl_vm *vm;  // that took Ctrl-C
  // Lines of the log, from any thread; as many as a pipe holds.
  int log_out, log_in;  // 0: there is none
  pl_fdwait *logged;
} terminal;

static pl_loop *loop_of(lua_State *L) {
  return pl_vm_loop(pl_vm_of(L));
}

static bool on_log(const char *line, size_t len, void *user) {
  (void)user;
  return write(terminal.log_in, line, len) == (ssize_t)len;
}

// While keys are read one by one a line of the log would tear what they are shown in.
static void keep_log(pl_loop *loop) {
  int ends[2];
  if (terminal.log_out == 0) {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
    terminal.log_out = ends[0];
    terminal.log_in = ends[1];
  }
  pl_log_set_sink(loop->log, on_log, NULL);
}

static bool has_new_size(void) {
  unsigned columns = 0, rows = 0;
  pl_terminal_size(&columns, &rows);
  bool is_new = columns != terminal.columns || rows != terminal.rows;
  terminal.columns = columns;
  terminal.rows = rows;
  return is_new;
}

// raw(enter, leave): see lua/terminal.h
static int terminal_raw(lua_State *L) {
  int err = pl_terminal_raw(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
  if (err != 0) return pl_raise_io(L, err, "read keys from", "standard input");
  keep_log(loop_of(L));
  has_new_size();
  return 0;
}

// cooked(): as it was before
static int terminal_cooked(lua_State *L) {
  pl_log_set_sink(loop_of(L)->log, NULL, NULL);
  pl_terminal_restore();
  return 0;
}

// logged() -> what has been logged since it is raw, and not been told
static int terminal_logged(lua_State *L) {
  luaL_Buffer b;
  char *space = luaL_buffinitsize(L, &b, LOG_MAX);
  ssize_t n = terminal.log_out == 0 ? 0 : read(terminal.log_out, space, LOG_MAX);
  luaL_pushresultsize(&b, n > 0 ? (size_t)n : 0);
  return 1;
}

// size() -> columns, rows; nothing when it is not known
static int terminal_size(lua_State *L) {
  unsigned columns, rows;
  if (!pl_terminal_size(&columns, &rows)) return 0;
  lua_pushinteger(L, columns);
  lua_pushinteger(L, rows);
  return 2;
}

// read() -> the bytes that are there, nil at the end or when the terminal has gone. It waits if
// there are none.
static int terminal_read(lua_State *L) {
  char bytes[READ_MAX];
  ssize_t n;
  do {
    n = read(STDIN_FILENO, bytes, sizeof bytes);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return 0;
  lua_pushlstring(L, bytes, (size_t)n);
  return 1;
}

// Waiting.

static void free_watched(uv_handle_t *handle) {
  pl_free(pl_container((uv_signal_t *)handle, watched, handle));
}

static void stop_waiting(void) {
  terminal.waiting = false;
  if (terminal.input != NULL) pl_fdwait_stop(terminal.input);
  if (terminal.logged != NULL) pl_fdwait_stop(terminal.logged);
  if (terminal.resized != NULL) uv_close((uv_handle_t *)&terminal.resized->handle, free_watched);
  pl_timer_stop(&terminal.timer);
  terminal.input = terminal.logged = NULL;
  terminal.resized = NULL;
}

static void wake(const char *event) {
  if (!terminal.waiting) return;
  stop_waiting();
  terminal.event = event;
  pl_op_wake(&terminal.op);
}

static void on_input(void *user) {
  (void)user;
  terminal.input = NULL;
  wake("input");
}

static void on_logged(void *user) {
  (void)user;
  terminal.logged = NULL;
  wake("log");
}

static void on_timeout(pl_timer *timer) {
  (void)timer;
  wake("timeout");
}

static void on_resized(uv_signal_t *handle, int number) {
  (void)handle;
  (void)number;
  if (has_new_size()) wake("resize");
}

static int finish_wait(lua_State *L, pl_op *op) {
  (void)op;
  if (terminal.event == interrupt) terminal.interrupted = false;
  lua_pushstring(L, terminal.event);
  return 1;
}

static int tell_at_once(lua_State *L, const char *event) {
  terminal.event = event;
  return finish_wait(L, NULL);
}

static void cancel_wait(pl_op *op) {
  (void)op;
  stop_waiting();
}

static const pl_op_type wait_type = {"terminal.wait", finish_wait, cancel_wait};

static void watch_others(pl_loop *loop) {
  int err = -1;
  if (terminal.log_out != 0)
    err = pl_fdwait_start(&terminal.logged, loop, terminal.log_out, UV_READABLE, on_logged, NULL);
  if (err != 0) terminal.logged = NULL;
  terminal.resized = pl_new(watched);
  uv_signal_init(loop->uv, &terminal.resized->handle);
  uv_signal_start(&terminal.resized->handle, on_resized, SIGWINCH);
}

// wait([seconds]) -> "input", "resize", "interrupt", "log" or "timeout"
static int terminal_wait(lua_State *L) {
  lua_Number seconds = luaL_optnumber(L, 1, -1);
  pl_op_check(L, &wait_type);
  pl_loop *loop = loop_of(L);
  if (terminal.waiting || loop->uv == NULL)
    return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "the terminal is in use");
  if (terminal.interrupted) return tell_at_once(L, interrupt);
  int err = pl_fdwait_start(&terminal.input, loop, STDIN_FILENO, UV_READABLE, on_input, NULL);
  if (err != 0) {
    terminal.input = NULL;
    return pl_raise_io(L, err, "wait for", "standard input");
  }
  watch_others(loop);
  terminal.timer = (pl_timer){0};
  if (has_new_size()) {  // since it was told last; from here on a signal tells it
    stop_waiting();
    return tell_at_once(L, "resize");
  }
  if (seconds >= 0)
    pl_timer_start(&loop->clock, &terminal.timer, (uint64_t)(seconds * 1e6), on_timeout);
  terminal.op.type = &wait_type;
  terminal.waiting = true;
  return pl_op_wait(L, &terminal.op);
}

// Ctrl-C.

// What is cancelled and does not go is ended at the second time. What computes without a wait would
// let nothing else come to its turn.
static void on_interrupt(void) {
  const pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "interrupted");
  pl_task *busy = pl_vm_busy(terminal.vm), *victim = terminal.victim;
  if (busy != NULL) pl_task_cancel(busy, &why);
  if (victim != NULL) {
    (pl_task_is_cancelled(victim) && victim != busy ? pl_task_kill : pl_task_cancel)(victim, &why);
    return;
  }
  terminal.interrupted = true;
  wake(interrupt);
}

// take(on): whether Ctrl-C is no more the end of the process
static int terminal_take(lua_State *L) {
  terminal.vm = pl_vm_of(L);
  terminal.interrupted = false;
  pl_terminal_take_interrupt(lua_toboolean(L, 1) ? on_interrupt : NULL);
  return 0;
}

static void on_end_of_victim(pl_watcher *w, pl_task *t) {
  (void)w;
  (void)t;
  terminal.victim = NULL;
}

// ends(task | nil): Ctrl-C cancels the task from now on, while it lives, and is no event
static int terminal_ends(lua_State *L) {
  pl_task *t = lua_isnoneornil(L, 1) ? NULL : pl_check_task(L, 1);
  pl_watcher_stop(&terminal.end_of_victim);
  terminal.victim = NULL;
  if (t == NULL || pl_task_has_ended(t)) return 0;
  terminal.victim = t;
  terminal.end_of_victim = (pl_watcher){0};
  pl_task_watch(t, &terminal.end_of_victim, on_end_of_victim);
  return 0;
}

// unlimited(task): it may compute for as long as it likes
static int terminal_unlimited(lua_State *L) {
  pl_task_set_cpu_limit(pl_check_task(L, 1), 0);
  return 0;
}

// interrupted(task) -> whether it was cancelled, whatever error it ended with
static int terminal_interrupted(lua_State *L) {
  lua_pushboolean(L, pl_task_is_cancelled(pl_check_task(L, 1)));
  return 1;
}

int pl_open_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"raw", terminal_raw},
      {"cooked", terminal_cooked},
      {"size", terminal_size},
      {"read", terminal_read},
      {"wait", terminal_wait},
      {"take", terminal_take},
      {"interrupted", terminal_interrupted},
      {"logged", terminal_logged},
      {"ends", terminal_ends},
      {"unlimited", terminal_unlimited},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
