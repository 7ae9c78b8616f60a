// Sockets by bare system calls, as the other end of a link in a spec: what is written to them
// is under the control of the spec, and they do nothing by themselves.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/address.h"
#include "spec/support/testing_link.h"

enum { FDS_MAX = 4096 };

static int fail(lua_State *L, const char *what) {
  return luaL_error(L, "%s: %s", what, strerror(errno));
}

static int check_fd(lua_State *L, int arg) {
  return (int)luaL_checkinteger(L, arg);
}

static struct sockaddr_in loopback(lua_Integer port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// socket_connect(port [, receive_buffer]) -> fd
static int socket_connect(lua_State *L) {
  struct sockaddr_in to = loopback(luaL_checkinteger(L, 1));
  int buffer = (int)luaL_optinteger(L, 2, 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(L, "socket");
  if (buffer > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
    close(fd);
    return fail(L, "connect");
  }
  lua_pushinteger(L, fd);
  return 1;
}

static int bind_unix(lua_State *L, int type, int backlog) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  luaL_argcheck(L, len < sizeof at.sun_path, 1, "too long");
  memcpy(at.sun_path, path, len);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(L, "socket");
  bool abstract = len > 0 && path[0] == '\0';  // every byte of it counts
  size_t size = abstract ? offsetof(struct sockaddr_un, sun_path) + len : sizeof at;
  if (bind(fd, (struct sockaddr *)&at, (socklen_t)size) != 0 ||
      (backlog >= 0 && listen(fd, backlog))) {
    close(fd);
    return fail(L, path);
  }
  lua_pushinteger(L, fd);
  return 1;
}

// socket_unix(path [, backlog]) -> fd, bound and, with a backlog, listening
static int socket_unix(lua_State *L) {
  return bind_unix(L, SOCK_STREAM, (int)luaL_optinteger(L, 2, -1));
}

// socket_datagram(path) -> fd, bound
static int socket_datagram(lua_State *L) {
  return bind_unix(L, SOCK_DGRAM, -1);
}

// socket_inherit(fd) -> another descriptor of it, high up, which what this process starts has, too
static int socket_inherit(lua_State *L) {
  int fd = fcntl(check_fd(L, 1), F_DUPFD, 100);
  if (fd < 0) return fail(L, "fcntl");
  lua_pushinteger(L, fd);
  return 1;
}

// socket_connect_unix(path) -> fd; "@name" is abstract
static int socket_connect_unix(lua_State *L) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  luaL_argcheck(L, len < sizeof to.sun_path, 1, "too long");
  memcpy(to.sun_path, path, len);
  size_t size = offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@');
  if (path[0] == '@') to.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(L, "socket");
  if (connect(fd, (struct sockaddr *)&to, (socklen_t)size) != 0) {
    close(fd);
    return fail(L, path);
  }
  lua_pushinteger(L, fd);
  return 1;
}

// socket_listen([everywhere]) -> fd, port; of loopback
static int socket_listen(lua_State *L) {
  struct sockaddr_in at = loopback(0);
  if (lua_toboolean(L, 1)) at.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(L, "socket");
  if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
      getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
    close(fd);
    return fail(L, "listen");
  }
  lua_pushinteger(L, fd);
  lua_pushinteger(L, ntohs(at.sin_port));
  return 2;
}

// socket_accept(fd) -> fd; waits for someone
static int socket_accept(lua_State *L) {
  int fd = accept4(check_fd(L, 1), NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return fail(L, "accept");
  lua_pushinteger(L, fd);
  return 1;
}

static int socket_send(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  ssize_t n = send(check_fd(L, 1), text, len, MSG_NOSIGNAL);
  if (n < 0) return fail(L, "send");
  lua_pushinteger(L, n);
  return 1;
}

// What is there, "" at the end, nil when nothing has come yet
static int socket_receive(lua_State *L) {
  luaL_Buffer out;
  char *room = luaL_buffinitsize(L, &out, 65536);
  ssize_t n = recv(check_fd(L, 1), room, 65536, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0) return fail(L, "recv");
  luaL_pushresultsize(&out, (size_t)n);
  return 1;
}

static int socket_shutdown(lua_State *L) {
  shutdown(check_fd(L, 1), SHUT_WR);
  return 0;
}

// socket_close(fd [, reset])
static int socket_close(lua_State *L) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (lua_toboolean(L, 2)) setsockopt(check_fd(L, 1), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(check_fd(L, 1));
  return 0;
}

// A TCP socket that is connected to itself.
static int socket_to_itself(lua_State *L) {
  struct sockaddr_in at = loopback(0);
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(L, "socket");
  if (bind(fd, (struct sockaddr *)&at, len) != 0 ||
      getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
      connect(fd, (struct sockaddr *)&at, len) != 0) {
    close(fd);
    return fail(L, "connect");
  }
  lua_pushinteger(L, fd);
  return 1;
}

static int is_self(lua_State *L) {
  lua_pushboolean(L, pl_socket_is_self(check_fd(L, 1)));
  return 1;
}

static int port_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *)) {
  struct sockaddr_in6 at;
  socklen_t len = sizeof at;
  if (name(fd, (struct sockaddr *)&at, &len) != 0) return 0;
  if (at.sin6_family == AF_INET6) return ntohs(at.sin6_port);
  if (at.sin6_family != AF_INET) return 0;
  struct sockaddr_in v4;
  memcpy(&v4, &at, sizeof v4);
  return ntohs(v4.sin_port);
}

// find_socket(local_port [, remote_port]) -> fd of this process; without a remote port, the
// listener
static int find_socket(lua_State *L) {
  int here = (int)luaL_checkinteger(L, 1);
  int there = (int)luaL_optinteger(L, 2, 0);
  for (int fd = 3; fd < FDS_MAX; fd++) {
    if (port_of(fd, getsockname) != here || port_of(fd, getpeername) != there) continue;
    lua_pushinteger(L, fd);
    return 1;
  }
  return 0;
}

static const struct {
  const char *name;
  int level, option;
} options[] = {
    {"nodelay", IPPROTO_TCP, TCP_NODELAY},         {"keepalive", SOL_SOCKET, SO_KEEPALIVE},
    {"keepalive_idle", IPPROTO_TCP, TCP_KEEPIDLE}, {"user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT},
    {"reuseport", SOL_SOCKET, SO_REUSEPORT},
};

// socket_options(fd) -> table
static int socket_options(lua_State *L) {
  int fd = check_fd(L, 1);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    int value = -1;
    socklen_t len = sizeof value;
    getsockopt(fd, options[i].level, options[i].option, &value, &len);
    lua_pushinteger(L, value);
    lua_setfield(L, -2, options[i].name);
  }
  char name[16] = "";
  socklen_t len = sizeof name - 1;
  getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "congestion");
  return 1;
}

// limit_descriptors(count) -> the limit before
static int limit_descriptors(lua_State *L) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = (rlim_t)luaL_checkinteger(L, 1);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail(L, "setrlimit");
  lua_pushinteger(L, (lua_Integer)before);
  return 1;
}

// The lowest descriptor that is free.
static int next_descriptor(lua_State *L) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(L, "open");
  close(fd);
  lua_pushinteger(L, fd);
  return 1;
}

// set_umask(mode) -> the one before
static int set_umask(lua_State *L) {
  lua_pushinteger(L, umask((mode_t)luaL_checkinteger(L, 1)));
  return 1;
}

static int process_cpu(lua_State *L) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
  lua_pushnumber(L, seconds + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  return 1;
}

void testing_add_sockets(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"socket_connect", socket_connect},
      {"socket_connect_unix", socket_connect_unix},
      {"socket_unix", socket_unix},
      {"socket_datagram", socket_datagram},
      {"socket_inherit", socket_inherit},
      {"socket_send", socket_send},
      {"socket_receive", socket_receive},
      {"socket_shutdown", socket_shutdown},
      {"socket_close", socket_close},
      {"socket_to_itself", socket_to_itself},
      {"is_self", is_self},
      {"find_socket", find_socket},
      {"socket_options", socket_options},
      {"limit_descriptors", limit_descriptors},
      {"next_descriptor", next_descriptor},
      {"set_umask", set_umask},
      {"socket_listen", socket_listen},
      {"socket_accept", socket_accept},
      {"process_cpu", process_cpu},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
