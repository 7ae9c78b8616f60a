#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "link/link_impl.h"

// Loops may live on several threads; each env is used by the thread of its loop alone.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pl_list envs = {&envs, &envs};

// libuv writes without MSG_NOSIGNAL: to a peer that is gone that would end the process. A thread
// that blocks the signal has seen to that.
static void ignore_sigpipe(void) {
  sigset_t blocked;
  if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && sigismember(&blocked, SIGPIPE) == 1)
    return;
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &now, NULL);
}

static pl_link_env *find(const pl_loop *loop) {
  for (pl_list *n = envs.next; n != &envs; n = n->next) {
    pl_link_env *env = pl_container(n, pl_link_env, node);
    if (env->loop == loop) return env;
  }
  return NULL;
}

pl_link_env *pl_link_env_hold(pl_loop *loop) {
  pthread_mutex_lock(&lock);
  pl_link_env *env = find(loop);
  if (env == NULL) {
    ignore_sigpipe();
    env = pl_new(pl_link_env);
    env->loop = loop;
    env->nowhere = pl_alloc(PL_WRITE_BATCH);
    pl_list_init(&env->names);
    pl_list_push_front(&envs, &env->node);
  }
  env->refs++;
  pthread_mutex_unlock(&lock);
  return env;
}

void pl_link_env_drop(pl_link_env *env) {
  pthread_mutex_lock(&lock);
  bool last = --env->refs == 0;
  if (last) pl_list_remove(&env->node);
  pthread_mutex_unlock(&lock);
  if (!last) return;
  for (unsigned i = 0; i < PL_SLABS; i++)
    pl_slice_drop(env->slabs[i]);
  pl_batch_pool_fini(&env->pool);
  pl_free(env->nowhere);
  pl_free(env);
}
