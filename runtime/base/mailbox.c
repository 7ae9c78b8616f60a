#include "base/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

struct pl_mailbox {
  uv_async_t async;
  void *owner;
  atomic_uint refs;  // one of them is the loop's, until the handle is closed
  pthread_mutex_t lock;
  pl_list mail;  // guarded by `lock`
  bool closed;   // the same
};

static void on_async(uv_async_t *async) {
  pl_mailbox *b = pl_container(async, pl_mailbox, async);
  pl_list due;
  pthread_mutex_lock(&b->lock);
  pl_list_take(&due, &b->mail);
  pthread_mutex_unlock(&b->lock);
  // Running mail may close the mailbox, not free it: the loop holds it.
  for (pl_list *n; (n = pl_list_pop(&due)) != NULL;) {
    pl_mail *m = pl_container(n, pl_mail, node);
    if (uv_is_closing((uv_handle_t *)async)) {
      m->drop(m);
    } else {
      m->run(m, b->owner);
    }
  }
}

pl_mailbox *pl_mailbox_new(pl_loop *loop, void *owner) {
  pl_mailbox *b = pl_new(pl_mailbox);
  if (uv_async_init(loop->uv, &b->async, on_async) != 0) {
    pl_free(b);
    return NULL;
  }
  b->owner = owner;
  atomic_init(&b->refs, 2);
  pthread_mutex_init(&b->lock, NULL);
  pl_list_init(&b->mail);
  return b;
}

static void on_closed(uv_handle_t *handle) {
  pl_mailbox_drop(pl_container((uv_async_t *)handle, pl_mailbox, async));
}

void pl_mailbox_close(pl_mailbox *b) {
  pl_list due;
  pthread_mutex_lock(&b->lock);
  b->closed = true;
  pl_list_take(&due, &b->mail);
  pthread_mutex_unlock(&b->lock);
  for (pl_list *n; (n = pl_list_pop(&due)) != NULL;) {
    pl_mail *m = pl_container(n, pl_mail, node);
    m->drop(m);
  }
  uv_close((uv_handle_t *)&b->async, on_closed);
  pl_mailbox_drop(b);
}

pl_mailbox *pl_mailbox_hold(pl_mailbox *b) {
  atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
  return b;
}

void pl_mailbox_drop(pl_mailbox *b) {
  if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) > 1) return;
  pthread_mutex_destroy(&b->lock);
  pl_free(b);
}

void pl_mailbox_post(pl_mailbox *b, pl_mail *m) {
  pthread_mutex_lock(&b->lock);
  bool closed = b->closed;
  if (!closed) {
    pl_list_push(&b->mail, &m->node);
    uv_async_send(&b->async);  // inside the lock: it cannot be closed meanwhile
  }
  pthread_mutex_unlock(&b->lock);
  if (closed) m->drop(m);
}
