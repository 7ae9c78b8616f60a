#include "lua/fileop.h"

#include <lauxlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/error.h"
#include "lua/fdwait.h"
#include "lua/vm.h"

enum { RETRY_US = 20 * 1000 };  // between two looks for the reader of a FIFO

static void free_op(void *object) {
  pl_fileop *o = object;
  if (o->file != NULL) pl_file_drop(o->file);
  if (o->opened != NULL) pl_file_drop(o->opened);
  pl_buf_fini(&o->data);
  pl_free(o->path);
  pl_free(o->to);
  pl_free(o);
}

static void give_back(pl_fileop *o) {
  if (o->type->give_back != NULL) o->type->give_back(o);
}

// Until its task has the results, who leaves has them given back, and who has left already leaves
// that to the thread.
static void run(pl_fileop *o) {
  o->type->run(o);
  int stage = PL_FILEOP_PENDING;
  if (o->again || atomic_compare_exchange_strong(&o->stage, &stage, PL_FILEOP_RAN)) return;
  give_back(o);
}

// What was left before its turn with the file came is not done.
static void job_run(pl_filejob *job) {
  pl_fileop *o = pl_container(job, pl_fileop, job);
  if (o->file != NULL) pthread_mutex_lock(&o->file->lock);
  if (atomic_load(&o->stage) == PL_FILEOP_PENDING) run(o);
  if (o->file != NULL) pthread_mutex_unlock(&o->file->lock);
}

static void end_turn(pl_file *f);

// It uses the file no more.
static void release(pl_fileop *o) {
  if (!o->holds) return;
  o->holds = false;
  end_turn(o->file);
}

// What was read stays with the file until its task has it: who reads next might wait for more,
// although there will be something.
static void wake(pl_fileop *o) {
  o->woken = true;
  pl_op_wake(&o->op);
  if (!o->type->looks_again) release(o);
}

static void try_again(pl_timer *timer) {
  pl_fileop *o = pl_container(timer, pl_fileop, retry);
  o->again = false;
  if (pl_filework_submit(o->port, &o->job) == PL_OK) return;
  pl_timer_start(&o->loop->clock, timer, RETRY_US, try_again);
}

static void job_done(pl_filejob *job) {
  pl_fileop *o = pl_container(job, pl_fileop, job);
  if (o->again) {
    pl_timer_start(&o->loop->clock, &o->retry, RETRY_US, try_again);
  } else {
    wake(o);
  }
}

static void job_discard(pl_filejob *job) {
  free_op(pl_container(job, pl_fileop, job));
}

static const pl_filejob_type quick_job = {.run = job_run, .done = job_done, .discard = job_discard};
static const pl_filejob_type slow_job = {
    .run = job_run, .done = job_done, .discard = job_discard, .slow = true};

static void on_ready(void *user);

static int watch(pl_fileop *o) {
  return pl_fdwait_start(&o->wait, o->loop, o->file->fd, o->type->events, on_ready, o);
}

static void on_ready(void *user) {
  pl_fileop *o = user;
  o->wait = NULL;
  o->again = false;
  run(o);
  if (o->again) {
    o->error = watch(o);
    if (o->error == 0) return;
  }
  wake(o);
}

static bool polls(const pl_fileop *o) {
  return o->file != NULL && o->file->polled && o->type->events != 0;
}

// Starts the work. False: it is over already.
static bool begin(pl_fileop *o) {
  if (polls(o) && o->type->events == UV_READABLE && o->file->keeps) {
    run(o);
    return false;
  }
  if (polls(o)) {
    o->error = watch(o);
    if (o->error != 0) return false;
  } else if (pl_filework_submit(o->port, &o->job) != PL_OK) {
    o->refused = true;
    return false;
  }
  if (o->file != NULL) o->file->busy = o->holds = true;  // the rest is a thread's by now
  return true;
}

// The operation that used the file is over: the next one of the queue begins.
static void end_turn(pl_file *f) {
  f->busy = false;
  while (!f->busy && !pl_list_empty(&f->queue)) {
    pl_fileop *o = pl_container(pl_list_pop(&f->queue), pl_fileop, turn);
    if (!o->type->looks_again && begin(o)) return;
    o->woken = true;
    pl_op_wake(&o->op);
  }
}

static const char *subject_of(const pl_fileop *o) {
  return o->path != NULL ? o->path : o->file->path;
}

static int fail(lua_State *L, pl_fileop *o) {
  const char *subject = lua_pushstring(L, subject_of(o));
  const char *verb = o->type->verb;
  int error = o->error;
  bool too_large = o->too_large, refused = o->refused;
  size_t limit = o->limit;
  pl_guard_free(o->guard);
  if (refused) {
    return pl_raise_code(L, PL_BUSY, PL_NOT_EXECUTED, "%s %s: too much file work is waiting", verb,
                         subject);
  }
  if (too_large) {
    return pl_raise_code(L, PL_TOO_LARGE, PL_EXECUTED, "%s %s: more than %zu bytes", verb, subject,
                         limit);
  }
  return pl_raise_io(L, error, verb, subject);
}

int pl_fileop_finish(lua_State *L, pl_op *op) {
  pl_fileop *o = pl_container(op, pl_fileop, op);
  release(o);
  if (o->error != 0 || o->too_large || o->refused) return fail(L, o);
  int n = o->type->push(L, o);
  pl_guard_free(o->guard);
  return n;
}

void pl_fileop_cancel(pl_op *op) {
  pl_fileop *o = pl_container(op, pl_fileop, op);
  o->guard->object = NULL;
  pl_list_remove(&o->turn);
  if (atomic_exchange(&o->stage, PL_FILEOP_LEFT) == PL_FILEOP_RAN) give_back(o);
  release(o);
  if (o->wait != NULL) pl_fdwait_stop(o->wait);
  pl_timer_stop(&o->retry);
  pl_filework_cancel(&o->job);
}

static char port_key;

static int port_gc(lua_State *L) {
  pl_fileport **box = lua_touserdata(L, 1);
  if (*box != NULL) pl_fileport_close(*box);
  *box = NULL;
  return 0;
}

// The port of the VM, made when its script first works with files.
static pl_fileport *port_of(lua_State *L, pl_loop *loop) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &port_key) != LUA_TNIL) {
    pl_fileport *port = *(pl_fileport **)lua_touserdata(L, -1);
    lua_pop(L, 1);
    return port;
  }
  pl_fileport **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, port_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  pl_fileport *port = pl_fileport_new(loop);
  if (port == NULL) pl_raise_io(L, UV_EMFILE, "start", "file work");
  *box = port;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &port_key);
  lua_pop(L, 1);
  return port;
}

pl_fileop *pl_fileop_new(lua_State *L, const pl_fileop_type *type, const char *path,
                         pl_file *file) {
  pl_op_check(L, &type->op);
  pl_loop *loop = pl_vm_loop(pl_vm_of(L));
  if (loop->uv == NULL) {
    pl_raise_code(L, PL_UNSUPPORTED, PL_NOT_EXECUTED, "%s: not in virtual time", type->op.name);
  }
  pl_fileport *port = port_of(L, loop);
  pl_guard *guard = pl_guard_push(L, free_op);
  pl_fileop *o = pl_new(pl_fileop);
  guard->object = o;
  o->guard = guard;
  o->op.type = &type->op;
  pl_list_init(&o->turn);
  o->type = type;
  o->job.type = type->slow ? &slow_job : &quick_job;
  o->loop = loop;
  o->port = port;
  if (path != NULL) o->path = pl_strdup(path);
  if (file != NULL) o->file = pl_file_hold(file);
  return o;
}

int pl_fileop_run(lua_State *L, pl_fileop *o) {
  if (o->file != NULL && o->file->busy) {
    pl_list_push(&o->file->queue, &o->turn);
  } else if (!begin(o)) {
    return pl_fileop_finish(L, &o->op);
  }
  return pl_op_wait(L, &o->op);
}

void pl_fileop_copy(lua_State *L, pl_fileop *o, const void *bytes, size_t len) {
  if (!pl_buf_append(&o->data, bytes, len)) {
    pl_raise_code(L, PL_NO_MEMORY, PL_NOT_EXECUTED, "%s: out of memory", o->type->op.name);
  }
}
