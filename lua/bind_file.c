// perilune.core.fs: open files. Scripts see them through stdlib/perilune/fs.lua, which adds
// buffering and the formats of read.

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "lua/error.h"
#include "lua/file.h"
#include "lua/fileop.h"
#include "lua/fileread.h"

// A FIFO opened for writing without a reader is refused with ENXIO; Lua's own open would wait.
static bool is_lonely_fifo(const char *path, int error) {
  struct stat st;
  return error == ENXIO && stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

// Non-blocking, so that no FIFO or device can hold the thread; regular files do not care.
static void run_open(pl_fileop *o) {
  int fd;
  do {
    fd = open(o->path, o->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, (mode_t)o->mode);
  } while (fd < 0 && errno == EINTR);
  if (fd >= 0) {
    o->opened = pl_file_new(fd, o->path);
  } else if (is_lonely_fifo(o->path, errno)) {
    o->again = true;
  } else {
    o->error = -errno;
  }
}

static int push_file(lua_State *L, pl_fileop *o) {
  pl_file_push(L, o->opened);
  o->opened = NULL;
  return 1;
}

static const pl_fileop_type open_type = {
    .op = PL_FILEOP("fs.open"), .verb = "open", .run = run_open, .push = push_file};

int pl_file_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int flags = (int)luaL_checkinteger(L, 2);
  unsigned mode = (unsigned)luaL_optinteger(L, 3, 0666);
  pl_fileop *o = pl_fileop_new(L, &open_type, path, NULL);
  o->flags = flags;
  o->mode = mode;
  return pl_fileop_run(L, o);
}

// Standard output may be shared, so it stays a blocking descriptor: it then takes PIPE_BUF bytes
// without blocking when it is writable, and no more are tried at once.
static size_t portion(const pl_file *f, size_t left) {
  enum { SAFE_BYTES = 4096 };
  return f->polled && f->standard && left > SAFE_BYTES ? SAFE_BYTES : left;
}

static bool writable_now(const pl_file *f) {
  if (!f->polled || !f->standard) return true;
  struct pollfd p = {.fd = f->fd, .events = POLLOUT};
  return poll(&p, 1, 0) != 0;
}

static void run_write(pl_fileop *o) {
  size_t before = pl_buf_len(&o->data);
  while (pl_buf_len(&o->data) > 0) {
    // However fast the other end reads, the loop gets its turn.
    bool enough = o->file->polled && before - pl_buf_len(&o->data) >= PL_WRITE_HIGH;
    if (enough || !writable_now(o->file)) {
      o->again = true;
      return;
    }
    ssize_t n = write(o->file->fd, pl_buf_data(&o->data), portion(o->file, pl_buf_len(&o->data)));
    if (n >= 0) {
      pl_buf_consume(&o->data, (size_t)n);
    } else if (errno == EAGAIN && o->file->polled) {
      o->again = true;
      return;
    } else if (errno != EINTR) {
      o->error = -errno;
      return;
    }
  }
}

static int push_nothing(lua_State *L, pl_fileop *o) {
  (void)L;
  (void)o;
  return 0;
}

static const pl_fileop_type write_type = {.op = PL_FILEOP("fs.write"),
                                          .verb = "write",
                                          .run = run_write,
                                          .push = push_nothing,
                                          .events = UV_WRITABLE};

// file:write(bytes)
static int file_write(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "write");
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  if (len == 0) return 0;
  pl_fileop *o = pl_fileop_new(L, &write_type, NULL, f);
  pl_fileop_copy(L, o, bytes, len);
  return pl_fileop_run(L, o);
}

static void run_seek(pl_fileop *o) {
  off_t at = lseek(o->file->fd, (off_t)o->offset, o->flags);
  if (at < 0) o->error = -errno;
  o->offset = at;
}

static int push_offset(lua_State *L, pl_fileop *o) {
  lua_pushinteger(L, o->offset);
  return 1;
}

static const pl_fileop_type seek_type = {
    .op = PL_FILEOP("fs.seek"), .verb = "seek", .run = run_seek, .push = push_offset};

// file:seek("set" | "cur" | "end", offset) -> position
static int file_seek(lua_State *L) {
  static const char *const names[] = {"set", "cur", "end", NULL};
  static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  pl_file *f = pl_file_check(L, 1, "seek");
  int whence = whences[luaL_checkoption(L, 2, "cur", names)];
  lua_Integer offset = luaL_optinteger(L, 3, 0);
  pl_fileop *o = pl_fileop_new(L, &seek_type, NULL, f);
  o->flags = whence;
  o->offset = offset;
  return pl_fileop_run(L, o);
}

static void run_sync(pl_fileop *o) {
  if (fsync(o->file->fd) != 0) o->error = -errno;
}

static const pl_fileop_type sync_type = {
    .op = PL_FILEOP("fs.sync"), .verb = "sync", .run = run_sync, .push = push_nothing};

static int file_sync(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "sync");
  return pl_fileop_run(L, pl_fileop_new(L, &sync_type, NULL, f));
}

static void run_stat(pl_fileop *o) {
  if (fstat(o->file->fd, &o->st) != 0) o->error = -errno;
}

static int push_stat(lua_State *L, pl_fileop *o) {
  pl_file_push_stat(L, &o->st);
  return 1;
}

static const pl_fileop_type stat_type = {
    .op = PL_FILEOP("fs.stat"), .verb = "stat", .run = run_stat, .push = push_stat};

// file:stat() -> what the system knows of it, whatever its name leads to by now
static int file_stat(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "stat");
  return pl_fileop_run(L, pl_fileop_new(L, &stat_type, NULL, f));
}

static void run_truncate(pl_fileop *o) {
  bool done = ftruncate(o->file->fd, (off_t)o->offset) == 0 &&
              lseek(o->file->fd, (off_t)o->offset, SEEK_SET) >= 0;
  if (!done) o->error = -errno;
}

static const pl_fileop_type truncate_type = {
    .op = PL_FILEOP("fs.truncate"), .verb = "truncate", .run = run_truncate, .push = push_nothing};

// file:truncate(size): and the position is there
static int file_truncate(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "truncate");
  lua_Integer size = luaL_checkinteger(L, 2);
  pl_fileop *o = pl_fileop_new(L, &truncate_type, NULL, f);
  o->offset = size;
  return pl_fileop_run(L, o);
}

static void run_close(pl_fileop *o) {
  int fd = o->file->fd;
  o->file->fd = -1;
  if (close(fd) != 0 && errno != EINTR) o->error = -errno;
}

static const pl_fileop_type close_type = {
    .op = PL_FILEOP("fs.close"), .verb = "close", .run = run_close, .push = push_nothing};

// file:close(): waits until the system has closed it, and raises what it reports
static int file_close(lua_State *L) {
  pl_file **box = luaL_checkudata(L, 1, PL_FILE_TYPE);
  if (*box == NULL || (*box)->standard) return 0;
  pl_file *f = pl_file_check(L, 1, "close");
  if (f->busy) {
    return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "close %s: a task is using the file",
                         f->path);
  }
  pl_fileop *o = pl_fileop_new(L, &close_type, NULL, f);
  *box = NULL;
  pl_file_drop(f);
  return pl_fileop_run(L, o);
}

// __gc and __close: never waits, an operation under way keeps the file until its end.
static int file_release(lua_State *L) {
  pl_file **box = luaL_checkudata(L, 1, PL_FILE_TYPE);
  pl_file *f = *box;
  *box = NULL;
  if (f != NULL) pl_file_drop(f);
  return 0;
}

// file:polled() -> true when reads may wait for somebody else
static int file_polled(lua_State *L) {
  pl_file **box = luaL_checkudata(L, 1, PL_FILE_TYPE);
  lua_pushboolean(L, *box != NULL && (*box)->polled);
  return 1;
}

static void drop_file(void *file) {
  pl_file_drop(file);
}

int pl_file_standard(lua_State *L) {
  static const char *const names[] = {"standard input", "standard output", "standard error"};
  lua_Integer fd = luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd >= 0 && fd <= 2, 1, "out of range");
  pl_guard *guard = pl_guard_push(L, drop_file);
  pl_file *f = pl_file_new((int)fd, names[fd]);
  f->standard = true;
  guard->object = f;
  pl_file_push(L, f);
  guard->object = NULL;
  return 1;
}

static const luaL_Reg methods[] = {
    {"read", pl_file_read}, {"write", file_write},     {"seek", file_seek},
    {"sync", file_sync},    {"stat", file_stat},       {"truncate", file_truncate},
    {"close", file_close},  {"release", file_release}, {"polled", file_polled},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", file_release},
    {"__close", file_release},
    {NULL, NULL},
};

void pl_file_register(lua_State *L) {
  luaL_newmetatable(L, PL_FILE_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
