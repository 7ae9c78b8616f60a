// The addresses that the node keeps connected, and the moment when it has joined: every given one
// has connected and sent its directory, or has failed once.

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "link/url.h"
#include "node/node_impl.h"

static void settle(pl_contact *c) {
  c->awaited = false;
  if (c->peer != NULL) pl_peer_drop(c->peer);
  c->peer = NULL;
}

static void on_first_attempt(pl_dial *d, pl_err err, const char *detail, pl_peer *p, void *user) {
  (void)d;
  pl_contact *c = user;
  if (err == PL_CANCELLED) return;  // the contact is gone
  c->err = err;
  snprintf(c->why, sizeof c->why, "%s", err != PL_OK && detail != NULL ? detail : "");
  if (err != PL_OK) {
    pl_log *log = c->owner->loop->log;
    pl_log_at(log, c->local ? PL_LOG_DEBUG : PL_LOG_WARN, "peer not reached yet",
              pl_f_text("url", c->url), pl_f_text("error", pl_err_name(err)),
              pl_f_text("detail", detail));
    settle(c);
  } else if (c->awaited && c->peer == NULL) {
    c->peer = pl_peer_hold(p);
  }
  pl_contacts_check_join(c->owner);
}

// There is one for each address, however it is written.
static pl_contact *find(pl_node *n, const char *address) {
  for (pl_list *at = n->contacts.next; at != &n->contacts; at = at->next) {
    pl_contact *c = pl_container(at, pl_contact, node);
    if (strcmp(pl_dial_address(c->dial), address) == 0) return c;
  }
  return NULL;
}

static pl_contact *find_url(pl_node *n, const char *url) {
  pl_url parsed;
  const char *why;
  char address[PL_URL_MAX];
  if (pl_url_parse(&parsed, url, &why) != PL_OK) return NULL;
  pl_url_format(&parsed, address);
  return find(n, address);
}

pl_err pl_contact_add(pl_node *n, const char *url, bool awaited, bool local, pl_contact **out,
                      char *detail) {
  *out = find_url(n, url);
  if (*out != NULL) return pl_dial_wake((*out)->dial);
  if (strlen(url) >= PL_URL_MAX) {
    snprintf(detail, PL_URL_MAX, "the address is longer than %d bytes", PL_URL_MAX - 1);
    return PL_INVALID;
  }
  pl_contact *c = pl_new(pl_contact);
  c->owner = n;
  c->awaited = awaited;
  c->local = local;
  strcpy(c->url, url);
  pl_err err = pl_peers_dial(&c->dial, n->peers, url, true, on_first_attempt, c, detail);
  if (err != PL_OK) {
    pl_free(c);
    return err;
  }
  pl_list_push(&n->contacts, &c->node);
  *out = c;
  return PL_OK;
}

void pl_contact_keep(pl_node *n, pl_dial *dial) {
  pl_contact *c = find(n, pl_dial_address(dial));
  if (c != NULL) {
    c->local = false;  // wanted, whatever becomes of the local mesh
    pl_dial_stop(dial);
    return;
  }
  c = pl_new(pl_contact);
  c->owner = n;
  c->dial = dial;
  strcpy(c->url, pl_dial_address(dial));
  pl_list_push(&n->contacts, &c->node);
}

static void contact_forget(pl_contact *c) {
  settle(c);
  pl_list_remove(&c->node);
  pl_free(c);
}

void pl_contact_free(pl_contact *c) {
  pl_dial *dial = c->dial;
  contact_forget(c);
  pl_dial_stop(dial);
}

static bool contains(const char *const *urls, size_t count, const char *url) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(urls[i], url) == 0) return true;
  }
  return false;
}

void pl_contacts_set_local(pl_node *n, const char *const *urls, size_t count, bool awaited) {
  for (pl_list *at = n->contacts.next, *next; at != &n->contacts; at = next) {
    next = at->next;
    pl_contact *c = pl_container(at, pl_contact, node);
    if (!c->local || contains(urls, count, c->url)) continue;
    pl_dial *dial = c->dial;
    contact_forget(c);
    pl_dial_unkeep(dial);
  }
  for (size_t i = 0; i < count; i++) {
    char detail[PL_URL_MAX] = "";
    pl_contact *c;
    pl_err err = pl_contact_add(n, urls[i], awaited, true, &c, detail);
    if (err == PL_OK) continue;
    pl_log_warn(n->loop->log, "cannot dial a node of the local mesh", pl_f_text("url", urls[i]),
                pl_f_text("detail", detail));
  }
}

void pl_node_each_contact(pl_node *n, pl_contact_fn *fn, void *user) {
  for (pl_list *at = n->contacts.next; at != &n->contacts; at = at->next) {
    const pl_contact *c = pl_container(at, pl_contact, node);
    const pl_contact_info info = {.url = c->url, .err = c->err, .why = c->why, .found = c->local};
    fn(&info, user);
  }
}

static bool contact_settled(pl_contact *c) {
  if (!c->awaited) return true;
  if (c->peer == NULL) return false;  // the first attempt still goes on
  if (pl_peer_status(c->peer) == PL_PEER_UP && !pl_service_knows(c->owner->service, c->peer))
    return false;
  settle(c);
  return true;
}

static void run_join(pl_work *w) {
  pl_node *n = pl_container(w, pl_node, join);
  if (n->joined == NULL || !pl_service_ready(n->service)) return;
  bool all = true;
  for (pl_list *at = n->contacts.next; at != &n->contacts; at = at->next) {
    all &= contact_settled(pl_container(at, pl_contact, node));
  }
  if (!all) return;
  void (*joined)(void *user) = n->joined;
  n->joined = NULL;
  joined(n->joined_user);
}

void pl_contacts_check_join(pl_node *n) {
  if (n->joined != NULL) pl_loop_defer(n->loop, &n->join, run_join);
}

void pl_contacts_join_without_local(pl_node *n) {
  for (pl_list *at = n->contacts.next; at != &n->contacts; at = at->next) {
    pl_contact *c = pl_container(at, pl_contact, node);
    if (c->local) settle(c);
  }
  pl_contacts_check_join(n);
}
