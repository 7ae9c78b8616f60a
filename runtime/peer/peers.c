#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "peer/peers.h"

typedef struct listener {
  pl_list node;  // in pl_peers.listeners
  pl_peers *peers;
  pl_listener *listener;
  uint32_t cost_us;  // of the links that come in here; 0: not given
} listener;

pl_peers *pl_peers_new(pl_loop *loop, const pl_peers_config *config, const pl_peers_ops *ops,
                       void *user) {
  pl_peers *ps = pl_new(pl_peers);
  ps->loop = loop;
  ps->config = *config;
  ps->ops = ops;
  ps->user = user;
  pl_list_init(&ps->list);
  pl_list_init(&ps->unsettled);
  pl_list_init(&ps->conns);
  pl_list_init(&ps->dialers);
  pl_list_init(&ps->cancelled);
  pl_list_init(&ps->listeners);
  return ps;
}

void pl_peers_free(pl_peers *ps) {
  assert(pl_list_empty(&ps->conns));
  assert(pl_list_empty(&ps->dialers));
  assert(pl_list_empty(&ps->listeners));
  assert(pl_list_empty(&ps->list));
  assert(pl_list_empty(&ps->cancelled));
  pl_work_cancel(&ps->wake);
  pl_map_fini(&ps->by_id);
  pl_refusals_free(ps->refusals);
  pl_free(ps);
}

// Listening.

static void on_accept(pl_listener *s, pl_link *l, void *user) {
  (void)s;
  listener *li = user;
  pl_conn_accept(li->peers, l, li->cost_us);
}

static void on_accept_error(pl_listener *s, pl_err why, const char *detail, void *user) {
  listener *li = user;
  char address[PL_URL_MAX];
  pl_url_format(pl_listener_url(s), address);
  pl_log_warn(li->peers->loop->log, "cannot accept", pl_f_text("address", address),
              pl_f_text("why", pl_err_name(why)), pl_f_text("detail", detail));
}

static const pl_listener_ops listener_ops = {.on_accept = on_accept, .on_error = on_accept_error};

pl_err pl_peers_listen(pl_peers *ps, const char *url, char *bound, char *detail) {
  pl_url parsed, place;
  const char *why = "";
  pl_err err = pl_url_parse(&parsed, url, &why);
  if (err != PL_OK) {
    snprintf(detail, PL_URL_MAX, "%s", why);
    return err;
  }
  err = pl_listener_place(&place, &parsed, detail);
  if (err != PL_OK) return err;
  bool guarded = ps->config.insecure || pl_auth_is_asked(&ps->config.identity->auth);
  if (!guarded && !pl_url_is_local(&place)) {
    snprintf(detail, PL_URL_MAX,
             "without authentication only this machine may connect: give a pre-shared key (psk), "
             "listen on 127.0.0.1, or give --insecure (insecure = true) if everybody who can reach "
             "the address is trusted");
    return PL_FORBIDDEN;
  }
  listener *li = pl_new(listener);
  li->peers = ps;
  li->cost_us = parsed.cost_us;
  err = pl_listener_open(&li->listener, ps->loop, &parsed, &listener_ops, li, detail);
  if (err != PL_OK) {
    pl_free(li);
    return err;
  }
  pl_list_push(&ps->listeners, &li->node);
  pl_url_format(pl_listener_url(li->listener), bound);
  bool inside = strcmp(parsed.scheme, "door") == 0;  // of this process, and no news
  pl_log_at(ps->loop->log, inside ? PL_LOG_DEBUG : PL_LOG_INFO, "listening",
            pl_f_text("address", bound));
  return PL_OK;
}

void pl_peers_unlisten_all(pl_peers *ps) {
  for (pl_list *n; (n = pl_list_pop(&ps->listeners)) != NULL;) {
    listener *li = pl_container(n, listener, node);
    pl_listener_close(li->listener);
    pl_free(li);
  }
}

// Peers.

pl_peer *pl_peers_find(pl_peers *ps, const pl_id *id) {
  return pl_map_find_bytes(&ps->by_id, id->bytes, sizeof id->bytes);
}

pl_peer *pl_peers_next(pl_peers *ps, pl_peer *after) {
  pl_list *n = after != NULL ? after->node.next : ps->list.next;
  return n != &ps->list ? pl_container(n, pl_peer, node) : NULL;
}

size_t pl_peers_up(const pl_peers *ps) {
  return ps->up;
}

// Work.

static void settle_all(pl_peers *ps) {
  for (pl_list *n; (n = pl_list_pop(&ps->unsettled)) != NULL;) {
    pl_peer *p = pl_container(n, pl_peer, unsettled);
    pl_peer_settle(p, PL_OK, "");
    pl_peer_drop(p);
  }
}

static void on_wake(pl_work *w) {
  pl_peers *ps = pl_container(w, pl_peers, wake);
  pl_dials_tell_cancelled(ps);
  settle_all(ps);
  bool quiet =
      pl_list_empty(&ps->conns) && pl_list_empty(&ps->cancelled) && pl_list_empty(&ps->unsettled);
  if (!quiet || ps->stopped == NULL) return;
  void (*stopped)(void *user) = ps->stopped;
  ps->stopped = NULL;
  stopped(ps->stopped_user);  // may free `ps`
}

void pl_peers_wake(pl_peers *ps) {
  pl_loop_defer(ps->loop, &ps->wake, on_wake);
}

void pl_peers_yield(pl_peers *ps) {
  for (pl_list *n = ps->conns.next; n != &ps->conns; n = n->next)
    pl_session_close(pl_container(n, pl_conn, node)->session, PL_INVALID, pl_id_taken, true);
}

void pl_peers_shutdown(pl_peers *ps, pl_err code, const char *reason, void (*done)(void *user),
                       void *user) {
  assert(!ps->stopping);
  ps->stopping = true;
  ps->stopped = done;
  ps->stopped_user = user;
  pl_dialers_stop_all(ps);
  pl_peers_unlisten_all(ps);
  for (pl_list *n = ps->conns.next; n != &ps->conns; n = n->next) {
    pl_session_close(pl_container(n, pl_conn, node)->session, code, reason, true);
  }
  pl_peers_wake(ps);
}
