// The addresses of a simulated network, and who listens there.

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sim/conn_impl.h"

enum { FIRST_PORT = 40000, BACKLOG = 511 };

static pl_sim_name *find_name(pl_net *n, const char *text) {
  return pl_map_find_bytes(&n->names, text, strlen(text));
}

static pl_err sim_dial(pl_link **out, pl_loop *loop, const pl_url *url) {
  pl_site *s = pl_site_of(loop);
  char text[PL_URL_MAX];
  pl_url_format(url, text);
  if (s->severed) {
    pl_end *lost = pl_end_new(s, PL_LINK_CONNECTING, NULL, 0);
    pl_end_poke(lost);
    *out = &lost->link;
    return PL_OK;
  }
  pl_kernel *own = pl_kernel_enter(NULL);  // maps of the network are not the machine's business
  pl_sim_name *to = find_name(s->net, text);
  pl_conn *c = pl_conn_new(s, to);
  pl_kernel_enter(own);
  pl_end *e = pl_end_new(s, PL_LINK_CONNECTING, c, 0);
  e->link.local = pl_url_is_local(url);
  if (to == NULL)
    pl_half_send(&c->halves[1], PL_SEGMENT_REFUSED, NULL, 0);
  else
    pl_half_send(&c->halves[0], PL_SEGMENT_OPEN, NULL, 0);
  *out = &e->link;
  return PL_OK;
}

static void run_accept(pl_work *w) {
  pl_sim_listener *s = pl_container(w, pl_sim_listener, accept_work);
  pl_list *at = pl_list_pop(&s->backlog);
  if (at == NULL) return;
  s->waiting--;
  pl_loop_defer(s->listener.loop, &s->accept_work, run_accept);  // for the next
  pl_conn *c = pl_container(at, pl_conn, in_backlog);
  c->pending = false;
  pl_end *e = pl_end_new(c->sites[1], PL_LINK_OPEN, c, 1);
  e->link.local = pl_url_is_local(&s->listener.url);
  char remote[PL_URL_MAX];
  snprintf(remote, sizeof remote, "%s://%s", s->listener.url.scheme, c->sites[0]->name);
  pl_link_set_remote(&e->link, remote);
  s->listener.ops->on_accept(&s->listener, &e->link, s->listener.user);
}

void pl_conn_open_arrived(pl_conn *c) {
  pl_sim_listener *s = c->name != NULL ? c->name->listener : NULL;
  if (s == NULL || s->waiting >= BACKLOG) {
    pl_half_send(&c->halves[1], PL_SEGMENT_REFUSED, NULL, 0);
    return;
  }
  pl_half_send(&c->halves[1], PL_SEGMENT_ACCEPTED, NULL, 0);
  c->pending = true;
  pl_list_push(&s->backlog, &c->in_backlog);
  s->waiting++;
  pl_loop_defer(s->listener.loop, &s->accept_work, run_accept);
  pl_site_touch(c->sites[1]);
}

static void run_listener_stopped(pl_work *w) {
  pl_listener_stopped(&pl_container(w, pl_sim_listener, stopped_work)->listener);
}

// Those who wait in its backlog are reset.
static void leave_name(pl_sim_listener *s) {
  if (s->name == NULL) return;
  s->name->listener = NULL;
  s->name = NULL;
  for (pl_list *at; (at = pl_list_pop(&s->backlog)) != NULL;) {
    pl_conn *c = pl_container(at, pl_conn, in_backlog);
    c->pending = false;
    pl_half_send(&c->halves[1], PL_SEGMENT_RESET, NULL, 0);
    pl_conn_free_unused(c);
  }
}

static void sim_listener_stop(pl_listener *l) {
  pl_sim_listener *s = pl_container(l, pl_sim_listener, listener);
  leave_name(s);
  pl_work_cancel(&s->accept_work);
  pl_loop_defer(l->loop, &s->stopped_work, run_listener_stopped);
}

static const pl_listener_type sim_listener_type = {.stop = sim_listener_stop};

static pl_err sim_listen(pl_listener **out, pl_loop *loop, const pl_url *url, char *detail) {
  pl_site *site = pl_site_of(loop);
  pl_url bound = *url;
  if (strcmp(bound.scheme, "tcp") == 0 && bound.port == 0)
    bound.port = (uint16_t)(FIRST_PORT + site->net->next_port++);
  char text[PL_URL_MAX];
  pl_url_format(&bound, text);
  pl_kernel *own = pl_kernel_enter(NULL);
  pl_sim_name *n = find_name(site->net, text);
  bool taken = n != NULL && n->listener != NULL;
  if (n == NULL) {
    n = pl_new(pl_sim_name);
    pl_map_put_bytes(&site->net->names, text, strlen(text), n);
  }
  pl_kernel_enter(own);
  if (taken) {
    snprintf(detail, PL_URL_MAX, "%.400s is in use", text);
    return PL_ADDRESS_IN_USE;
  }
  pl_sim_listener *s = pl_new(pl_sim_listener);
  pl_listener_init(&s->listener, &sim_listener_type, loop, &bound);
  pl_list_init(&s->backlog);
  s->name = n;
  n->site = site;
  n->listener = s;
  *out = &s->listener;
  return PL_OK;
}

const pl_scheme pl_scheme_sim = {
    .name = "mem",
    .needs_uv = false,
    .dial = sim_dial,
    .listen = sim_listen,
};
