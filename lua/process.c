#include "lua/process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

typedef struct stream {
  uv_pipe_t pipe;
  pl_process *process;
  pl_buf buf;   // of output, not read yet
  size_t keep;  // bytes at which reading pauses
  bool open;    // the handle exists and is not closing
  bool reading;
  bool ended;  // no more bytes come
  int error;
} stream;

struct pl_process {
  uv_process_t handle;
  pl_loop *loop;
  unsigned refs;  // one of each handle until it is closed, and of holders
  stream streams[3];
  pl_list watches;  // of pl_process_watch
  pl_timer kill_timer;
  uint64_t grace_us;
  uint64_t tickets, written;  // writes begun, ended
  int write_error;            // the first one
  int code, signal;
  bool group, exited, terminating, finishing;
};

typedef struct write_request {
  uv_write_t req;
  pl_process *process;
  char data[];
} write_request;

pl_process *pl_process_hold(pl_process *p) {
  p->refs++;
  return p;
}

void pl_process_drop(pl_process *p) {
  assert(p->refs > 0);
  if (--p->refs > 0) return;
  assert(!pl_timer_active(&p->kill_timer));
  for (int i = 0; i < 3; i++)
    pl_buf_fini(&p->streams[i].buf);
  pl_free(p);
}

static void progress(pl_process *p) {
  for (pl_list *n = p->watches.next, *next; n != &p->watches; n = next) {
    next = n->next;
    pl_process_watch *w = pl_container(n, pl_process_watch, node);
    if (w->changed(w)) pl_list_remove(n);
  }
}

static void on_process_closed(uv_handle_t *handle) {
  pl_process_drop(pl_container((uv_process_t *)handle, pl_process, handle));
}

static void on_stream_closed(uv_handle_t *handle) {
  stream *s = pl_container((uv_pipe_t *)handle, stream, pipe);
  pl_process_drop(s->process);
}

static void close_stream(stream *s) {
  if (!s->open) return;
  s->open = false;
  s->ended = true;
  uv_close((uv_handle_t *)&s->pipe, on_stream_closed);
}

static void on_exit(uv_process_t *handle, int64_t code, int signal) {
  pl_process *p = pl_container(handle, pl_process, handle);
  p->exited = true;
  p->code = (int)code;
  p->signal = signal;
  pl_timer_stop(&p->kill_timer);
  // What it started must not outlive a process that was ended.
  if (p->terminating && p->group) kill(-handle->pid, SIGKILL);
  uv_close((uv_handle_t *)handle, on_process_closed);
  progress(p);
}

// Makes a pipe whose end `ours` becomes the handle; the child's end is *theirs.
static int open_pipe(pl_process *p, int i, int *theirs) {
  stream *s = &p->streams[i];
  int ends[2];
  int rc = uv_pipe(ends, 0, 0);
  if (rc != 0) return rc;
  int ours = ends[i == 0 ? 1 : 0];
  *theirs = ends[i == 0 ? 0 : 1];
  rc = uv_pipe_init(p->loop->uv, &s->pipe, 0);
  assert(rc == 0);
  s->open = true;
  s->ended = false;
  p->refs++;
  rc = uv_pipe_open(&s->pipe, ours);
  if (rc != 0) close(ours);
  return rc;
}

static int open_stdio(pl_process *p, const pl_stdio *kinds, uv_stdio_container_t *slots,
                      int theirs[3]) {
  for (int i = 0; i < 3; i++) {
    slots[i].flags = UV_IGNORE;
    if (kinds[i] == PL_STDIO_NULL) continue;
    slots[i].flags = UV_INHERIT_FD;
    slots[i].data.fd = i;
    if (kinds[i] == PL_STDIO_INHERIT) continue;
    int rc = open_pipe(p, i, &theirs[i]);
    if (rc != 0) return rc;
    slots[i].data.fd = theirs[i];
  }
  return 0;
}

static pl_process *process_new(pl_loop *loop, const pl_process_options *options) {
  pl_process *p = pl_new(pl_process);
  p->loop = loop;
  p->refs = 1;
  p->group = options->group;
  p->grace_us = options->grace_us;
  pl_list_init(&p->watches);
  for (int i = 0; i < 3; i++) {
    p->streams[i].process = p;
    p->streams[i].ended = true;
  }
  return p;
}

static int start(pl_process *p, const pl_process_options *options, uv_stdio_container_t *slots) {
  uv_process_options_t o = {
      .exit_cb = on_exit,
      .file = options->argv[0],
      .args = options->argv,
      .env = options->env,
      .cwd = options->cwd,
      .flags = options->group ? UV_PROCESS_DETACHED : 0,
      .stdio_count = 3,
      .stdio = slots,
  };
  int rc = uv_spawn(p->loop->uv, &p->handle, &o);
  p->refs++;
  if (rc != 0) uv_close((uv_handle_t *)&p->handle, on_process_closed);
  return rc;
}

int pl_process_spawn(pl_process **out, pl_loop *loop, const pl_process_options *options) {
  pl_process *p = process_new(loop, options);
  uv_stdio_container_t slots[3];
  int theirs[3] = {-1, -1, -1};
  int rc = open_stdio(p, options->stdio, slots, theirs);
  if (rc == 0) rc = start(p, options, slots);
  for (int i = 0; i < 3; i++) {
    if (theirs[i] >= 0) close(theirs[i]);
  }
  if (rc != 0) {
    for (int i = 0; i < 3; i++)
      close_stream(&p->streams[i]);
    pl_process_drop(p);
    return rc;
  }
  *out = p;
  return 0;
}

int pl_process_pid(const pl_process *p) {
  return p->handle.pid;
}

bool pl_process_exited(const pl_process *p) {
  return p->exited;
}

int pl_process_code(const pl_process *p) {
  return p->code;
}

int pl_process_signal(const pl_process *p) {
  return p->signal;
}

int pl_process_kill(pl_process *p, int signal) {
  if (p->exited) return UV_ESRCH;
  if (!p->group) return uv_process_kill(&p->handle, signal);
  return kill(-p->handle.pid, signal) == 0 ? 0 : -errno;
}

static void on_grace_over(pl_timer *timer) {
  pl_process_kill(pl_container(timer, pl_process, kill_timer), SIGKILL);
}

void pl_process_terminate(pl_process *p) {
  if (p->terminating) return;
  p->terminating = true;
  if (p->exited) {
    if (p->group) kill(-p->handle.pid, SIGKILL);
    return;
  }
  pl_process_kill(p, SIGTERM);
  pl_timer_start(&p->loop->clock, &p->kill_timer, p->grace_us, on_grace_over);
}

void pl_process_abandon(pl_process *p) {
  if (!p->exited) pl_process_terminate(p);
  for (int i = 0; i < 3; i++)
    close_stream(&p->streams[i]);
  progress(p);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
  (void)suggested;
  stream *s = pl_container((uv_pipe_t *)handle, stream, pipe);
  char *p = (char *)pl_buf_reserve(&s->buf, PL_FILE_READ);
  *out = uv_buf_init(p, p != NULL ? PL_FILE_READ : 0);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  stream *s = pl_container((uv_pipe_t *)handle, stream, pipe);
  if (n == 0) return;
  if (n > 0) {
    pl_buf_commit(&s->buf, (size_t)n);
  } else {
    s->error = n == UV_EOF ? 0 : (int)n;
    close_stream(s);
  }
  if (s->open && pl_buf_len(&s->buf) >= s->keep) {
    uv_read_stop(handle);
    s->reading = false;
  }
  progress(s->process);
}

void pl_process_read(pl_process *p, int i, size_t keep) {
  stream *s = &p->streams[i];
  s->keep = keep;
  if (!s->open || s->reading || pl_buf_len(&s->buf) >= keep) return;
  s->reading = uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read) == 0;
  assert(s->reading);
}

pl_buf *pl_process_buffer(pl_process *p, int i) {
  return &p->streams[i].buf;
}

bool pl_process_ended(const pl_process *p, int i, int *error) {
  *error = p->streams[i].error;
  return p->streams[i].ended;
}

static void on_written(uv_write_t *req, int status) {
  write_request *w = pl_container(req, write_request, req);
  pl_process *p = w->process;
  p->written++;
  if (status != 0 && p->write_error == 0) p->write_error = status;
  pl_free(w);
  if (p->finishing && p->written == p->tickets) close_stream(&p->streams[0]);
  progress(p);
}

int pl_process_write(pl_process *p, const void *data, size_t len, uint64_t *ticket) {
  stream *s = &p->streams[0];
  if (!s->open || p->finishing) return UV_EPIPE;
  if (len > UINT32_MAX) return UV_EMSGSIZE;
  write_request *w = pl_try_alloc(sizeof *w + len);
  if (w == NULL) return UV_ENOMEM;
  w->process = p;
  memcpy(w->data, data, len);
  uv_buf_t buf = uv_buf_init(w->data, (unsigned)len);
  int rc = uv_write(&w->req, (uv_stream_t *)&s->pipe, &buf, 1, on_written);
  if (rc != 0) {
    pl_free(w);
    return rc;
  }
  *ticket = ++p->tickets;
  return 0;
}

bool pl_process_written(const pl_process *p, uint64_t ticket, int *error) {
  *error = p->write_error;
  return p->written >= ticket || p->write_error != 0;
}

void pl_process_finish_input(pl_process *p) {
  p->finishing = true;
  if (p->written == p->tickets) close_stream(&p->streams[0]);
}

void pl_process_hang_up(pl_process *p) {
  close_stream(&p->streams[1]);
  close_stream(&p->streams[2]);
  progress(p);
}

void pl_process_watch_add(pl_process *p, pl_process_watch *w) {
  pl_list_push(&p->watches, &w->node);
}
