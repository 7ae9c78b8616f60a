#include "lua/states.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/filereplace.h"
#include "lua/statefile.h"

typedef struct state {
  pl_list node;
  pl_states *owner;
  char *path;  // of the script; NULL: of the node
  pl_store *store;
  pl_statefile *file;  // NULL without a folder
  uint64_t pause_us;   // until saving, which failed, is tried again; 0: it did not fail
  uint64_t retry_us;   // not before
} state;

struct pl_states {
  pl_loop *loop;
  pl_list all;  // of state
  bool open;
  size_t limit;
  char *folder;  // NULL: nothing is saved
  int lock;      // of the folder; -1
  pl_fileport *port;
  pl_timer timer;

  bool closing;
  pl_work end;
  void (*done)(bool saved, void *user);
  void *user;
};

static state *from(pl_list *node) {
  return pl_container(node, state, node);
}

pl_states *pl_states_new(pl_loop *loop) {
  pl_states *s = pl_new(pl_states);
  s->loop = loop;
  s->lock = -1;
  pl_list_init(&s->all);
  return s;
}

static void free_state(state *x) {
  if (x->file != NULL) pl_statefile_free(x->file);
  pl_store_drop(x->store);
  pl_free(x->path);
  pl_free(x);
}

// Leaves the folder.
static void leave(pl_states *s) {
  pl_timer_stop(&s->timer);
  if (s->port != NULL) pl_fileport_close(s->port);
  s->port = NULL;
  if (s->lock >= 0) close(s->lock);
  s->lock = -1;
}

void pl_states_free(pl_states *s) {
  assert(s->port == NULL);
  pl_work_cancel(&s->end);
  while (!pl_list_empty(&s->all))
    free_state(from(pl_list_pop(&s->all)));
  pl_free(s->folder);
  pl_free(s);
}

// Saving.

static void close_if_saved(pl_states *s);

static void on_saved(pl_statefile *f, int error, void *user) {
  state *x = user;
  pl_states *s = x->owner;
  pl_log *log = s->loop->log;
  if (error == 0) {
    s->loop->metrics.state_saves++;
    if (x->pause_us > 0)
      pl_log_info(log, "state saved again", pl_f_text("file", pl_statefile_path(f)));
    x->pause_us = 0;
  } else {
    s->loop->metrics.state_saves_failed++;
    x->pause_us = x->pause_us == 0 ? PL_STATE_SAVE_US : 2 * x->pause_us;
    if (x->pause_us > PL_STATE_RETRY_US) x->pause_us = PL_STATE_RETRY_US;
    pl_log_error(log, "state not saved", pl_f_text("file", pl_statefile_path(f)),
                 pl_f_text("error", strerror(-error)));
  }
  x->retry_us = pl_now_us(s->loop) + x->pause_us;
  if (s->closing) close_if_saved(s);
}

static bool is_due(const state *x) {
  const pl_states *s = x->owner;
  bool pauses = x->pause_us > 0 && (s->closing || pl_now_us(s->loop) < x->retry_us);
  return !pauses && !pl_statefile_is_saving(x->file) && pl_statefile_is_behind(x->file);
}

static void look(pl_timer *timer) {
  pl_states *s = pl_container(timer, pl_states, timer);
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    if (is_due(from(n))) pl_statefile_save(from(n)->file, s->port, on_saved, from(n));
  }
  pl_timer_start(&s->loop->clock, timer, PL_STATE_SAVE_US, look);
}

// Opening.

static pl_err refuse(char *detail, pl_err err, const char *folder, const char *why) {
  snprintf(detail, PL_URL_MAX, "state_dir: %.300s: %s", folder, why);
  return err;
}

// Two processes would save over each other.
static pl_err lock_folder(pl_states *s, char *detail) {
  char path[PL_NAME_MAX + sizeof "/lock"];
  snprintf(path, sizeof path, "%.*s/lock", PL_NAME_MAX, s->folder);
  if (mkdir(s->folder, 0700) != 0 && errno != EEXIST)
    return refuse(detail, PL_IO_ERROR, s->folder, strerror(errno));
  int fd = pl_file_open_now(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0) return refuse(detail, PL_IO_ERROR, path, strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
    s->lock = fd;
    return PL_OK;
  }
  int error = errno;
  close(fd);
  if (error != EWOULDBLOCK) return refuse(detail, PL_IO_ERROR, path, strerror(error));
  return refuse(detail, PL_BUSY, s->folder,
                "another process uses it; stop that, or give each node a folder of its own");
}

static pl_err open_folder(pl_states *s, char *detail) {
  if (s->loop->uv == NULL) return refuse(detail, PL_UNSUPPORTED, s->folder, "not in virtual time");
  pl_err err = lock_folder(s, detail);
  if (err != PL_OK) return err;
  s->port = pl_fileport_new(s->loop);
  if (s->port != NULL) {
    pl_timer_start(&s->loop->clock, &s->timer, PL_STATE_SAVE_US, look);
    return PL_OK;
  }
  leave(s);
  return refuse(detail, PL_IO_ERROR, s->folder, strerror(EMFILE));
}

pl_err pl_states_open(pl_states *s, const pl_options *options, char *detail) {
  if (s->open) return PL_OK;
  pl_err err = PL_OK;
  s->limit = (size_t)options->state_limit;
  if (options->state_dir != NULL && options->state_dir[0] != '\0') {
    pl_free(s->folder);
    s->folder = pl_strdup(options->state_dir);
    err = open_folder(s, detail);
  }
  s->open = err == PL_OK;
  return err;
}

// Finding.

static bool is_of(const state *x, const char *path) {
  if (path == NULL || x->path == NULL) return path == x->path;
  return strcmp(path, x->path) == 0;
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

// The name of its file has no folder of the script, so that a project may be moved.
static pl_err name_file(const pl_states *s, const char *path, char *name, size_t size,
                        char *detail) {
  if (path == NULL) {
    snprintf(name, size, "%s/shared.state", s->folder);
    return PL_OK;
  }
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    const state *x = from(n);
    if (x->path == NULL || strcmp(base_of(x->path), base_of(path)) != 0) continue;
    snprintf(detail, PL_URL_MAX,
             "state_dir: %.200s and %.200s would be saved to one file; rename one of them", x->path,
             path);
    return PL_INVALID;
  }
  snprintf(name, size, "%s/script-%s.state", s->folder, base_of(path));
  return PL_OK;
}

static pl_err load(state *x, char *detail) {
  const pl_states *s = x->owner;
  size_t size = strlen(s->folder) + (x->path == NULL ? 0 : strlen(x->path)) + 32;
  char *name = pl_alloc(size);
  pl_err err = name_file(s, x->path, name, size, detail);
  if (err == PL_OK) {
    x->file = pl_statefile_new(s->loop, x->store, name);
    err = pl_statefile_load(x->file, detail);
  }
  pl_free(name);
  return err;
}

pl_err pl_states_find(pl_store **out, pl_states *s, const char *path, char *detail) {
  assert(s->open);
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    if (!is_of(from(n), path)) continue;
    *out = from(n)->store;
    return PL_OK;
  }
  state *x = pl_new(state);
  x->owner = s;
  x->path = path == NULL ? NULL : pl_strdup(path);
  x->store = pl_store_new(s->limit);
  pl_err err = s->folder == NULL ? PL_OK : load(x, detail);
  if (err != PL_OK) {
    free_state(x);
    return err;
  }
  pl_list_push(&s->all, &x->node);
  *out = x->store;
  return PL_OK;
}

// Closing.

static void run_end(pl_work *work) {
  pl_states *s = pl_container(work, pl_states, end);
  bool saved = true;
  for (pl_list *n = s->all.next; n != &s->all; n = n->next)
    saved = saved && from(n)->pause_us == 0;
  leave(s);
  s->done(saved, s->user);
}

// What changed while it was saved is saved again.
static void close_if_saved(pl_states *s) {
  bool saves = false;
  for (pl_list *n = s->all.next; s->port != NULL && n != &s->all; n = n->next) {
    if (is_due(from(n))) pl_statefile_save(from(n)->file, s->port, on_saved, from(n));
    saves |= pl_statefile_is_saving(from(n)->file);
  }
  if (!saves) pl_loop_defer(s->loop, &s->end, run_end);
}

void pl_states_close(pl_states *s, void (*done)(bool saved, void *user), void *user) {
  s->done = done;
  s->user = user;
  s->closing = true;
  for (pl_list *n = s->all.next; n != &s->all; n = n->next)
    from(n)->pause_us = 0;  // once more, whatever came of it before
  pl_timer_stop(&s->timer);
  close_if_saved(s);
}

void pl_states_count(pl_states *s, pl_metrics *m) {
  m->state_keys_now = m->state_bytes_now = m->state_refused = 0;
  for (pl_list *n = s->all.next; n != &s->all; n = n->next) {
    pl_store_use use = pl_store_usage(from(n)->store);
    m->state_keys_now += use.keys;
    m->state_bytes_now += use.bytes;
    m->state_refused += use.refused;
  }
}
