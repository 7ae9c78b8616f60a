#include "link/link.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "link/link_impl.h"

enum {
  CLOSE_US = 1000 * 1000,  // for the last bytes to leave, and the other end to say goodbye
  BROKEN_US = 50 * 1000,   // for what can still be read of a link that may be resumed
};

static const pl_scheme *const schemes[] = {&pl_scheme_tcp, &pl_scheme_unix, &pl_scheme_mem,
                                           &pl_scheme_door, &pl_scheme_fd};

static const pl_scheme *find_scheme(const pl_loop *loop, const char *name) {
  if (loop->network != NULL) return loop->network;
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    if (strcmp(schemes[i]->name, name) != 0) continue;
    return schemes[i]->needs_uv && loop->uv == NULL ? NULL : schemes[i];
  }
  return NULL;
}

void pl_link_init(pl_link *l, const pl_link_type *type, pl_loop *loop, pl_link_state state) {
  l->type = type;
  l->loop = loop;
  l->env = pl_link_env_hold(loop);
  l->state = state;
  l->peer_uid = -1;
}

void pl_link_set_remote(pl_link *l, const char *text) {
  pl_free(l->remote);
  l->remote = pl_strdup(text);
}

pl_err pl_link_dial(pl_link **out, pl_loop *loop, const pl_url *url, const pl_link_ops *ops,
                    void *user) {
  const pl_scheme *scheme = find_scheme(loop, url->scheme);
  if (scheme == NULL || scheme->dial == NULL) return PL_UNSUPPORTED;
  pl_link *l;
  pl_err err = scheme->dial(&l, loop, url);
  if (err != PL_OK) return err;
  char text[PL_URL_MAX];
  pl_url_format(url, text);
  pl_link_set_remote(l, text);
  l->ops = ops;
  l->user = user;
  *out = l;
  return PL_OK;
}

static void start_reading(pl_link *l) {
  if (l->reading) return;
  l->reading = true;
  l->type->start(l);
}

void pl_link_start(pl_link *l, const pl_link_ops *ops, void *user) {
  l->ops = ops;
  l->user = user;
  if (l->state == PL_LINK_OPEN) start_reading(l);
}

const char *pl_link_remote(const pl_link *l) {
  return l->remote != NULL ? l->remote : "";
}

const char *pl_link_scheme(const pl_link *l) {
  return l->type->scheme;
}

bool pl_link_is_local(const pl_link *l) {
  return l->local;
}

int64_t pl_link_peer_uid(const pl_link *l) {
  return l->peer_uid;
}

bool pl_link_is_foreign(const pl_link *l) {
  int64_t uid = l->peer_uid;
  return uid > 0 && uid != (int64_t)geteuid();
}

size_t pl_link_backlog(const pl_link *l) {
  return l->out.bytes;
}

size_t pl_link_held(const pl_link *l) {
  return l->out.bytes + l->out.kept;
}

bool pl_link_is_full(const pl_link *l) {
  return l->out.bytes >= PL_WRITE_HIGH || l->out.kept >= PL_KEPT_HIGH;
}

bool pl_link_was_refused(const pl_link *l) {
  return l->refused;
}

// Ends.

static void run_stopped(pl_work *w) {
  pl_link_stopped(pl_container(w, pl_link, stopped_work));
}

void pl_link_stopped_later(pl_link *l) {
  pl_loop_defer(l->loop, &l->stopped_work, run_stopped);
}

void pl_link_stopped(pl_link *l) {
  assert(l->state == PL_LINK_STOPPED);
  const char *detail = l->detail != NULL ? l->detail : "";
  if (l->ops != NULL) l->ops->on_close(l, l->why, detail, l->user);
  pl_outq_fini(&l->out, &l->env->pool);
  pl_link_env_drop(l->env);
  pl_free(l->remote);
  pl_free(l->detail);
  pl_free(l);
}

static void set_detail(pl_link *l, const char *detail) {
  pl_free(l->detail);
  l->detail = detail != NULL && detail[0] != '\0' ? pl_strdup(detail) : NULL;
}

static void stop(pl_link *l, pl_err why, bool reset) {
  l->state = PL_LINK_STOPPED;
  l->why = why;
  pl_work_cancel(&l->flush_work);
  pl_work_cancel(&l->drained_work);
  pl_timer_stop(&l->timer);
  if (!l->out.keep) pl_outq_fini(&l->out, &l->env->pool);
  pl_link_drop_read(l);
  l->type->stop(l, reset);
}

void pl_link_abort(pl_link *l, pl_err why, const char *detail) {
  pl_outq_fini(&l->out, &l->env->pool);
  if (l->state == PL_LINK_STOPPED) return;
  set_detail(l, detail);
  stop(l, why, true);
}

void pl_link_lose(pl_link *l, pl_err why, const char *detail) {
  if (l->state == PL_LINK_STOPPED) return;
  set_detail(l, detail);
  stop(l, why, true);
}

// The first word about a failure stands: a write that failed explains the end that follows.
void pl_link_end(pl_link *l, pl_err why, const char *detail) {
  if (l->state == PL_LINK_OPEN) pl_link_take_all(l);
  if (l->state == PL_LINK_STOPPED) return;
  if (l->broken) {
    why = PL_PEER_LOST;
  } else if (l->state == PL_LINK_CLOSING && l->out.bytes == 0) {
    why = PL_OK;
  } else if (l->state == PL_LINK_CLOSING) {
    why = PL_PEER_LOST;
    set_detail(l, "the last bytes could not be sent");
  } else {
    set_detail(l, detail);
  }
  stop(l, why, false);
}

// Time is up for a link that is closing, or that can no longer write.
static void run_timer(pl_timer *t) {
  pl_link *l = pl_container(t, pl_link, timer);
  bool clean = !l->broken && l->out.bytes == 0;
  if (!clean && !l->broken) set_detail(l, "the peer did not take the last bytes");
  stop(l, clean ? PL_OK : PL_PEER_LOST, !clean);
}

static void run_flush(pl_work *w) {
  pl_link_flush(pl_container(w, pl_link, flush_work));
}

void pl_link_flush_later(pl_link *l) {
  if (!pl_work_queued(&l->flush_work)) pl_loop_flush_later(l->loop, &l->flush_work, run_flush);
}

void pl_link_close(pl_link *l) {
  if (l->state >= PL_LINK_CLOSING) return;
  if (l->state == PL_LINK_CONNECTING || l->broken) {
    pl_outq_fini(&l->out, &l->env->pool);
    stop(l, PL_OK, false);
    return;
  }
  l->state = PL_LINK_CLOSING;
  pl_outq_forget(&l->out, &l->env->pool);
  pl_link_drop_read(l);
  pl_timer_start(&l->loop->clock, &l->timer, CLOSE_US, run_timer);
  start_reading(l);  // what comes is discarded: closing with unread bytes would send a reset
  pl_link_flush_later(l);
}

void pl_link_write_failed(pl_link *l, const char *detail) {
  if (l->state == PL_LINK_STOPPED || l->broken) return;
  l->broken = true;
  set_detail(l, detail);
  if (!l->out.keep) pl_outq_fini(&l->out, &l->env->pool);
  pl_timer_start(&l->loop->clock, &l->timer, l->out.keep ? BROKEN_US : CLOSE_US, run_timer);
}

// Writing.

static bool alive(const pl_link *l) {
  return l->state < PL_LINK_CLOSING && !l->broken;
}

// What is appended to a lost link is kept for the one that may follow.
static bool writable(const pl_link *l) {
  return alive(l) || l->out.keep;
}

void pl_link_flush(pl_link *l) {
  if (l->state != PL_LINK_OPEN && l->state != PL_LINK_CLOSING) return;
  if (l->broken) return;
  if (l->out.bytes > 0) l->type->flush(l);
  if (l->state != PL_LINK_CLOSING || l->out.bytes > 0 || l->finished || l->broken) return;
  l->finished = true;
  l->type->finish(l);
}

static void run_drained(pl_work *w) {
  pl_link *l = pl_container(w, pl_link, drained_work);
  if (l->state == PL_LINK_OPEN && l->ops != NULL) l->ops->on_drained(l, l->user);
}

void pl_link_relax(pl_link *l) {
  if (!l->high || l->out.bytes >= PL_WRITE_LOW || l->out.kept >= PL_KEPT_LOW) return;
  l->high = false;
  pl_loop_defer(l->loop, &l->drained_work, run_drained);
}

void pl_link_wrote(pl_link *l, size_t n) {
  pl_outq_consume(&l->out, &l->env->pool, n);
  l->loop->metrics.bytes_written += n;
  if (l->out.kept >= PL_KEPT_HIGH) l->high = true;
  pl_link_relax(l);
  if (l->state == PL_LINK_CLOSING && l->out.bytes == 0) pl_link_flush_later(l);
}

// A long queue is offered to the system at once, which keeps memory and caches small.
static void crowded(pl_link *l) {
  if (l->out.bytes >= PL_WRITE_HIGH && l->state == PL_LINK_OPEN && !l->broken) l->type->flush(l);
  if (l->out.bytes >= PL_WRITE_HIGH) l->high = true;
  if (l->out.bytes + l->out.kept <= PL_WRITE_MAX) return;
  l->loop->metrics.links_cut++;
  pl_link_abort(l, PL_PEER_LOST, "the peer does not read");
}

static void appended(pl_link *l) {
  if (pl_link_is_full(l)) crowded(l);
  if (l->out.bytes > 0 && alive(l)) pl_link_flush_later(l);
}

uint8_t *pl_link_reserve(pl_link *l, size_t n) {
  assert(n <= PL_WRITE_BATCH);
  if (!writable(l)) return l->env->nowhere;
  uint8_t *room = pl_outq_reserve(&l->out, &l->env->pool, n);
  if (room != NULL) return room;
  pl_link_abort(l, PL_NO_MEMORY, "");
  return l->env->nowhere;
}

static void commit(pl_link *l, size_t n, bool once) {
  if (!writable(l)) return;
  if (pl_outq_commit(&l->out, n, once))
    appended(l);
  else
    pl_link_abort(l, PL_NO_MEMORY, "");
}

void pl_link_commit(pl_link *l, size_t n) {
  commit(l, n, false);
}

void pl_link_commit_once(pl_link *l, size_t n) {
  commit(l, n, true);
}

static bool append_view(pl_link *l, pl_bytes b) {
  if (!pl_outq_push(&l->out, b)) {
    pl_link_abort(l, PL_NO_MEMORY, "");
    return false;
  }
  appended(l);
  return true;
}

static bool append_copy(pl_link *l, pl_bytes b) {
  pl_slice *copy = pl_slice_copy(b.data, b.len);
  if (copy == NULL) {
    pl_link_abort(l, PL_NO_MEMORY, "");
    return false;
  }
  bool ok = append_view(l, (pl_bytes){copy->data, copy->len, copy});
  pl_slice_drop(copy);
  return ok;
}

// What is passed on as it was read is a part of a slab, which may be kept for long once the other
// end is slow to acknowledge.
static bool would_pin_slab(const pl_link *l, const pl_slice *owner) {
  return owner->cap == PL_READ_SLAB && l->out.keep && l->out.kept + l->out.bytes >= PL_KEPT_SLABS;
}

bool pl_link_append(pl_link *l, pl_bytes b) {
  if (!writable(l) || b.len == 0) return true;
  if (b.owner != NULL && b.len > PL_COPY_MAX) {
    return would_pin_slab(l, b.owner) ? append_copy(l, b) : append_view(l, b);
  }
  if (b.len > PL_WRITE_BATCH) return append_copy(l, b);
  uint8_t *room = pl_outq_reserve(&l->out, &l->env->pool, b.len);
  if (room == NULL) {
    pl_link_abort(l, PL_NO_MEMORY, "");
    return false;
  }
  memcpy(room, b.data, b.len);
  if (!pl_outq_commit(&l->out, b.len, false)) {
    pl_link_abort(l, PL_NO_MEMORY, "");
    return false;
  }
  appended(l);
  return true;
}

uint8_t *pl_link_recent(pl_link *l, size_t n) {
  return writable(l) && n > 0 ? pl_outq_recent(&l->out, n) : NULL;
}

// Reading: what comes is in reading.c.

void pl_link_opened(pl_link *l) {
  assert(l->state == PL_LINK_CONNECTING);
  l->state = PL_LINK_OPEN;
  l->ops->on_open(l, l->user);
  if (l->state != PL_LINK_OPEN) return;
  start_reading(l);
  if (l->out.bytes > 0) pl_link_flush_later(l);
}

// Listeners.

void pl_listener_init(pl_listener *s, const pl_listener_type *type, pl_loop *loop,
                      const pl_url *url) {
  s->type = type;
  s->loop = loop;
  s->env = pl_link_env_hold(loop);
  s->url = *url;
}

pl_err pl_listener_open(pl_listener **out, pl_loop *loop, const pl_url *url,
                        const pl_listener_ops *ops, void *user, char *detail) {
  detail[0] = '\0';
  const pl_scheme *scheme = find_scheme(loop, url->scheme);
  if (scheme == NULL) {
    snprintf(detail, PL_URL_MAX, "no transport for %s:// here", url->scheme);
    return PL_UNSUPPORTED;
  }
  pl_listener *s;
  pl_err err = scheme->listen(&s, loop, url, detail);
  if (err != PL_OK) return err;
  s->ops = ops;
  s->user = user;
  *out = s;
  return PL_OK;
}

const pl_url *pl_listener_url(const pl_listener *s) {
  return &s->url;
}

void pl_listener_close(pl_listener *s) {
  if (s->closed) return;
  s->closed = true;
  s->type->stop(s);
}

void pl_listener_stopped(pl_listener *s) {
  pl_link_env_drop(s->env);
  pl_free(s);
}
