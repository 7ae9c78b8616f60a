#include "lua/statefile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/filereplace.h"
#include "perilune.h"
#include "wire/store_file.h"

enum { MODE = 0600 };

struct pl_statefile {
  pl_filejob job;
  pl_work inline_work;  // in place of the job when the pool is full, or there is none
  pl_loop *loop;
  pl_store *store;
  char *path;
  char *temporary;  // always the same: what a killed process leaves, the next one writes over
  uint64_t saved;   // change of the store that the file has
  bool saving;
  void (*done)(pl_statefile *f, int error, void *user);
  void *user;

  // of the save that runs
  pl_items items;
  uint64_t taken;  // change of the store that they are of
  pl_store_time time;
  int error;
};

static pl_store_time time_of(const pl_loop *loop) {
  return (pl_store_time){pl_now_us(loop), pl_wall_us()};
}

pl_statefile *pl_statefile_new(pl_loop *loop, pl_store *store, const char *path) {
  static const char suffix[] = ".new~";
  pl_statefile *f = pl_new(pl_statefile);
  f->loop = loop;
  f->store = store;
  f->path = pl_strdup(path);
  f->temporary = pl_alloc(strlen(path) + sizeof suffix);
  snprintf(f->temporary, strlen(path) + sizeof suffix, "%s%s", path, suffix);
  f->saved = pl_store_usage(store).change;
  return f;
}

void pl_statefile_free(pl_statefile *f) {
  assert(!f->saving);
  pl_free(f->path);
  pl_free(f->temporary);
  pl_free(f);
}

bool pl_statefile_is_behind(const pl_statefile *f) {
  return pl_store_usage(f->store).change != f->saved;
}

bool pl_statefile_is_saving(const pl_statefile *f) {
  return f->saving;
}

const char *pl_statefile_path(const pl_statefile *f) {
  return f->path;
}

// Reading.

static pl_err fail(char *detail, pl_err err, const char *path, const char *what) {
  snprintf(detail, PL_URL_MAX,
           "state_dir: %.300s %s; mend it, or move it away to start without what it holds", path,
           what);
  return err;
}

// The file as a whole into memory that was asked for when its size was known to be in bounds.
static pl_err read_all(int fd, const char *path, size_t most, pl_buf *out, char *detail) {
  struct stat st;
  if (fstat(fd, &st) != 0) return fail(detail, PL_IO_ERROR, path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return fail(detail, PL_INVALID, path, "is no regular file");
  size_t size = (size_t)st.st_size, have = 0;
  if (size > most) return fail(detail, PL_TOO_LARGE, path, "holds more than state_limit: raise it");
  uint8_t *to = pl_buf_reserve(out, size + 1);
  if (to == NULL) return fail(detail, PL_NO_MEMORY, path, "is larger than the memory there is");
  while (have < size) {
    ssize_t n = read(fd, to + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(detail, PL_IO_ERROR, path, strerror(errno));
    if (n == 0) break;  // what is missing is found out by the decoder
    have += (size_t)n;
  }
  pl_buf_commit(out, have);
  return PL_OK;
}

static pl_err decode(pl_statefile *f, const pl_buf *bytes, char *detail) {
  const char *why;
  pl_bytes src = pl_bytes_of(pl_buf_data(bytes), pl_buf_len(bytes));
  pl_err err = pl_store_decode(f->store, src, time_of(f->loop), &why);
  if (err == PL_TOO_LARGE) why = "holds more than state_limit: raise it";
  if (err == PL_PROTOCOL) err = PL_INVALID;
  return err == PL_OK ? PL_OK : fail(detail, err, f->path, why);
}

pl_err pl_statefile_load(pl_statefile *f, char *detail) {
  unlink(f->temporary);
  int fd = pl_file_open_now(f->path, O_RDONLY, 0);
  if (fd < 0) {
    return errno == ENOENT ? PL_OK : fail(detail, PL_IO_ERROR, f->path, strerror(errno));
  }
  pl_buf bytes = {0};
  pl_err err = read_all(fd, f->path, pl_store_file_max(pl_store_limit(f->store)), &bytes, detail);
  close(fd);
  if (err == PL_OK) err = decode(f, &bytes, detail);
  pl_buf_fini(&bytes);
  f->saved = pl_store_usage(f->store).change;
  return err;
}

// Saving.

static void run(pl_filejob *job) {
  pl_statefile *f = pl_container(job, pl_statefile, job);
  pl_buf bytes = {0};
  f->error = -ENOMEM;
  bool ok = pl_store_encode(&bytes, &f->items, f->time);
  pl_items_drop(&f->items);
  if (ok) {
    unlink(f->temporary);
    pl_bytes data = pl_bytes_of(pl_buf_data(&bytes), pl_buf_len(&bytes));
    f->error = pl_file_replace(f->path, f->temporary, MODE, data, true);
  }
  pl_buf_fini(&bytes);
}

static void finish(pl_filejob *job) {
  pl_statefile *f = pl_container(job, pl_statefile, job);
  f->saving = false;
  if (f->error == 0) f->saved = f->taken;
  f->done(f, f->error, f->user);
}

static void run_inline(pl_work *work) {
  pl_statefile *f = pl_container(work, pl_statefile, inline_work);
  if (f->error == 0) run(&f->job);
  finish(&f->job);
}

void pl_statefile_save(pl_statefile *f, pl_fileport *port,
                       void (*done)(pl_statefile *f, int error, void *user), void *user) {
  static const pl_filejob_type type = {.run = run, .done = finish};  // it is never cancelled
  assert(!f->saving);
  f->saving = true;
  f->done = done;
  f->user = user;
  f->time = time_of(f->loop);
  f->job.type = &type;
  // Here, where no script of this thread is in the middle of something.
  f->error = pl_store_snapshot(f->store, f->time.now_us, &f->items) ? 0 : -ENOMEM;
  f->taken = f->items.change;
  if (f->error != 0 || pl_filework_submit(port, &f->job) != PL_OK)
    pl_loop_defer(f->loop, &f->inline_work, run_inline);
}
