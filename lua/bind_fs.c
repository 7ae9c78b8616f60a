// perilune.core.fs: names and whole files. Checks of arguments are in stdlib/perilune/fs.lua.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/file.h"
#include "lua/fileop.h"
#include "lua/filewatch.h"
#include "lua/filewhole.h"
#include "lua/modules.h"

static int push_nothing(lua_State *L, pl_fileop *o) {
  (void)L;
  (void)o;
  return 0;
}

static void run_stat(pl_fileop *o) {
  int rc = o->flags != 0 ? stat(o->path, &o->st) : lstat(o->path, &o->st);
  if (rc != 0) o->error = -errno;
}

static int push_stat(lua_State *L, pl_fileop *o) {
  pl_file_push_stat(L, &o->st);
  return 1;
}

static const pl_fileop_type stat_type = {
    .op = PL_FILEOP("fs.stat"), .verb = "stat", .run = run_stat, .push = push_stat};

// stat(path, follow) -> table
static int fs_stat(lua_State *L) {
  bool follow = lua_toboolean(L, 2);
  pl_fileop *o = pl_fileop_new(L, &stat_type, luaL_checkstring(L, 1), NULL);
  o->flags = follow;
  return pl_fileop_run(L, o);
}

// Whether the path leads to anything.
static void run_exists(pl_fileop *o) {
  if (stat(o->path, &o->st) == 0) {
    o->count = 1;
  } else if (errno != ENOENT && errno != ENOTDIR) {
    o->error = -errno;
  }
}

static int push_exists(lua_State *L, pl_fileop *o) {
  lua_pushboolean(L, o->count > 0);
  return 1;
}

static const pl_fileop_type exists_type = {
    .op = PL_FILEOP("fs.exists"), .verb = "stat", .run = run_exists, .push = push_exists};

static int fs_exists(lua_State *L) {
  return pl_fileop_run(L, pl_fileop_new(L, &exists_type, luaL_checkstring(L, 1), NULL));
}

// Appends the names, each with its NUL.
static void read_names(pl_fileop *o, DIR *dir) {
  struct dirent *entry;
  while (errno = 0, (entry = readdir(dir)) != NULL) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (o->count++ == PL_LIST_MAX) {
      o->error = UV_E2BIG;
    } else if (!pl_buf_append(&o->data, name, strlen(name) + 1)) {
      o->error = UV_ENOMEM;
    }
    if (o->error != 0) return;
  }
  if (errno != 0) o->error = -errno;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// In the thread, because sorting many names takes a while. Afterwards `data` holds them in order.
static void sort_names(pl_fileop *o) {
  if (o->count == 0) return;
  const char **names = pl_try_alloc(o->count * sizeof *names);
  pl_buf sorted = {0};
  if (names == NULL || pl_buf_reserve(&sorted, pl_buf_len(&o->data)) == NULL) {
    o->error = UV_ENOMEM;
    pl_free(names);
    return;
  }
  const char *at = (const char *)pl_buf_data(&o->data);
  for (size_t i = 0; i < o->count; i++, at += strlen(at) + 1)
    names[i] = at;
  qsort(names, o->count, sizeof *names, compare_names);
  for (size_t i = 0; i < o->count; i++)
    pl_buf_append(&sorted, names[i], strlen(names[i]) + 1);
  pl_free(names);
  pl_buf_fini(&o->data);
  o->data = sorted;
}

static void run_list(pl_fileop *o) {
  DIR *dir = opendir(o->path);
  if (dir == NULL) {
    o->error = -errno;
    return;
  }
  read_names(o, dir);
  closedir(dir);
  if (o->error == 0) sort_names(o);
}

static int push_names(lua_State *L, pl_fileop *o) {
  lua_createtable(L, (int)o->count, 0);
  const char *at = (const char *)pl_buf_data(&o->data);
  for (size_t i = 0; i < o->count; i++, at += strlen(at) + 1) {
    lua_pushstring(L, at);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const pl_fileop_type list_type = {
    .op = PL_FILEOP("fs.list"), .verb = "list", .run = run_list, .push = push_names};

static int fs_list(lua_State *L) {
  return pl_fileop_run(L, pl_fileop_new(L, &list_type, luaL_checkstring(L, 1), NULL));
}

static void run_mkdir(pl_fileop *o) {
  if (mkdir(o->path, (mode_t)o->mode) == 0) return;
  o->error = -errno;
  bool may_exist = o->flags != 0 && errno == EEXIST;
  if (may_exist && stat(o->path, &o->st) == 0 && S_ISDIR(o->st.st_mode)) o->error = 0;
}

static const pl_fileop_type mkdir_type = {
    .op = PL_FILEOP("fs.mkdir"), .verb = "mkdir", .run = run_mkdir, .push = push_nothing};

// mkdir(path, mode, may_exist)
static int fs_mkdir(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  unsigned mode = (unsigned)luaL_checkinteger(L, 2);
  bool may_exist = lua_toboolean(L, 3);
  pl_fileop *o = pl_fileop_new(L, &mkdir_type, path, NULL);
  o->mode = mode;
  o->flags = may_exist;
  return pl_fileop_run(L, o);
}

static void run_rename(pl_fileop *o) {
  if (rename(o->path, o->to) != 0) o->error = -errno;
}

static const pl_fileop_type rename_type = {
    .op = PL_FILEOP("fs.rename"), .verb = "rename", .run = run_rename, .push = push_nothing};

static int fs_rename(lua_State *L) {
  const char *from = luaL_checkstring(L, 1);
  const char *to = luaL_checkstring(L, 2);
  pl_fileop *o = pl_fileop_new(L, &rename_type, from, NULL);
  o->to = pl_strdup(to);
  return pl_fileop_run(L, o);
}

// A file, a link or an empty directory. The error of a directory is rmdir's.
static void run_remove(pl_fileop *o) {
  if (unlink(o->path) == 0) return;
  o->error = -errno;
  if (errno != EISDIR && errno != EPERM) return;
  struct stat st;
  if (lstat(o->path, &st) != 0 || !S_ISDIR(st.st_mode)) return;
  o->error = rmdir(o->path) == 0 ? 0 : -errno;
}

static const pl_fileop_type remove_type = {
    .op = PL_FILEOP("fs.remove"), .verb = "remove", .run = run_remove, .push = push_nothing};

static int fs_remove(lua_State *L) {
  return pl_fileop_run(L, pl_fileop_new(L, &remove_type, luaL_checkstring(L, 1), NULL));
}

static void set_integer(lua_State *L, const char *key, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, key);
}

static void set_flags(lua_State *L) {
  static const struct {
    const char *name;
    int value;
  } flags[] = {
      {"RDONLY", O_RDONLY}, {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR}, {"CREAT", O_CREAT},
      {"TRUNC", O_TRUNC},   {"APPEND", O_APPEND}, {"EXCL", O_EXCL},
  };
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    set_integer(L, flags[i].name, flags[i].value);
  }
}

// A pipe without a reader and a file at the limit of the system are errors of one write, not the
// end of the process.
static void ignore_signal(int number) {
  struct sigaction now;
  if (sigaction(number, NULL, &now) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  sigaction(number, &now, NULL);
}

static const luaL_Reg functions[] = {
    {"open", pl_file_open},       {"standard", pl_file_standard},
    {"read", pl_file_read_whole}, {"write", pl_file_write_whole},
    {"watch", pl_filewatch_open}, {"stat", fs_stat},
    {"exists", fs_exists},        {"list", fs_list},
    {"mkdir", fs_mkdir},          {"rename", fs_rename},
    {"remove", fs_remove},        {NULL, NULL},
};

int pl_open_fs(lua_State *L) {
  ignore_signal(SIGPIPE);
  ignore_signal(SIGXFSZ);
  pl_file_register(L);
  pl_filewatch_register(L);
  luaL_newlib(L, functions);
  set_flags(L);
  return 1;
}
