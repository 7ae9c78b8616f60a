// The system calls behind spec/support/process.lua: processes with pipes, poll, and
// a watchdog. Failures are Lua errors, with the call and the system's text.

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"

void testing_open_process(lua_State *L);

enum { POLL_MAX = 64, READ_BYTES = 65536 };

static const struct {
  const char *name;
  int number;
} signals[] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},   {"KILL", SIGKILL}, {"STOP", SIGSTOP},
    {"CONT", SIGCONT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"QUIT", SIGQUIT}, {"ABRT", SIGABRT},
    {"SEGV", SIGSEGV}, {"BUS", SIGBUS},   {"PIPE", SIGPIPE}, {"ILL", SIGILL},   {"FPE", SIGFPE},
};

static int fail(lua_State *L, const char *what) {
  return luaL_error(L, "%s: %s", what, strerror(errno));
}

static int signal_of(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (strcmp(signals[i].name, name) == 0) return signals[i].number;
  }
  return luaL_argerror(L, arg, "unknown signal");
}

static void push_signal(lua_State *L, int number) {
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (signals[i].number == number) {
      lua_pushstring(L, signals[i].name);
      return;
    }
  }
  lua_pushinteger(L, number);
}

// A list of strings as a NULL-ended vector, alive as long as the value pushed.
static char **push_vector(lua_State *L, int arg) {  // [-0, +1]
  luaL_checktype(L, arg, LUA_TTABLE);
  size_t n = lua_rawlen(L, arg);
  char **vector = lua_newuserdatauv(L, (n + 1) * sizeof *vector, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_argerror(L, arg, "not a list of strings");
    vector[i] = (char *)lua_tostring(L, -1);  // the table keeps it
    lua_pop(L, 1);
  }
  vector[n] = NULL;
  return vector;
}

typedef struct child_setup {
  char **argv;
  char **env;
  const char *cwd;       // or NULL
  const char *terminal;  // that the child lives at, in place of the pipes; or NULL
  int in[2];             // pipes: the child reads `in` and writes `out`, `err`; or a connection
  int out[2];
  int err[2];
  int failed[2];  // carries the errno of a failed exec; closed by a good one
} child_setup;

// The first terminal that the leader of a session opens is its own.
static bool take_terminal(const char *path) {
  setsid();
  int fd = open(path, O_RDWR | O_CLOEXEC);
  return fd >= 0 && dup2(fd, 0) >= 0 && dup2(fd, 1) >= 0 && dup2(fd, 2) >= 0;
}

static bool take_pipes(const child_setup *s) {
  setpgid(0, 0);
  return dup2(s->in[0], 0) >= 0 && dup2(s->out[1], 1) >= 0 && dup2(s->err[1], 2) >= 0;
}

// In the child of a fork: only calls that are safe there, and no return.
static void become(const child_setup *s) {
  // The sanitizers' own work with signals may have left some blocked in this process.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_DFL);
  // A shell that starts a suite in the background has it ignore these.
  signal(SIGINT, SIG_DFL);
  signal(SIGQUIT, SIG_DFL);
  bool placed = s->terminal != NULL ? take_terminal(s->terminal) : take_pipes(s);
  if (placed && (s->cwd == NULL || chdir(s->cwd) == 0)) {
    execvpe(s->argv[0], s->argv, s->env);
  }
  int why = errno;
  ssize_t ignored = write(s->failed[1], &why, sizeof why);
  (void)ignored;
  _exit(127);
}

static void close_pipe(int ends[2]) {
  for (int i = 0; i < 2; i++) {
    if (ends[i] >= 0) close(ends[i]);
    ends[i] = -1;
  }
}

static void close_setup(child_setup *s) {
  close_pipe(s->in);
  close_pipe(s->out);
  close_pipe(s->err);
  close_pipe(s->failed);
}

static void close_end(int *fd) {
  close(*fd);
  *fd = -1;
}

// Waits for the exec. Returns its errno, or 0.
static int exec_error(child_setup *s) {
  int why = 0;
  ssize_t n = 0;
  do {
    n = read(s->failed[0], &why, sizeof why);
  } while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof why ? why : 0;
}

static bool make_pipes(child_setup *s, bool connection) {
  int made = connection ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->in)
                        : pipe2(s->in, O_CLOEXEC);
  return made == 0 && pipe2(s->out, O_CLOEXEC) == 0 && pipe2(s->err, O_CLOEXEC) == 0 &&
         pipe2(s->failed, O_CLOEXEC) == 0;
}

// spawn(argv, env, cwd [, terminal [, connection]]) -> pid, pidfd, stdin, stdout, stderr. The child
// leads a new process group and dies with the spec runner. One at a terminal has a session, and the
// pipes end at once. With a connection its standard input is a socket.
static int spawn(lua_State *L) {
  child_setup s = {.in = {-1, -1}, .out = {-1, -1}, .err = {-1, -1}, .failed = {-1, -1}};
  lua_settop(L, 5);
  s.argv = push_vector(L, 1);
  s.env = push_vector(L, 2);
  s.cwd = luaL_optstring(L, 3, NULL);
  s.terminal = luaL_optstring(L, 4, NULL);
  luaL_argcheck(L, s.argv[0] != NULL, 1, "empty");

  pid_t pid = make_pipes(&s, lua_toboolean(L, 5)) ? fork() : -1;
  if (pid < 0) {
    close_setup(&s);
    return fail(L, "spawn");
  }
  if (pid == 0) become(&s);

  close_end(&s.failed[1]);
  int why = exec_error(&s);
  if (why != 0) {
    waitpid(pid, NULL, 0);
    close_setup(&s);
    return luaL_error(L, "cannot run %s: %s", s.argv[0], strerror(why));
  }
  close_end(&s.in[0]);
  close_end(&s.out[1]);
  close_end(&s.err[1]);
  close_end(&s.failed[0]);
  fcntl(s.in[1], F_SETFL, O_NONBLOCK);

  lua_pushinteger(L, pid);
  lua_pushinteger(L, syscall(SYS_pidfd_open, pid, 0));
  lua_pushinteger(L, s.in[1]);
  lua_pushinteger(L, s.out[0]);
  lua_pushinteger(L, s.err[0]);
  return 5;
}

// reap(pid) -> nothing while it runs; exit code, or nil and the signal's name.
static int reap(lua_State *L) {
  int status = 0;
  pid_t pid = waitpid((pid_t)luaL_checkinteger(L, 1), &status, WNOHANG);
  if (pid < 0) return fail(L, "waitpid");
  if (pid == 0) return 0;
  if (WIFEXITED(status)) {
    lua_pushinteger(L, WEXITSTATUS(status));
    return 1;
  }
  lua_pushnil(L);
  push_signal(L, WTERMSIG(status));
  return 2;
}

// kill(pid, signal) -> whether there was anyone to get it; a negative pid is a group.
static int send_signal(lua_State *L) {
  int result = kill((pid_t)luaL_checkinteger(L, 1), signal_of(L, 2));
  if (result < 0 && errno != ESRCH) return fail(L, "kill");
  lua_pushboolean(L, result == 0);
  return 1;
}

// group_gone(pgid) -> whether nobody of a group is left. Its orphans are reaped here: the
// runner adopts them.
static int group_gone(lua_State *L) {
  pid_t pgid = (pid_t)luaL_checkinteger(L, 1);
  while (waitpid(-pgid, NULL, WNOHANG) > 0)
    continue;
  lua_pushboolean(L, kill(-pgid, 0) != 0);
  return 1;
}

// poll(readable, writable, seconds) -> set of the descriptors that are ready.
// Both arguments are lists.
static int wait_ready(lua_State *L) {
  struct pollfd fds[POLL_MAX];
  nfds_t n = 0;
  for (int arg = 1; arg <= 2; arg++) {
    luaL_checktype(L, arg, LUA_TTABLE);
    size_t len = lua_rawlen(L, arg);
    luaL_argcheck(L, n + len <= POLL_MAX, arg, "too many descriptors");
    for (size_t i = 1; i <= len; i++) {
      lua_rawgeti(L, arg, (lua_Integer)i);
      fds[n++] = (struct pollfd){(int)luaL_checkinteger(L, -1), arg == 1 ? POLLIN : POLLOUT, 0};
      lua_pop(L, 1);
    }
  }
  double seconds = luaL_checknumber(L, 3);
  int ready = poll(fds, n, seconds <= 0 ? 0 : (int)ceil(seconds * 1000));
  if (ready < 0 && errno != EINTR) return fail(L, "poll");

  lua_newtable(L);
  for (nfds_t i = 0; ready > 0 && i < n; i++) {
    if (fds[i].revents == 0) continue;
    lua_pushboolean(L, 1);
    lua_rawseti(L, -2, fds[i].fd);
  }
  return 1;
}

// read(fd) -> what is there, "" at the end of file, on a reset connection, or when nobody has the
// terminal open any more
static int read_some(lua_State *L) {
  luaL_Buffer b;
  char *space = luaL_buffinitsize(L, &b, READ_BYTES);
  ssize_t n = read((int)luaL_checkinteger(L, 1), space, READ_BYTES);
  if (n < 0 && (errno == ECONNRESET || errno == EIO)) n = 0;
  if (n < 0) return fail(L, "read");
  luaL_pushresultsize(&b, (size_t)n);
  return 1;
}

// write(fd, bytes) -> how many were taken, or nil when the reader is gone
static int write_some(lua_State *L) {
  size_t len = 0;
  const char *bytes = luaL_checklstring(L, 2, &len);
  int fd = (int)luaL_checkinteger(L, 1);
  ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno == ENOTSOCK) n = write(fd, bytes, len);  // a pipe, which does not block
  if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) return 0;
  if (n < 0 && errno != EAGAIN) return fail(L, "write");
  lua_pushinteger(L, n < 0 ? 0 : n);
  return 1;
}

static int close_fd(lua_State *L) {
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

// Seconds that only go forward.
static int now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
  return 1;
}

// environment() -> list of NAME=value
static int environment(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; environ[i] != NULL; i++) {
    lua_pushstring(L, environ[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int make_temp_dir(lua_State *L) {
  char path[] = "/tmp/perilune-spec-XXXXXX";
  if (mkdtemp(path) == NULL) return fail(L, "mkdtemp");
  lua_pushstring(L, path);
  return 1;
}

// A TCP port of loopback that nobody listened on a moment ago.
static bool is_free(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
  if (fd >= 0) close(fd);
  return bound;
}

// A port that nobody listens on. It is none of those that the system gives to connections, which
// might take it before who asked for it does.
static int free_port(lua_State *L) {
  enum { FIRST = 10000, COUNT = 22000, TRIES = 1000 };
  for (int i = 0; i < TRIES; i++) {
    int port = FIRST + (int)(pl_random_secret_u64() % COUNT);
    if (!is_free(port)) continue;
    lua_pushinteger(L, port);
    return 1;
  }
  return luaL_error(L, "no free port");
}

// A word that no other run of the specs has, and none of this one had.
static int unique(lua_State *L) {
  static int count;
  lua_pushfstring(L, "%d-%d", (int)getpid(), ++count);
  return 1;
}

static char watchdog_text[512];

static void on_alarm(int signal) {
  (void)signal;
  ssize_t ignored = write(2, watchdog_text, strlen(watchdog_text));
  (void)ignored;
  _exit(124);
}

// watchdog(seconds, text): unless called again in time, prints the text and ends the
// spec runner. 0 switches it off.
static int watchdog(lua_State *L) {
  unsigned seconds = (unsigned)luaL_checkinteger(L, 1);
  alarm(0);
  if (seconds == 0) return 0;
  strncpy(watchdog_text, luaL_checkstring(L, 2), sizeof watchdog_text - 1);
  signal(SIGALRM, on_alarm);
  alarm(seconds);
  return 0;
}

void testing_open_process(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"spawn", spawn},
      {"reap", reap},
      {"kill", send_signal},
      {"group_gone", group_gone},
      {"poll", wait_ready},
      {"read", read_some},
      {"write", write_some},
      {"close", close_fd},
      {"now", now},
      {"environment", environment},
      {"make_temp_dir", make_temp_dir},
      {"free_port", free_port},
      {"unique", unique},
      {"watchdog", watchdog},
      {NULL, NULL},
  };
  signal(SIGPIPE,
         SIG_IGN);  // a child that is gone is an answer of write, not the end of the runner
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  luaL_newlib(L, functions);
}
