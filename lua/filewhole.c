#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "lua/fileop.h"
#include "lua/filereplace.h"
#include "lua/filewhole.h"

enum { WRITE_APPEND = 1, WRITE_ATOMIC = 2, WRITE_SYNC = 4, WRITE_EXCLUSIVE = 8 };

// The file as a whole, one byte past the limit at most: that one tells that there are too many.
static void read_all(pl_fileop *o, int fd) {
  for (;;) {
    size_t have = pl_buf_len(&o->data);
    if (have > o->limit) {
      o->too_large = true;
      return;
    }
    size_t step = have < PL_FILE_READ ? PL_FILE_READ : have;  // doubles
    if (step > o->limit - have + 1) step = o->limit - have + 1;
    uint8_t *p = pl_buf_reserve(&o->data, step);
    if (p == NULL) {
      o->error = UV_ENOMEM;
      return;
    }
    ssize_t n = read(fd, p, step);
    if (n == 0) return;
    if (n > 0) {
      pl_buf_commit(&o->data, (size_t)n);
    } else if (errno != EINTR) {
      o->error = -errno;
      return;
    }
  }
}

static void run_read_whole(pl_fileop *o) {
  int fd = pl_file_open_now(o->path, O_RDONLY, 0);
  if (fd < 0) {
    o->error = -errno;
    return;
  }
  pl_file *f = pl_file_new(fd, o->path);
  if (f->polled) {
    o->opened = f;
    return;
  }
  struct stat st;
  if (fstat(fd, &st) == 0 && st.st_size > 0) {
    size_t want = (uint64_t)st.st_size < o->limit ? (size_t)st.st_size : o->limit;
    if (pl_buf_reserve(&o->data, want + 1) == NULL) o->error = UV_ENOMEM;
  }
  if (o->error == 0) read_all(o, fd);
  close(fd);
  f->fd = -1;
  pl_file_drop(f);
}

static int push_whole(lua_State *L, pl_fileop *o) {
  if (o->opened != NULL) {
    pl_file_push(L, o->opened);
    o->opened = NULL;
  } else {
    lua_pushlstring(L, (const char *)pl_buf_data(&o->data), pl_buf_len(&o->data));
  }
  return 1;
}

static const pl_fileop_type read_type = {
    .op = PL_FILEOP("fs.read"), .verb = "read", .run = run_read_whole, .push = push_whole};

int pl_file_read_whole(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer max = luaL_checkinteger(L, 2);
  luaL_argcheck(L, max >= 0 && max < PTRDIFF_MAX, 2, "out of range");
  pl_fileop *o = pl_fileop_new(L, &read_type, path, NULL);
  o->limit = (size_t)max;
  return pl_fileop_run(L, o);
}

static pl_bytes bytes_of(const pl_fileop *o) {
  return pl_bytes_of(pl_buf_data(&o->data), pl_buf_len(&o->data));
}

static void run_write_plain(pl_fileop *o) {
  int flags = O_WRONLY | O_CREAT | ((o->flags & WRITE_APPEND) != 0 ? O_APPEND : O_TRUNC);
  if ((o->flags & WRITE_EXCLUSIVE) != 0) flags |= O_EXCL;
  int fd = pl_file_open_now(o->path, flags, o->mode);
  struct stat st;
  if (fd < 0) {
    o->error = -errno;
    o->again = errno == ENXIO && stat(o->path, &st) == 0 && S_ISFIFO(st.st_mode);
    if (o->again) o->error = 0;
    return;
  }
  pl_file *f = pl_file_new(fd, o->path);
  if (f->polled) {
    o->opened = f;
    return;
  }
  o->error = pl_file_write_all(fd, bytes_of(o), (o->flags & WRITE_SYNC) != 0);
  if (close(fd) != 0 && o->error == 0 && errno != EINTR) o->error = -errno;
  f->fd = -1;
  pl_file_drop(f);
}

// A link keeps pointing: what it points at is replaced.
static void run_write_atomic(pl_fileop *o) {
  char *real = realpath(o->path, NULL);
  const char *target = real != NULL ? real : o->path;
  uint64_t random;
  pl_random_secret(&random, sizeof random);
  size_t size = strlen(target) + 32;
  char *temporary = pl_alloc(size);
  snprintf(temporary, size, "%s.%016llx~", target, (unsigned long long)random);
  bool sync = (o->flags & WRITE_SYNC) != 0;
  o->error = pl_file_replace(target, temporary, o->mode, bytes_of(o), sync);
  pl_free(temporary);
  free(real);
}

static void run_write_whole(pl_fileop *o) {
  if ((o->flags & WRITE_ATOMIC) != 0) {
    run_write_atomic(o);
  } else {
    run_write_plain(o);
  }
}

static int push_polled(lua_State *L, pl_fileop *o) {
  if (o->opened == NULL) return 0;
  pl_file_push(L, o->opened);
  o->opened = NULL;
  return 1;
}

static const pl_fileop_type write_type = {
    .op = PL_FILEOP("fs.write"), .verb = "write", .run = run_write_whole, .push = push_polled};

static int flag(lua_State *L, const char *name, int value) {
  lua_getfield(L, 3, name);
  int result = lua_toboolean(L, -1) ? value : 0;
  lua_pop(L, 1);
  return result;
}

int pl_file_write_whole(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  luaL_checktype(L, 3, LUA_TTABLE);
  unsigned mode = (unsigned)luaL_checkinteger(L, 4);
  pl_fileop *o = pl_fileop_new(L, &write_type, path, NULL);
  o->mode = mode;
  o->flags = flag(L, "append", WRITE_APPEND) | flag(L, "atomic", WRITE_ATOMIC) |
             flag(L, "sync", WRITE_SYNC) | flag(L, "exclusive", WRITE_EXCLUSIVE);
  pl_fileop_copy(L, o, bytes, len);
  return pl_fileop_run(L, o);
}
