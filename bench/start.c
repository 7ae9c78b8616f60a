#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  STARTS_MAX = 100,
  READY_TIMEOUT_MS = 10 * 1000,
  SETTLE_MS = 200,  // what the server does right after its ready line counts as idle memory too
  EXIT_TIMEOUT_MS = 10 * 1000,
};

typedef struct sample {
  double start_ms, rss_kib, pss_kib;
} sample;

extern char **environ;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

// Starts the command with its standard error on a pipe. Returns the reading end, or -1.
static int spawn(pid_t *pid, char **command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  int rc = posix_spawnp(pid, command[0], &actions, NULL, command, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (rc == 0) return ends[0];
  close(ends[0]);
  errno = rc;
  return -1;
}

// True once a line of the stream begins with "ready "; false when it ends, or takes too long.
static bool wait_ready(int fd) {
  char text[4096] = "\n";
  size_t len = 1;
  double deadline = now_ms() + READY_TIMEOUT_MS;
  for (;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double left = deadline - now_ms();
    if (left <= 0 || poll(&p, 1, (int)left + 1) <= 0) return false;
    if (len == sizeof text - 1) len = 1;  // a chatty server; a ready line cut here is a lost run
    ssize_t n = read(fd, text + len, sizeof text - 1 - len);
    if (n <= 0) return false;
    len += (size_t)n;
    text[len] = '\0';
    if (strstr(text, "\nready ") != NULL) return true;
  }
}

static bool read_memory(pid_t pid, sample *s) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  FILE *f = fopen(path, "r");
  if (f == NULL) return false;
  int found = 0;
  while (fgets(line, sizeof line, f) != NULL) {
    found += sscanf(line, "Rss: %lf", &s->rss_kib) == 1;
    found += sscanf(line, "Pss: %lf", &s->pss_kib) == 1;
  }
  fclose(f);
  return found == 2;
}

// True when the command ends with 0 before it is too late.
static bool wait_end(pid_t pid, int fd) {
  char said[4096];
  for (double deadline = now_ms() + EXIT_TIMEOUT_MS;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double left = deadline - now_ms();
    if (left <= 0 || poll(&p, 1, (int)left + 1) <= 0) {
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
      return false;
    }
    if (read(fd, said, sizeof said) <= 0) break;
  }
  int status;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void stop(pid_t pid) {
  kill(pid, SIGTERM);
  for (double deadline = now_ms() + EXIT_TIMEOUT_MS; now_ms() < deadline; sleep_ms(5)) {
    if (waitpid(pid, NULL, WNOHANG) != 0) return;
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static bool measure_once(sample *s, char **command) {
  pid_t pid;
  double spawned_at = now_ms();
  int fd = spawn(&pid, command);
  if (fd < 0) return false;
  bool ok = wait_ready(fd);
  s->start_ms = now_ms() - spawned_at;
  if (ok) sleep_ms(SETTLE_MS);
  ok = ok && read_memory(pid, s);
  stop(pid);
  close(fd);
  return ok;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return values[count / 2];
}

static bool is_count(int count) {
  if (count >= 1 && count <= STARTS_MAX) return true;
  fprintf(stderr, "start: expected 1 to %d repetitions\n", STARTS_MAX);
  return false;
}

int start_measure_whole(int count, char **command) {
  double ms[STARTS_MAX];
  if (!is_count(count)) return 2;
  for (int i = 0; i < count; i++) {
    pid_t pid;
    double spawned_at = now_ms();
    int fd = spawn(&pid, command);
    if (fd < 0 || !wait_end(pid, fd)) {
      fprintf(stderr, "start: %s failed\n", command[0]);
      return 1;
    }
    ms[i] = now_ms() - spawned_at;
    close(fd);
  }
  printf("whole_ms=%.3f\n", median(ms, count));
  return 0;
}

int start_measure(int count, char **command) {
  double start_ms[STARTS_MAX], rss_kib[STARTS_MAX], pss_kib[STARTS_MAX];
  if (!is_count(count)) return 2;
  for (int i = 0; i < count; i++) {
    sample s;
    if (!measure_once(&s, command)) {
      fprintf(stderr, "start: %s did not become ready\n", command[0]);
      return 1;
    }
    start_ms[i] = s.start_ms;
    rss_kib[i] = s.rss_kib;
    pss_kib[i] = s.pss_kib;
  }
  printf("start_ms=%.3f rss_kib=%.0f pss_kib=%.0f\n", median(start_ms, count),
         median(rss_kib, count), median(pss_kib, count));
  return 0;
}
