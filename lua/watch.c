#include "lua/watch.h"

#include <string.h>

#include "base/mem.h"
#include "lua/filework.h"

enum { INTERVAL_US = 100000 };  // also how long nothing may have changed before it is read

// One look at all files.
typedef struct look {
  pl_filejob job;
  pl_script_watch *watch;
  size_t count;
  char **paths;
  pl_stamp *stamps;  // zeroed: there is no such file
} look;

struct pl_script_watch {
  pl_script *script;
  pl_loop *loop;
  pl_fileport *port;
  pl_timer timer;
  look *now;       // under way; or NULL
  pl_stamp *last;  // what the last look found, `last_count` of them
  size_t last_count;
  uint64_t asked;  // of the state of the files for which a reload was asked; 0: none
};

static void look_free(look *l) {
  for (size_t i = 0; i < l->count; i++)
    pl_free(l->paths[i]);
  pl_free(l->paths);
  pl_free(l->stamps);
  pl_free(l);
}

static void look_run(pl_filejob *job) {
  look *l = pl_container(job, look, job);
  for (size_t i = 0; i < l->count; i++) {
    if (!pl_stamp_read(&l->stamps[i], l->paths[i])) l->stamps[i] = (pl_stamp){0};
  }
}

static void look_discard(pl_filejob *job) {
  look_free(pl_container(job, look, job));
}

// Judging.

static bool is_there(const pl_stamp *s) {
  return s->inode != 0 || s->changed_ns != 0;
}

static size_t count_of(const pl_origins *o) {
  return o->count + o->missed_count;
}

static const char *path_of(const pl_origins *o, size_t i) {
  return i < o->count ? o->items[i].path : o->missed[i - o->count];
}

// What the file was when it was loaded, or looked for in vain.
static pl_stamp stamp_of(const pl_origins *o, size_t i) {
  return i < o->count ? o->items[i].stamp : (pl_stamp){0};
}

// Whether files are others than those that were loaded, and have been so since the last look.
static bool is_due(const pl_script_watch *w, const look *l, const pl_origins *loaded) {
  if (l->count != count_of(loaded) || l->count != w->last_count) return false;
  bool changed = false;
  for (size_t i = 0; i < l->count; i++) {
    if (strcmp(l->paths[i], path_of(loaded, i)) != 0) return false;  // another attempt by now
    if (!is_there(&l->stamps[i])) continue;
    if (!pl_stamp_equal(&l->stamps[i], &w->last[i])) return false;
    const pl_stamp before = stamp_of(loaded, i);
    changed = changed || !pl_stamp_equal(&l->stamps[i], &before);
  }
  return changed;
}

static uint64_t sum(const look *l) {
  uint64_t h = 1;
  for (size_t i = 0; i < l->count; i++) {
    const pl_stamp *s = &l->stamps[i];
    h = (h ^ (uint64_t)s->changed_ns ^ (uint64_t)s->size << 40 ^ s->inode << 20) *
        UINT64_C(0x100000001b3);
  }
  return h | 1;
}

static void keep(pl_script_watch *w, look *l) {
  pl_free(w->last);
  w->last = l->stamps;
  w->last_count = l->count;
  l->stamps = NULL;
}

static void on_interval(pl_timer *t);

static void look_done(pl_filejob *job) {
  look *l = pl_container(job, look, job);
  pl_script_watch *w = l->watch;
  pl_reload *reload = pl_script_reload(w->script);
  w->now = NULL;
  bool minds = pl_reload_minds_changes(reload);
  if (minds && is_due(w, l, pl_reload_origins(reload)) && sum(l) != w->asked) {
    // What cannot even be read is not asked for again and again.
    w->asked = sum(l);
    pl_reload_changed(reload);
  }
  keep(w, l);
  look_free(l);
  pl_timer_start(&w->loop->clock, &w->timer, INTERVAL_US, on_interval);
}

// Looking.

static const pl_filejob_type look_type = {
    .run = look_run, .done = look_done, .discard = look_discard};

static void on_interval(pl_timer *t) {
  pl_script_watch *w = pl_container(t, pl_script_watch, timer);
  const pl_origins *loaded = pl_reload_origins(pl_script_reload(w->script));
  look *l = pl_new(look);
  l->job.type = &look_type;
  l->watch = w;
  l->count = count_of(loaded);
  l->paths = pl_alloc((l->count + 1) * sizeof *l->paths);
  l->stamps = pl_alloc((l->count + 1) * sizeof *l->stamps);
  for (size_t i = 0; i < l->count; i++)
    l->paths[i] = pl_strdup(path_of(loaded, i));
  if (pl_filework_submit(w->port, &l->job) == PL_OK) {
    w->now = l;
    return;
  }
  look_free(l);  // too much other file work
  pl_timer_start(&w->loop->clock, t, INTERVAL_US, on_interval);
}

pl_script_watch *pl_script_watch_new(pl_script *s) {
  pl_loop *loop = pl_script_loop(s);
  pl_fileport *port = pl_fileport_new(loop);
  if (port == NULL) return NULL;
  pl_script_watch *w = pl_new(pl_script_watch);
  w->script = s;
  w->loop = loop;
  w->port = port;
  pl_timer_start(&loop->clock, &w->timer, INTERVAL_US, on_interval);
  return w;
}

void pl_script_watch_free(pl_script_watch *w) {
  pl_timer_stop(&w->timer);
  if (w->now != NULL) pl_filework_cancel(&w->now->job);
  pl_fileport_close(w->port);
  pl_free(w->last);
  pl_free(w);
}
