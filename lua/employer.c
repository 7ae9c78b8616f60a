// Who asks for offloaded work: its life, the texts of its modules, and its jobs in virtual time.

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "lua/pool_impl.h"

static pl_pool *const pool = &pl_the_pool;

// Its end: closed by who asks, let go by the loop, and used by no thread any more, in any order but
// the first.

static void free_employer(pl_employer *e) {
  assert(pl_list_empty(&e->jobs) && pl_list_empty(&e->done));
  pl_origins_fini(&e->texts);
  pl_free((char *)e->options.name);
  pl_free((char *)e->options.directory);
  pl_free(e);
}

void pl_employer_unuse(pl_employer *e) {
  assert(e->used > 0);
  e->used--;
  if (!e->closed) return;
  if (--pool->lingering == 0) pthread_cond_broadcast(&pool->settled);
  if (e->used == 0 && e->gone) free_employer(e);
}

static void let_go(pl_employer *e) {
  pthread_mutex_lock(&pool->lock);
  e->gone = true;
  bool last = e->used == 0;
  pthread_mutex_unlock(&pool->lock);
  if (last) free_employer(e);
}

static void on_async(uv_async_t *async) {
  pl_pool_deliver(pl_container(async, pl_employer, async));
}

static void on_closed(uv_handle_t *handle) {
  let_go(pl_container((uv_async_t *)handle, pl_employer, async));
}

pl_employer *pl_employer_new(pl_vm *vm) {
  pthread_once(&pool->once, pl_pool_init);
  pl_employer *e = pl_new(pl_employer);
  e->loop = pl_vm_loop(vm);
  if (e->loop->uv != NULL && uv_async_init(e->loop->uv, &e->async, on_async) != 0) {
    pl_free(e);
    return NULL;
  }
  if (e->loop->uv != NULL) uv_unref((uv_handle_t *)&e->async);
  e->options = *pl_vm_settings(vm);
  e->options.name = pl_strdup(e->options.name);
  if (e->options.directory != NULL) e->options.directory = pl_strdup(e->options.directory);
  e->sources = e->options.sources;
  e->replay = e->options.replay;
  pl_list_init(&e->turn);
  pl_list_init(&e->jobs);
  pl_list_init(&e->done);
  if (e->replay != NULL) pl_texts_of_add(&e->texts, e->replay, 0);
  return e;
}

void pl_employer_close(pl_employer *e) {
  assert(e->pending == 0);
  if (e->local != NULL) pl_offload_vm_free(e->local);
  pl_work_cancel(&e->local_work);
  pthread_mutex_lock(&pool->lock);
  e->closed = true;
  pool->lingering += e->used;
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  if (e->loop->uv != NULL) {
    uv_close((uv_handle_t *)&e->async, on_closed);
  } else {
    let_go(e);
  }
}

// Texts. What one VM has loaded a module from, all others of the same generation load it from, and
// the generation remembers it as what it has loaded itself.

void pl_texts_of_add(pl_origins *to, const pl_origins *from, size_t first) {
  for (size_t i = first; i < from->count; i++) {
    const pl_origin *s = &from->items[i];
    if (s->name[0] == '\0' || pl_origins_find(to, s->name) != NULL) continue;
    pl_origin copy;
    if (pl_origin_of(&copy, s->name, s->path, pl_bytes_of(s->text->data, s->text->len)) != PL_OK)
      continue;
    copy.stamp = s->stamp;
    pl_origins_add(to, &copy);
  }
}

void pl_employer_give_texts(pl_employer *e) {
  if (e->sources == NULL || e->sources->count == e->sources_given) return;
  pthread_mutex_lock(&pool->lock);
  pl_texts_of_add(&e->texts, e->sources, e->sources_given);
  pthread_mutex_unlock(&pool->lock);
  e->sources_given = e->sources->count;
}

void pl_employer_take_texts(pl_employer *e) {
  if (e->sources == NULL) return;
  pthread_mutex_lock(&pool->lock);
  if (e->texts_taken < e->texts.count) {
    pl_texts_of_add(e->sources, &e->texts, e->texts_taken);
    e->texts_taken = e->texts.count;
  }
  pthread_mutex_unlock(&pool->lock);
}

// Virtual time.

static void on_local_end(void *user) {
  pl_employer *e = user;
  pl_pooled *p = e->local_job;
  e->local_job = NULL;
  pthread_mutex_lock(&pool->lock);
  if (e->local != NULL) pl_texts_of_add(&e->texts, pl_offload_vm_texts(e->local), 0);
  bool discard = pl_pool_end(p, 0);
  pthread_mutex_unlock(&pool->lock);
  if (discard) p->type->discard(p);
  pl_pool_deliver(e);
  pl_employer_run_local(e);
}

static void begin_local(pl_employer *e) {
  if (e->local != NULL && !pl_offload_vm_is_fit(e->local)) {
    pl_offload_vm_free(e->local);
    e->local = NULL;
  }
  pl_origins texts = {0};
  if (e->local == NULL) {
    pl_texts_of_add(&texts, &e->texts, 0);
    e->local = pl_offload_vm_new(&e->options, e->loop, &texts);
  }
  pl_offload_job *job = &e->local_job->job;
  if (e->local != NULL && pl_offload_vm_begin(e->local, job, on_local_end, e)) return;
  pl_offload_job_refuse(job);
  on_local_end(e);
}

static void next_local(pl_work *work) {
  pl_employer *e = pl_container(work, pl_employer, local_work);
  if (e->local_job != NULL) return;
  pthread_mutex_lock(&pool->lock);
  e->local_job = e->queued > 0 ? pl_pool_take_of(e) : NULL;
  pthread_mutex_unlock(&pool->lock);
  if (e->local_job != NULL) begin_local(e);
}

void pl_employer_run_local(pl_employer *e) {
  pl_loop_defer(e->loop, &e->local_work, next_local);
}
