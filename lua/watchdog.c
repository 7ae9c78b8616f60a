#include "lua/watchdog.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/core.h"

enum {
  LOOK_MS = PL_STALL_US / 2000,
  ABSENT_MS = 500,
  LOOKS_FIRST = 3,   // in which a slice has not ended, until it is told; a hook is given the first
  LOOKS_QUIET = 20,  // without a slice, then the thread sleeps until there is one
  WORDS = 16,        // of 8 bytes: a text
};

// A text that one thread writes while another may read it. Both at once make a wrong text, which
// the number of the slice gives away.
typedef struct text {
  _Atomic uint64_t words[WORDS];
  char last[WORDS * 8];  // the same, of the writer alone: most slices tell what the one before did
  size_t last_len;
} text;

// What is known of the slice that runs.
typedef struct watch {
  uint64_t slice, began_ms, looked_ms;
  uint64_t cpu_ms;       // of the watched thread, when it began
  unsigned looks, next;  // `next`: of looks, to tell it
} watch;

// A watched thread.
typedef struct pulse {
  pl_list node;            // in the.pulses
  _Atomic uint64_t slice;  // odd: it runs
  // Of the watched thread: whose texts there are.
  uint64_t vm_number, topic;
  const pl_task_type *type;  // NULL: no task
  text script, what, place;
  _Atomic uint64_t task;
  _Atomic uint64_t placed;  // slice that `place` is of
  _Atomic uint64_t told;    // slice that was told
  pid_t tid;
  clockid_t clock;
  pl_log *log;
  const char *worker;  // its name; NULL: the thread of the node
  watch watch;         // of the watching thread
} pulse;

// The watching thread, one in a process.
static struct {
  pthread_mutex_t lock;  // guards `pulses`; held for a look at them
  pl_list pulses;
  atomic_bool sleeps;
  atomic_bool stops;
  sem_t wake;
  bool runs;  // of the thread that started it
  pthread_t thread;
} the = {.lock = PTHREAD_MUTEX_INITIALIZER, .pulses = {&the.pulses, &the.pulses}};

static _Thread_local pulse *own;

PL_IN_HANDLER static void put(text *to, const char *from, size_t len) {
  if (len >= sizeof to->last) len = sizeof to->last - 1;
  if (len == to->last_len && memcmp(to->last, from, len) == 0) return;
  uint64_t words[WORDS];
  memset(to->last, 0, sizeof to->last);
  memcpy(to->last, from, len);
  to->last_len = len;
  memcpy(words, to->last, sizeof words);
  size_t count = len / 8 + 1;  // up to the NUL
  for (size_t i = 0; i < count; i++)
    atomic_store_explicit(&to->words[i], words[i], memory_order_relaxed);
}

static void get(char out[WORDS * 8 + 1], text *from) {
  for (size_t i = 0; i < WORDS; i++) {
    uint64_t word = atomic_load_explicit(&from->words[i], memory_order_relaxed);
    memcpy(out + i * 8, &word, 8);
  }
  out[WORDS * 8] = '\0';
}

// The watched thread.

uint64_t pl_watchdog_number(void) {
  static _Atomic uint64_t last;
  return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static void put_texts(pulse *p, const pl_vm *vm, pl_task *t) {
  pl_task_about about = {0};
  if (t != NULL && t->type->about != NULL) t->type->about(t->user, &about);
  const char *kind = t != NULL ? t->type->name : "no task";
  put(&p->script, vm->options.name, strlen(vm->options.name));
  put(&p->what, about.action.len > 0 ? (const char *)about.action.data : kind,
      about.action.len > 0 ? about.action.len : strlen(kind));
}

void pl_watchdog_enter(const pl_vm *vm, pl_task *t) {
  pulse *p = own;
  if (p == NULL) return;
  const pl_task_type *type = t != NULL ? t->type : NULL;
  uint64_t topic = t != NULL ? t->topic : 0;
  if (p->topic != topic || p->type != type || p->vm_number != vm->number) {
    put_texts(p, vm, t);
    p->vm_number = vm->number;
    p->type = type;
    p->topic = topic;
  }
  atomic_store_explicit(&p->task, t != NULL ? t->id : 0, memory_order_relaxed);
  // It alone counts. Nothing keeps the look at `sleeps` behind the store, which would cost more
  // than all of the rest: see sleep_until_slice.
  uint64_t slice = atomic_load_explicit(&p->slice, memory_order_relaxed);
  atomic_store_explicit(&p->slice, slice + 1, memory_order_release);
  if (!atomic_load_explicit(&the.sleeps, memory_order_relaxed)) return;
  if (atomic_exchange(&the.sleeps, false)) sem_post(&the.wake);
}

bool pl_watchdog_leave(void) {
  pulse *p = own;
  if (p == NULL) return false;
  // It alone counts, so that costs no more than any store.
  uint64_t slice = atomic_load_explicit(&p->slice, memory_order_relaxed);
  atomic_store_explicit(&p->slice, slice + 1, memory_order_release);
  return atomic_load_explicit(&p->told, memory_order_relaxed) == slice;
}

void pl_watchdog_told(void) {
  pulse *p = own;
  if (p == NULL) return;
  uint64_t slice = atomic_load_explicit(&p->slice, memory_order_relaxed);
  atomic_store_explicit(&p->told, slice, memory_order_relaxed);
}

// The innermost frame may be half made when the signal comes, those outside it are whole.
PL_IN_HANDLER void pl_watchdog_place(lua_State *L) {
  pulse *p = own;
  if (p == NULL) return;
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar) && !pl_frame_moves(&ar); level++) {
    if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0) continue;
    // No snprintf in a handler.
    char place[LUA_IDSIZE + 16];
    size_t at = strlen(ar.short_src);
    memcpy(place, ar.short_src, at);
    place[at++] = ':';
    char digits[12];
    size_t n = 0;
    for (int line = ar.currentline; line > 0; line /= 10)
      digits[n++] = (char)('0' + line % 10);
    while (n > 0)
      place[at++] = digits[--n];
    put(&p->place, place, at);
    break;
  }
  uint64_t slice = atomic_load_explicit(&p->slice, memory_order_relaxed);
  atomic_store_explicit(&p->placed, slice, memory_order_release);
}

// The watching thread.

static void wait_ms(long ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);  // the wall clock may leap
  until.tv_nsec += ms * 1000000;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  while (sem_clockwait(&the.wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
    ;
}

// A system call that goes on after a signal as if nothing had been; others would end early.
static bool is_restarted(const pulse *p) {
  static const long calls[] = {SYS_read,  SYS_write,  SYS_wait4, SYS_flock,
                               SYS_fcntl, SYS_openat, SYS_fsync, SYS_fdatasync};
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)p->tid);
  FILE *f = fopen(path, "re");
  if (f == NULL) return false;
  long number = -1;
  bool known = fscanf(f, "%ld", &number) == 1;
  fclose(f);
  for (size_t i = 0; known && i < sizeof calls / sizeof *calls; i++) {
    if (calls[i] == number) return true;
  }
  return false;
}

// Where a thread that computes is, its own clock has made it tell already.
static bool find_place(pulse *p, uint64_t slice) {
  enum { TRIES = 20, TRY_MS = 5 };  // on a busy machine the thread takes a while to wake
  if (atomic_load_explicit(&p->placed, memory_order_acquire) == slice) return true;
  if (!is_restarted(p)) return false;
  syscall(SYS_tgkill, getpid(), p->tid, PL_TICK_SIGNAL);
  for (int i = 0; i < TRIES; i++) {
    wait_ms(TRY_MS);
    if (atomic_load_explicit(&p->placed, memory_order_acquire) == slice) return true;
  }
  return false;
}

static void tell(pulse *p, uint64_t slice, uint64_t wall_ms) {
  char script[WORDS * 8 + 1], what[WORDS * 8 + 1], place[WORDS * 8 + 1] = "unknown";
  if (find_place(p, slice)) get(place, &p->place);
  get(script, &p->script);
  get(what, &p->what);
  uint64_t task = atomic_load_explicit(&p->task, memory_order_relaxed);
  if (atomic_load_explicit(&p->slice, memory_order_acquire) != slice) return;  // it has ended
  atomic_store_explicit(&p->told, slice, memory_order_relaxed);
  const char *line = p->worker != NULL ? "a script holds up a worker in a function of C"
                                       : "a script holds up the node in a function of C";
  pl_log_warn(p->log, line, pl_f_text("script", script), pl_f_text("task", what),
              pl_f_int("id", (int64_t)task), pl_f_text("at", place),
              pl_f_int("wall_ms", (int64_t)wall_ms),
              pl_f_text("thread", p->worker != NULL ? p->worker : "main"));
}

static uint64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// It waits for the system, rather than for a processor.
static bool is_blocked(const pulse *p) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)p->tid);
  FILE *f = fopen(path, "re");
  if (f == NULL) return false;
  const char *name_end = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
  fclose(f);
  return name_end != NULL && name_end[1] == ' ' && name_end[2] != 'R';
}

static void look(pulse *p) {
  watch *w = &p->watch;
  uint64_t now = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(p->clock);
  uint64_t slice = atomic_load_explicit(&p->slice, memory_order_acquire);
  // When this thread did not run either, it was the process that stood still.
  bool absent = now - w->looked_ms > ABSENT_MS;
  w->looked_ms = now;
  if (slice != w->slice || absent) {
    *w = (watch){slice, now, now, cpu, 0, LOOKS_FIRST};
    return;
  }
  w->looks++;
  if (slice % 2 == 0 || w->looks < w->next) return;
  // Told by the hook, with more: once is enough.
  bool first = w->next == LOOKS_FIRST;
  if (first && atomic_load_explicit(&p->told, memory_order_relaxed) == slice) return;
  // On a machine that is busy with others it may just not have had its turn.
  if (cpu - w->cpu_ms < PL_STALL_US / 1000 && !is_blocked(p)) return;
  w->next = w->looks * 4;
  tell(p, slice, now - w->began_ms);
}

// Whether there has been no slice for a while.
static bool look_at_all(void) {
  bool quiet = true;
  pthread_mutex_lock(&the.lock);
  for (pl_list *n = the.pulses.next; n != &the.pulses; n = n->next) {
    pulse *p = pl_container(n, pulse, node);
    look(p);
    if (p->watch.looks < LOOKS_QUIET || p->watch.slice % 2 == 1) quiet = false;
  }
  pthread_mutex_unlock(&the.lock);
  return quiet;
}

static bool has_changed(void) {
  bool changed = false;
  pthread_mutex_lock(&the.lock);
  for (pl_list *n = the.pulses.next; n != &the.pulses; n = n->next) {
    pulse *p = pl_container(n, pulse, node);
    changed |= atomic_load(&p->slice) != p->watch.slice;
  }
  pthread_mutex_unlock(&the.lock);
  return changed;
}

// A slice that began without having seen `sleeps` is seen here: its store is on its way for some
// nanoseconds, and this thread looks for it after a while.
static void sleep_until_slice(void) {
  atomic_store(&the.sleeps, true);
  wait_ms(LOOK_MS);
  if (has_changed() || atomic_load(&the.stops)) atomic_store(&the.sleeps, false);
  while (atomic_load(&the.sleeps) && !atomic_load(&the.stops)) {
    if (sem_wait(&the.wake) != 0 && errno != EINTR) return;
  }
}

static void *run(void *user) {
  (void)user;
  while (!atomic_load(&the.stops)) {
    wait_ms(LOOK_MS);
    if (look_at_all()) sleep_until_slice();
  }
  return NULL;
}

// Watched threads come and go.

void pl_watchdog_join(pl_log *log, const char *worker) {
  assert(own == NULL);
  pulse *p = pl_new(pulse);
  p->log = log;
  p->worker = worker;
  p->tid = (pid_t)syscall(SYS_gettid);
  if (pthread_getcpuclockid(pthread_self(), &p->clock) != 0) p->clock = CLOCK_MONOTONIC;
  pthread_mutex_lock(&the.lock);
  pl_list_push(&the.pulses, &p->node);
  pthread_mutex_unlock(&the.lock);
  own = p;
}

void pl_watchdog_part(void) {
  pulse *p = own;
  own = NULL;
  pthread_mutex_lock(&the.lock);
  pl_list_remove(&p->node);
  pthread_mutex_unlock(&the.lock);
  pl_free(p);
}

void pl_watchdog_start(pl_log *log) {
  if (the.runs || sem_init(&the.wake, 0, 0) != 0) return;
  pl_watchdog_join(log, NULL);
  atomic_store(&the.stops, false);
  sigset_t all, old;  // signals are for the threads of loops
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  the.runs = pthread_create(&the.thread, NULL, run, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (!the.runs) pl_watchdog_part();
}

// `wake` stays: a thread that was given up may still ring it.
void pl_watchdog_stop(void) {
  if (!the.runs) return;
  the.runs = false;
  pl_watchdog_part();
  atomic_store(&the.stops, true);
  sem_post(&the.wake);
  pthread_join(the.thread, NULL);
}
