#include "lua/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct {
  struct termios before;
  bool raw;
  char leave[PL_TERMINAL_LEAVE_MAX];
  void (*on_interrupt)(void);
} terminal;

// It may be gone, and then there is nothing to be put right.
static void put(const char *text) {
  ssize_t ignored = write(STDOUT_FILENO, text, strlen(text));
  (void)ignored;
}

static void make_raw(struct termios *t) {
  t->c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
  t->c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN);
  t->c_cc[VQUIT] = t->c_cc[VSUSP] = _POSIX_VDISABLE;
  t->c_cc[VMIN] = 1;
  t->c_cc[VTIME] = 0;
}

int pl_terminal_raw(const char *enter, const char *leave) {
  static bool restores;
  if (terminal.raw) return 0;
  if (strlen(leave) >= sizeof terminal.leave) return -EINVAL;
  if (tcgetattr(STDIN_FILENO, &terminal.before) != 0) return -errno;
  if (!restores) atexit(pl_terminal_restore);
  restores = true;
  struct termios raw = terminal.before;
  make_raw(&raw);
  if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) return -errno;
  strcpy(terminal.leave, leave);
  terminal.raw = true;
  put(enter);
  return 0;
}

void pl_terminal_restore(void) {
  if (!terminal.raw) return;
  terminal.raw = false;
  put(terminal.leave);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
}

bool pl_terminal_size(unsigned *columns, unsigned *rows) {
  struct winsize size;
  bool known =
      ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0;
  if (!known || size.ws_col == 0 || size.ws_row == 0) return false;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return true;
}

void pl_terminal_take_interrupt(void (*fn)(void)) {
  terminal.on_interrupt = fn;
}

bool pl_terminal_interrupt(void) {
  if (terminal.on_interrupt == NULL) return false;
  terminal.on_interrupt();
  return true;
}
