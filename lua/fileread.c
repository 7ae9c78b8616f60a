#include "lua/fileread.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "lua/file.h"
#include "lua/fileop.h"

enum { CHUNK_MAX = 64 * 1024 * 1024 };  // of one read: the buffer is not the script's memory

static void swap(pl_buf *a, pl_buf *b) {
  pl_buf was = *a;
  *a = *b;
  *b = was;
}

// Takes what another read has left.
static void take_kept(pl_fileop *o) {
  pl_file *f = o->file;
  size_t len = pl_buf_len(&f->kept);
  if (len <= o->limit) {
    swap(&o->data, &f->kept);
    o->error = f->kept_error;
    f->keeps = false;
  } else if (pl_buf_append(&o->data, pl_buf_data(&f->kept), o->limit)) {
    pl_buf_consume(&f->kept, o->limit);
  } else {
    o->error = UV_ENOMEM;
  }
}

static void run_read(pl_fileop *o) {
  o->count = 1;
  if (o->file->keeps) {
    take_kept(o);
    return;
  }
  uint8_t *p = pl_buf_reserve(&o->data, o->limit);
  if (p == NULL) {
    o->error = UV_ENOMEM;
    return;
  }
  ssize_t n;
  do {
    n = read(o->file->fd, p, o->limit);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) {
    pl_buf_commit(&o->data, (size_t)n);
  } else if (errno == EAGAIN && o->file->polled) {
    o->again = true;
  } else {
    o->error = -errno;
  }
}

// What the kernel cannot watch has a position, and tells its end or error again. The bytes of
// others are gone from there, as is the end that a terminal told, or the error of a connection.
static void give_back_read(pl_fileop *o) {
  pl_file *f = o->file;
  if (!f->polled) {
    lseek(f->fd, -(off_t)pl_buf_len(&o->data), SEEK_CUR);
    return;
  }
  assert(!f->keeps);  // who takes that does not wait
  swap(&o->data, &f->kept);
  f->kept_error = o->error;
  f->keeps = true;
}

static int push_data(lua_State *L, pl_fileop *o) {
  if (pl_buf_len(&o->data) == 0 && o->count > 0) {
    lua_pushnil(L);
  } else {
    lua_pushlstring(L, (const char *)pl_buf_data(&o->data), pl_buf_len(&o->data));
  }
  return 1;
}

static const pl_fileop_type read_type = {.op = PL_FILEOP("fs.read"),
                                         .verb = "read",
                                         .run = run_read,
                                         .push = push_data,
                                         .events = UV_READABLE,
                                         .looks_again = true,
                                         .give_back = give_back_read};

int pl_file_read(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "read");
  lua_Integer n = luaL_optinteger(L, 2, PL_FILE_READ);
  luaL_argcheck(L, n > 0 && n <= CHUNK_MAX, 2, "out of range");
  pl_fileop *o = pl_fileop_new(L, &read_type, NULL, f);
  o->limit = (size_t)n;
  return pl_fileop_run(L, o);
}
