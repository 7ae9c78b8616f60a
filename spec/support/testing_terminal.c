// Pseudo-terminals: the system calls behind spec/support/terminal.lua. Failures are Lua errors.

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <locale.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

void testing_open_terminal(lua_State *L);

static int fail(lua_State *L, const char *what) {
  return luaL_error(L, "%s: %s", what, strerror(errno));
}

static int set_size(lua_State *L, int fd, int columns, int rows) {
  struct winsize size = {.ws_row = (unsigned short)luaL_optinteger(L, rows, 24),
                         .ws_col = (unsigned short)luaL_checkinteger(L, columns)};
  return ioctl(fd, TIOCSWINSZ, &size);
}

// open(columns [, rows]) -> fd of who sits at it, path to open by who writes to it
static int open_terminal(lua_State *L) {
  char path[64];
  int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(L, "posix_openpt");
  if (grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname_r(fd, path, sizeof path) != 0 ||
      set_size(L, fd, 1, 2) != 0) {
    close(fd);
    return fail(L, "terminal");
  }
  lua_pushinteger(L, fd);
  lua_pushstring(L, path);
  return 2;
}

// resize(fd, columns, rows): whoever runs there gets SIGWINCH
static int resize(lua_State *L) {
  if (set_size(L, (int)luaL_checkinteger(L, 1), 2, 3) != 0) return fail(L, "resize");
  return 0;
}

// duplicate(fd) -> another descriptor of the same terminal
static int duplicate(lua_State *L) {
  int fd = fcntl((int)luaL_checkinteger(L, 1), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return fail(L, "dup");
  lua_pushinteger(L, fd);
  return 1;
}

static void set_flag(lua_State *L, const char *name, tcflag_t flags, tcflag_t flag) {
  lua_pushboolean(L, (flags & flag) != 0);
  lua_setfield(L, -2, name);
}

static void set_flags(lua_State *L, const char *name, tcflag_t flags) {
  lua_pushinteger(L, (lua_Integer)flags);
  lua_setfield(L, -2, name);
}

// modes(fd) -> all flags as the program at the other end sees them, also when it has gone; and
// those by name that raw mode takes away
static int modes(lua_State *L) {
  struct termios t;
  if (tcgetattr((int)luaL_checkinteger(L, 1), &t) != 0) return fail(L, "tcgetattr");
  lua_createtable(L, 0, 8);
  set_flags(L, "iflag", t.c_iflag);
  set_flags(L, "oflag", t.c_oflag);
  set_flags(L, "cflag", t.c_cflag);
  set_flags(L, "lflag", t.c_lflag);
  set_flag(L, "canonical", t.c_lflag, ICANON);
  set_flag(L, "echo", t.c_lflag, ECHO);
  set_flag(L, "signals", t.c_lflag, ISIG);
  return 1;
}

// width(code) -> cells that a code point takes, as the system knows it; -1: it is not printed
static int width(lua_State *L) {
  static locale_t unicode;
  if (unicode == (locale_t)0) unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (unicode == (locale_t)0) return fail(L, "newlocale");
  locale_t before = uselocale(unicode);
  lua_pushinteger(L, wcwidth((wchar_t)luaL_checkinteger(L, 1)));
  uselocale(before);
  return 1;
}

void testing_open_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", open_terminal}, {"resize", resize}, {"duplicate", duplicate},
      {"modes", modes},        {"width", width},   {NULL, NULL},
  };
  luaL_newlib(L, functions);
}
