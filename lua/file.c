#include "lua/file.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/fdwait.h"

static void run_close(pl_filejob *job) {
  pl_file *f = pl_container(job, pl_file, closing);
  close(f->fd);
}

static void free_file(pl_filejob *job) {
  pl_file *f = pl_container(job, pl_file, closing);
  pthread_mutex_destroy(&f->lock);
  pl_buf_fini(&f->kept);
  pl_free(f->path);
  pl_free(f);
}

static const pl_filejob_type close_type = {.run = run_close, .discard = free_file};

// Regular files and directories never wait; what else the kernel can watch does.
static bool must_poll(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return false;
  return pl_fdwait_possible(fd);
}

pl_file *pl_file_new(int fd, const char *path) {
  pl_file *f = pl_new(pl_file);
  f->closing.type = &close_type;
  atomic_init(&f->refs, 1);
  pl_list_init(&f->queue);
  pthread_mutex_init(&f->lock, NULL);
  f->fd = fd;
  f->path = pl_strdup(path);
  f->polled = must_poll(fd);
  return f;
}

pl_file *pl_file_hold(pl_file *f) {
  atomic_fetch_add(&f->refs, 1);
  return f;
}

void pl_file_drop(pl_file *f) {
  if (atomic_fetch_sub(&f->refs, 1) != 1) return;
  bool open = f->fd >= 0 && !f->standard;
  if (open && pl_filework_post(&f->closing) == PL_OK) return;
  if (open) close(f->fd);
  free_file(&f->closing);
}

void pl_file_push(lua_State *L, pl_file *f) {
  pl_file **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, PL_FILE_TYPE);
  *box = f;
}

pl_file *pl_file_check(lua_State *L, int arg, const char *verb) {
  pl_file **box = luaL_checkudata(L, arg, PL_FILE_TYPE);
  if (*box == NULL) pl_raise_code(L, PL_CLOSED, PL_NOT_EXECUTED, "%s: the file is closed", verb);
  return *box;
}

static const char *type_name(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "link";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  return "device";
}

static void set_integer(lua_State *L, const char *key, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, key);
}

static void set_time(lua_State *L, const char *key, struct timespec t) {
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
  lua_setfield(L, -2, key);
}

void pl_file_push_stat(lua_State *L, const struct stat *st) {
  lua_createtable(L, 0, 11);  // stack: stat
  lua_pushstring(L, type_name(st->st_mode));
  lua_setfield(L, -2, "type");
  set_integer(L, "size", st->st_size);
  set_integer(L, "mode", st->st_mode & 07777);
  set_integer(L, "uid", st->st_uid);
  set_integer(L, "gid", st->st_gid);
  set_integer(L, "links", (lua_Integer)st->st_nlink);
  set_integer(L, "inode", (lua_Integer)st->st_ino);
  set_integer(L, "device", (lua_Integer)st->st_dev);
  set_time(L, "modified", st->st_mtim);
  set_time(L, "accessed", st->st_atim);
  set_time(L, "changed", st->st_ctim);
}
