#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

bool pl_thread_start(size_t stack_bytes, void *(*run)(void *), void *user) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, stack_bytes);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t id;
  int rc = pthread_create(&id, &attr, run, user);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return rc == 0;
}
