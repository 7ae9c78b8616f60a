// perilune.core.folder: files below one folder, under names that strangers give. No part of a name
// may be a link, so none leads out of the folder, whatever is exchanged for a link meanwhile. Names
// have parts between single slashes, none of them "." or ".."; stdlib/perilune/files/names.lua
// checks them with better words.
//
// What is received is written to a file beside its target, `.NAME.part`, which its writer has
// locked: a second writer, of whatever process, is refused, and the end of a process ends the lock.

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/file.h"
#include "lua/fileop.h"
#include "lua/modules.h"

enum { OPEN_FLAGS = O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW };

// Where a name leads: a descriptor of the folder, and what is in there.
typedef struct place {
  int dir;
  const char *last;
  char part[NAME_MAX + 1];  // the name while it is written
} place;

static bool is_plain(const char *part, size_t len) {
  return len > 0 && !(len <= 2 && part[0] == '.' && part[len - 1] == '.');
}

// Goes from `dir`, which it closes, into the folder that is named. A descriptor, or an error.
static int enter(int dir, const char *name, size_t len) {
  char part[NAME_MAX + 1];
  int next = -EINVAL;
  if (len > NAME_MAX) {
    next = -ENAMETOOLONG;
  } else if (is_plain(name, len)) {
    memcpy(part, name, len);
    part[len] = '\0';
    next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) next = -errno;
  }
  close(dir);
  return next;
}

// 0 or a negative error; then nothing is open. `to` of the operation has root and name, each with
// its NUL; `path` is what messages call it.
static int find(place *p, const pl_fileop *o) {
  const char *root = o->to, *name = root + strlen(root) + 1;
  int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return -errno;
  for (const char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
    dir = enter(dir, name, (size_t)(slash - name));
    if (dir < 0) return dir;
  }
  int err = is_plain(name, strlen(name)) ? 0 : -EINVAL;
  int len = snprintf(p->part, sizeof p->part, ".%s.part", name);
  if (err == 0 && (size_t)len >= sizeof p->part) err = -ENAMETOOLONG;
  if (err != 0) close(dir);
  p->dir = dir;
  p->last = name;
  return err;
}

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

// UV_EISDIR and UV_EFTYPE (links and what is special) apart from files.
static int check_type(mode_t mode) {
  if (S_ISREG(mode)) return 0;
  return S_ISDIR(mode) ? UV_EISDIR : UV_EFTYPE;
}

// Looks before it opens, because to open a device may do something.
static int open_regular(int dir, const char *name, int follow, struct stat *st) {
  if (fstatat(dir, name, st, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) return -errno;
  int err = check_type(st->st_mode);
  if (err != 0) return err;
  int fd = openat(dir, name, O_RDONLY | (follow ? OPEN_FLAGS & ~O_NOFOLLOW : OPEN_FLAGS));
  if (fd < 0) return errno == ELOOP ? UV_EFTYPE : -errno;
  err = fstat(fd, st) != 0 ? -errno : check_type(st->st_mode);
  if (err == 0) return fd;
  close(fd);
  return err;
}

static void keep(pl_fileop *o, int fd) {
  if (fd < 0) {
    o->error = fd;
  } else {
    o->opened = pl_file_new(fd, o->path);
  }
}

static void run_open(pl_fileop *o) {
  if (o->to == NULL) {
    keep(o, open_regular(AT_FDCWD, o->path, true, &o->st));
    return;
  }
  place p;
  o->error = find(&p, o);
  if (o->error != 0) return;
  keep(o, open_regular(p.dir, p.last, false, &o->st));
  close(p.dir);
}

static int push_opened(lua_State *L, pl_fileop *o) {
  pl_file_push(L, o->opened);
  o->opened = NULL;
  pl_file_push_stat(L, &o->st);
  return 2;
}

static const pl_fileop_type open_type = {
    .op = PL_FILEOP("files.open"), .verb = "open", .run = run_open, .push = push_opened};

// The locked file that has the name of the part, and not one that was renamed or removed between
// opening and locking. A second name of it would let others write behind the lock.
static int lock_part(const place *p, struct stat *st) {
  for (;;) {
    int fd = openat(p->dir, p->part, O_RDWR | O_CREAT | OPEN_FLAGS, 0666);
    if (fd < 0) return errno == ELOOP ? UV_EFTYPE : -errno;
    struct stat named;
    int err = fstat(fd, st) != 0 ? -errno : check_type(st->st_mode);
    if (err == 0 && st->st_nlink > 1) err = UV_EFTYPE;
    if (err == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) err = errno == EWOULDBLOCK ? -EBUSY : -errno;
    bool named_so = err == 0 && fstatat(p->dir, p->part, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                    same_file(&named, st);
    if (named_so && fstat(fd, st) == 0) return fd;  // again: its size is ours only now
    close(fd);
    if (err != 0) return err;
  }
}

static void run_part(pl_fileop *o) {
  place p;
  struct stat target;
  o->error = find(&p, o);
  if (o->error != 0) return;
  if (fstatat(p.dir, p.last, &target, AT_SYMLINK_NOFOLLOW) == 0)
    o->error = check_type(target.st_mode);
  if (o->error == 0) keep(o, lock_part(&p, &o->st));
  close(p.dir);
}

static const pl_fileop_type part_type = {
    .op = PL_FILEOP("files.part"), .verb = "write", .run = run_part, .push = push_opened};

// 0 when the part is still the file that is open.
static int check_part(const place *p, int fd) {
  struct stat open, named;
  if (fstat(fd, &open) != 0 || fstatat(p->dir, p->part, &named, AT_SYMLINK_NOFOLLOW) != 0)
    return -errno;
  return same_file(&open, &named) ? 0 : -ENOENT;
}

// After a crash the name must lead to all of the bytes.
static int sync_folder(int dir) {
  int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int err = fsync(fd) != 0 ? -errno : 0;
  close(fd);
  return err;
}

// What is replaced leaves its permissions.
static int publish(const place *p, int fd) {
  struct stat target;
  int err = check_part(p, fd);
  if (err != 0) return err;
  bool replaces = fstatat(p->dir, p->last, &target, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaces && (err = check_type(target.st_mode)) != 0) return err;
  if (replaces && fchmod(fd, target.st_mode & 0777) != 0) return -errno;
  if (fsync(fd) != 0) return -errno;
  if (renameat(p->dir, p->part, p->dir, p->last) != 0) return -errno;
  return sync_folder(p->dir);
}

static void run_publish(pl_fileop *o) {
  place p;
  o->error = find(&p, o);
  if (o->error != 0) return;
  o->error = publish(&p, o->file->fd);
  close(p.dir);
}

static int push_nothing(lua_State *L, pl_fileop *o) {
  (void)L;
  (void)o;
  return 0;
}

static const pl_fileop_type publish_type = {
    .op = PL_FILEOP("files.publish"), .verb = "write", .run = run_publish, .push = push_nothing};

static void run_discard(pl_fileop *o) {
  place p;
  o->error = find(&p, o);
  if (o->error != 0) return;
  o->error = check_part(&p, o->file->fd);
  if (o->error == 0 && unlinkat(p.dir, p.part, 0) != 0) o->error = -errno;
  close(p.dir);
}

static const pl_fileop_type discard_type = {
    .op = PL_FILEOP("files.discard"), .verb = "remove", .run = run_discard, .push = push_nothing};

// Of the name, or of its part when `flags` says so. `count`: there is one.
static void run_stat(pl_fileop *o) {
  place p;
  o->error = find(&p, o);
  if (o->error == 0) {
    const char *name = o->flags != 0 ? p.part : p.last;
    if (fstatat(p.dir, name, &o->st, AT_SYMLINK_NOFOLLOW) != 0) o->error = -errno;
    close(p.dir);
  }
  bool absent = o->error == -ENOENT || o->error == -ENOTDIR;
  o->count = o->error == 0;
  if (absent) o->error = 0;
}

static int push_stat(lua_State *L, pl_fileop *o) {
  if (o->count == 0) return 0;
  pl_file_push_stat(L, &o->st);
  return 1;
}

static const pl_fileop_type stat_type = {
    .op = PL_FILEOP("files.stat"), .verb = "stat", .run = run_stat, .push = push_stat};

static const char *check_path(lua_State *L, int arg) {
  size_t len;
  const char *path = luaL_checklstring(L, arg, &len);
  luaL_argcheck(L, strlen(path) == len, arg, "string with NUL");
  return path;
}

// An operation on the name at `arg`, below the folder in front of it. Messages call it what
// follows, else by its name.
static pl_fileop *named(lua_State *L, const pl_fileop_type *type, int arg, pl_file *file) {
  const char *root = check_path(L, arg - 1), *name = check_path(L, arg);
  const char *label = luaL_optstring(L, arg + 1, name);
  pl_fileop *o = pl_fileop_new(L, type, label, file);
  size_t root_size = strlen(root) + 1, name_size = strlen(name) + 1;
  o->to = pl_alloc(root_size + name_size);
  memcpy(o->to, root, root_size);
  memcpy(o->to + root_size, name, name_size);
  return o;
}

// open(root, name) -> file, stat: to read. Without a root it is any path, and links are followed.
static int folder_open(lua_State *L) {
  if (!lua_isnil(L, 1)) return pl_fileop_run(L, named(L, &open_type, 2, NULL));
  return pl_fileop_run(L, pl_fileop_new(L, &open_type, check_path(L, 2), NULL));
}

// part(root, name, label) -> file, stat: to read and write, locked
static int folder_part(lua_State *L) {
  return pl_fileop_run(L, named(L, &part_type, 2, NULL));
}

// publish(file, root, name, label): what is in the part is on the disk, and has its name
static int folder_publish(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "write");
  return pl_fileop_run(L, named(L, &publish_type, 3, f));
}

// discard(file, root, name): removes the part
static int folder_discard(lua_State *L) {
  pl_file *f = pl_file_check(L, 1, "remove");
  return pl_fileop_run(L, named(L, &discard_type, 3, f));
}

// stat(root, name, label, of_part) -> table, or nothing when there is none
static int folder_stat(lua_State *L) {
  bool of_part = lua_toboolean(L, 4);
  pl_fileop *o = named(L, &stat_type, 2, NULL);
  o->flags = of_part;
  return pl_fileop_run(L, o);
}

int pl_open_folder(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", folder_open},       {"part", folder_part}, {"publish", folder_publish},
      {"discard", folder_discard}, {"stat", folder_stat}, {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
