#include "edge/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum {
  PATIENCE_MS = 1000,  // for a manager that does not read
  BEAT_MIN_US = 1000,  // whatever the watchdog wants
};

struct pl_supervisor {
  pl_loop *loop;
  struct sockaddr_un to;
  socklen_t to_len;  // 0: nobody wants to hear anything
  uint64_t beat_us;  // 0: no watchdog
  pl_timer beat;
  bool stopping;
};

// Digits alone, as the manager writes them.
static bool parse_number(uint64_t *out, const char *text) {
  size_t len = strlen(text);
  if (len == 0 || len > 20 || strspn(text, "0123456789") != len) return false;
  errno = 0;
  *out = strtoull(text, NULL, 10);
  return errno == 0;
}

// Whether that variable names this process.
static bool names_us(const char *text) {
  uint64_t pid;
  return parse_number(&pid, text) && pid == (uint64_t)getpid();
}

// A path, or with '@' a name in the abstract namespace.
static bool set_address(pl_supervisor *s, const char *text) {
  size_t len = strlen(text);
  if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof s->to.sun_path) return false;
  s->to.sun_family = AF_UNIX;
  memcpy(s->to.sun_path, text, len);
  if (text[0] == '@') s->to.sun_path[0] = '\0';
  s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/'));
  return true;
}

static void set_watchdog(pl_supervisor *s, const char *usec, const char *pid) {
  uint64_t us;
  if (pid != NULL && !names_us(pid)) return;  // it is somebody else's
  if (!parse_number(&us, usec) || us == 0 || us == UINT64_MAX) {
    pl_log_at(s->loop->log, PL_LOG_WARN, "ignored what is no time of a watchdog",
              pl_f_text("WATCHDOG_USEC", usec));
    return;
  }
  s->beat_us = us / 2 > BEAT_MIN_US ? us / 2 : BEAT_MIN_US;
}

pl_supervisor *pl_supervisor_new(pl_loop *loop, char *(*get)(const char *name)) {
  pl_supervisor *s = pl_new(pl_supervisor);
  s->loop = loop;
  const char *address = get("NOTIFY_SOCKET"), *usec = get("WATCHDOG_USEC");
  if (address == NULL || address[0] == '\0') return s;
  if (!set_address(s, address)) {
    pl_log_at(loop->log, PL_LOG_WARN, "ignored what is no address of a service manager",
              pl_f_text("NOTIFY_SOCKET", address));
    return s;
  }
  if (usec != NULL) set_watchdog(s, usec, get("WATCHDOG_PID"));
  return s;
}

void pl_supervisor_free(pl_supervisor *s) {
  pl_timer_stop(&s->beat);
  pl_free(s);
}

pl_err pl_supervisor_sockets(unsigned *count, char *(*get)(const char *name), char *why) {
  const char *pid = get("LISTEN_PID"), *fds = get("LISTEN_FDS");
  uint64_t n;
  *count = 0;
  if (pid == NULL || fds == NULL || !names_us(pid)) return PL_OK;  // of another process
  if (!parse_number(&n, fds) || n > PL_HANDED_MAX) {
    snprintf(why, PL_URL_MAX, "LISTEN_FDS: '%.64s' is not a number of sockets up to %d", fds,
             PL_HANDED_MAX);
    return PL_INVALID;
  }
  *count = (unsigned)n;
  return PL_OK;
}

void pl_supervisor_hide(void) {
  static const char *const names[] = {"LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES",
                                      "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unsetenv(names[i]);
}

// Connected for each message: the manager may be another by now.
static bool send_text(const pl_supervisor *s, const char *text, int patience_ms) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool sent = false;
  if (connect(fd, (const struct sockaddr *)&s->to, s->to_len) == 0) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    sent = poll(&p, 1, patience_ms) == 1 && send(fd, text, strlen(text), MSG_NOSIGNAL) >= 0;
  }
  int error = errno;
  close(fd);
  errno = error;
  return sent;
}

static void tell(pl_supervisor *s, const char *text) {
  if (s->to_len == 0 || send_text(s, text, PATIENCE_MS)) return;
  pl_log_at(s->loop->log, PL_LOG_WARN, "cannot tell the service manager",
            pl_f_text("error", strerror(errno)));
}

static void on_beat(pl_timer *t) {
  pl_supervisor *s = pl_container(t, pl_supervisor, beat);
  pl_timer_start(&s->loop->clock, &s->beat, s->beat_us, on_beat);
  send_text(s, "WATCHDOG=1", 0);
}

void pl_supervisor_ready(pl_supervisor *s) {
  if (s->stopping) return;
  tell(s, "READY=1");
  if (s->beat_us > 0 && !pl_timer_active(&s->beat)) on_beat(&s->beat);
}

void pl_supervisor_reloading(pl_supervisor *s) {
  if (s->stopping) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char text[64];
  snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
           (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
  tell(s, text);
}

void pl_supervisor_stopping(pl_supervisor *s) {
  if (s->stopping) return;
  s->stopping = true;
  tell(s, "STOPPING=1");
}
