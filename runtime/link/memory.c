// mem://: two ends on one loop. The reader takes from the queue of the writer, in work of its
// own, into the read slab; so everything above sees the same as with a socket.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "link/link_impl.h"

typedef struct mem_link {
  pl_link link;
  struct mem_link *peer;  // NULL before the connection and after the end of either
  bool lost;              // the other end went without closing
  pl_work read_work;
} mem_link;

typedef struct mem_listener {
  pl_listener listener;
  pl_list node;  // in the names of the env
  pl_work stopped_work;
} mem_listener;

static void run_read(pl_work *w);

static void read_later(mem_link *m) {
  pl_loop_defer(m->link.loop, &m->read_work, run_read);
}

static mem_link *of_link(pl_link *l) {
  return pl_container(l, mem_link, link);
}

static void mem_start(pl_link *l) {
  read_later(of_link(l));
}

static void mem_flush(pl_link *l) {
  mem_link *m = of_link(l);
  if (m->peer != NULL) read_later(m->peer);
}

static void mem_stop(pl_link *l, bool reset) {
  mem_link *m = of_link(l);
  pl_work_cancel(&m->read_work);
  if (m->peer != NULL) {
    m->peer->lost = reset;
    m->peer->peer = NULL;
    read_later(m->peer);
    m->peer = NULL;
  }
  pl_link_stopped_later(l);
}

static const pl_link_type mem_type = {
    .scheme = "mem",
    .start = mem_start,
    .flush = mem_flush,
    .finish = mem_flush,  // the reader looks at `finished`
    .stop = mem_stop,
};

static mem_link *new_end(pl_loop *loop, pl_link_state state, const char *remote) {
  mem_link *m = pl_new(mem_link);
  pl_link_init(&m->link, &mem_type, loop, state);
  pl_link_set_remote(&m->link, remote);
  m->link.local = true;
  return m;
}

static void join(mem_link *a, mem_link *b) {
  a->peer = b;
  b->peer = a;
}

void pl_link_pair(pl_link **a, pl_link **b, pl_loop *loop) {
  mem_link *ends[2] = {
      new_end(loop, PL_LINK_OPEN, "mem://"),
      new_end(loop, PL_LINK_OPEN, "mem://"),
  };
  join(ends[0], ends[1]);
  *a = &ends[0]->link;
  *b = &ends[1]->link;
}

static mem_listener *find_name(const pl_link_env *env, const char *name) {
  for (pl_list *n = env->names.next; n != &env->names; n = n->next) {
    mem_listener *s = pl_container(n, mem_listener, node);
    if (strcmp(s->listener.url.host, name) == 0) return s;
  }
  return NULL;
}

static void connect_end(mem_link *m) {
  const char *name = pl_link_remote(&m->link) + strlen("mem://");
  mem_listener *s = find_name(m->link.env, name);
  if (s == NULL) {
    m->link.refused = true;
    pl_link_end(&m->link, PL_CONNECT_FAILED, "nobody listens there");
    return;
  }
  mem_link *server = new_end(m->link.loop, PL_LINK_OPEN, pl_link_remote(&m->link));
  join(m, server);
  s->listener.ops->on_accept(&s->listener, &server->link, s->listener.user);
  if (m->link.state == PL_LINK_CONNECTING) pl_link_opened(&m->link);
}

static void take_bytes(mem_link *m, mem_link *from) {
  size_t room;
  uint8_t *to = pl_link_room(&m->link, &room);
  if (to == NULL) {
    pl_link_abort(&m->link, PL_NO_MEMORY, "");
    return;
  }
  size_t n = pl_outq_copy(&from->link.out, to, room);
  pl_link_wrote(&from->link, n);
  read_later(m);  // for more, or for the end
  pl_link_received(&m->link, n);
}

static void run_read(pl_work *w) {
  mem_link *m = pl_container(w, mem_link, read_work);
  if (m->link.state == PL_LINK_CONNECTING) {
    connect_end(m);
    return;
  }
  if (!m->link.reading) return;
  mem_link *from = m->peer;
  if (from == NULL) {
    pl_link_end(&m->link, m->lost ? PL_PEER_LOST : PL_OK, m->lost ? "connection reset" : "");
  } else if (from->link.out.bytes > 0) {
    take_bytes(m, from);
  } else if (from->link.finished) {
    pl_link_end(&m->link, PL_OK, "");
  }
}

static pl_err mem_dial(pl_link **out, pl_loop *loop, const pl_url *url) {
  char text[PL_URL_MAX];
  pl_url_format(url, text);
  mem_link *m = new_end(loop, PL_LINK_CONNECTING, text);
  read_later(m);
  *out = &m->link;
  return PL_OK;
}

static void run_listener_stopped(pl_work *w) {
  pl_listener_stopped(&pl_container(w, mem_listener, stopped_work)->listener);
}

static void mem_listener_stop(pl_listener *l) {
  mem_listener *s = pl_container(l, mem_listener, listener);
  pl_list_remove(&s->node);
  pl_loop_defer(l->loop, &s->stopped_work, run_listener_stopped);
}

static const pl_listener_type mem_listener_type = {.stop = mem_listener_stop};

static pl_err mem_listen(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail) {
  mem_listener *s = pl_new(mem_listener);
  pl_listener_init(&s->listener, &mem_listener_type, loop, url);
  if (find_name(s->listener.env, url->host) != NULL) {
    snprintf(detail, PL_URL_MAX, "mem://%s is in use", url->host);
    pl_listener_stopped(&s->listener);
    return PL_ADDRESS_IN_USE;
  }
  pl_list_push(&s->listener.env->names, &s->node);
  *out = &s->listener;
  return PL_OK;
}

const pl_scheme pl_scheme_mem = {
    .name = "mem",
    .needs_uv = false,
    .dial = mem_dial,
    .listen = mem_listen,
};
