#include "edge/admin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "edge/http_head.h"
#include "link/link.h"

struct pl_admin {
  pl_loop *loop;
  pl_listener *listener;
  const pl_admin_ops *ops;
  void *user;
  pl_list clients;
  size_t count;              // of these
  bool by_socket;            // of the file system: what a client calls the host says nothing
  void (*done)(void *user);  // NULL until it is closed
  void *done_user;
  pl_work gone;
};

typedef struct pl_admin_ask client;

struct pl_admin_ask {
  pl_list node;
  pl_admin *admin;
  pl_link *link;  // NULL: it is gone, and still asks
  pl_timer timer;
  size_t scanned;  // of the head, as far as it has come
  pl_buf answer;   // of it, what the link has not taken yet
  bool answered;
  bool asks;       // pl_admin_tell has not come yet
  bool with_body;  // if so
};

// Answers.

static const char *reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
  }
}

// What the link has no room for goes when it has.
static void push(client *c) {
  while (pl_buf_len(&c->answer) > 0) {
    if (pl_link_is_full(c->link)) return;
    size_t len = pl_buf_len(&c->answer);
    if (len > PL_WRITE_BATCH) len = PL_WRITE_BATCH;
    if (!pl_link_append(c->link, pl_bytes_of(pl_buf_data(&c->answer), len))) return;
    pl_buf_consume(&c->answer, len);
  }
  pl_link_close(c->link);
}

static void on_slow(pl_timer *t);

// `body` NULL: what the status means. `with_body` false: of HEAD.
static void answer(client *c, int status, const char *type, const pl_buf *body, bool with_body) {
  char head[256], text[64];
  pl_loop *loop = c->admin->loop;
  int text_len = snprintf(text, sizeof text, "%s\n", reason(status));
  size_t len = body != NULL ? pl_buf_len(body) : (size_t)text_len;
  int head_len =
      snprintf(head, sizeof head,
               "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
               "Connection: close\r\n\r\n",
               status, reason(status), type, len, status == 405 ? "Allow: GET, HEAD\r\n" : "");
  c->answered = true;
  if (status >= 400 && status != 503) loop->metrics.admin_refused++;
  pl_timer_start(&loop->clock, &c->timer, PL_ADMIN_CLIENT_US, on_slow);
  const void *data = body != NULL ? (const void *)pl_buf_data(body) : text;
  if (!pl_buf_append(&c->answer, head, (size_t)head_len) ||
      (with_body && !pl_buf_append(&c->answer, data, len))) {
    pl_link_abort(c->link, PL_NO_MEMORY, "");
    return;
  }
  push(c);
}

static void refuse(client *c, int status) {
  answer(c, status, "text/plain; charset=utf-8", NULL, true);
}

static void ask_metrics(client *c, bool with_body) {
  c->asks = true;
  c->with_body = with_body;
  c->admin->ops->want_metrics(c, c->admin->user);
}

static void tell(client *c, int status, const char *text, bool with_body) {
  pl_buf body = {0};
  if (pl_buf_append(&body, text, strlen(text)) && pl_buf_append(&body, "\n", 1)) {
    answer(c, status, "text/plain; charset=utf-8", &body, with_body);
  } else {
    refuse(c, 500);
  }
  pl_buf_fini(&body);
}

// Requests.

static bool begins(const char *text, size_t len, const char *with) {
  size_t n = strlen(with);
  return len >= n && strncasecmp(text, with, n) == 0;
}

// A page of somebody else, in a browser on this machine, calls it by a name of its own that leads
// here.
static bool is_named_locally(pl_bytes host) {
  const char *text = (const char *)host.data;
  size_t len = host.len;
  if (len == 0) return true;
  const char *colon = memchr(text, ':', len);
  if (text[0] == '[') return begins(text, len, "[::1]") && (len == 5 || text[5] == ':');
  size_t name = colon != NULL ? (size_t)(colon - text) : len;
  if (name == strlen("localhost") && begins(text, name, "localhost")) return true;
  bool numeric = begins(text, name, "127.");
  for (size_t i = 0; i < name; i++)
    numeric = numeric && (text[i] == '.' || (text[i] >= '0' && text[i] <= '9'));
  return numeric;
}

static void serve(client *c, const pl_http_head *h) {
  const pl_admin *a = c->admin;
  bool body = pl_http_is(h->method, "GET");
  pl_bytes path = pl_http_path(h);
  if (!a->by_socket && !is_named_locally(h->host)) {
    refuse(c, 403);
  } else if (!body && !pl_http_is(h->method, "HEAD")) {
    refuse(c, 405);
  } else if (h->chunked || h->length > 0) {
    refuse(c, 400);
  } else if (pl_http_is(path, "/metrics")) {
    ask_metrics(c, body);
  } else if (pl_http_is(path, "/health")) {
    tell(c, 200, "ok", body);
  } else if (pl_http_is(path, "/ready")) {
    const char *why = a->ops->why_not_ready(a->user);
    tell(c, why == NULL ? 200 : 503, why == NULL ? "ready" : why, body);
  } else {
    refuse(c, 404);
  }
}

static size_t on_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l;
  client *c = user;
  if (c->answered || c->asks) return bytes.len;
  ptrdiff_t len = pl_http_head_end(bytes, &c->scanned);
  if (len == 0) return 0;
  c->admin->loop->metrics.admin_requests++;
  pl_http_head head;
  int status =
      len < 0 ? (int)-len : pl_http_head_decode(&head, pl_bytes_of(bytes.data, (size_t)len));
  if (status != 0) {
    refuse(c, status);
  } else {
    serve(c, &head);
  }
  return bytes.len;
}

// Connections.

static void on_slow(pl_timer *t) {
  client *c = pl_container(t, client, timer);
  if (c->answered) {
    pl_link_abort(c->link, PL_TIMEOUT, "");
  } else {
    refuse(c, 408);
  }
}

static void on_drained(pl_link *l, void *user) {
  (void)l;
  push(user);
}

static void run_gone(pl_work *w) {
  pl_admin *a = pl_container(w, pl_admin, gone);
  void (*done)(void *user) = a->done;
  void *user = a->done_user;
  pl_free(a);
  done(user);
}

static void forget(client *c) {
  pl_admin *a = c->admin;
  pl_list_remove(&c->node);
  pl_buf_fini(&c->answer);
  pl_free(c);
  if (--a->count == 0 && a->done != NULL) pl_loop_defer(a->loop, &a->gone, run_gone);
}

static void on_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  client *c = user;
  pl_timer_stop(&c->timer);
  c->link = NULL;
  if (!c->asks) forget(c);
}

void pl_admin_tell(pl_admin_ask *c, const pl_buf *text) {
  c->asks = false;
  if (c->link == NULL) {
    forget(c);
  } else if (c->answered) {  // it waited too long
    return;
  } else if (text != NULL) {
    answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", text, c->with_body);
  } else {
    refuse(c, 500);
  }
}

static const pl_link_ops link_ops = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_close = on_close};

static void on_accept(pl_listener *s, pl_link *l, void *user) {
  (void)s;
  pl_admin *a = user;
  if (a->count >= PL_ADMIN_CLIENTS) {
    a->loop->metrics.admin_refused++;
    pl_link_abort(l, PL_BUSY, "");
    return;
  }
  client *c = pl_new(client);
  c->admin = a;
  c->link = l;
  pl_list_push(&a->clients, &c->node);
  a->count++;
  pl_timer_start(&a->loop->clock, &c->timer, PL_ADMIN_CLIENT_US, on_slow);
  pl_link_start(l, &link_ops, c);
}

static void on_error(pl_listener *s, pl_err why, const char *detail, void *user) {
  (void)s;
  pl_admin *a = user;
  pl_log_warn(a->loop->log, "the admin listener cannot accept",
              pl_f_text("why", detail[0] != '\0' ? detail : pl_err_text(why)));
}

static const pl_listener_ops listener_ops = {.on_accept = on_accept, .on_error = on_error};

// Life.

static pl_err read_address(pl_url *url, const char *address, char *detail) {
  char text[PL_URL_MAX];
  const char *why = "it is too long";
  bool is_url = strstr(address, "://") != NULL;
  int len = snprintf(text, sizeof text, "%s%s", is_url ? "" : "tcp://", address);
  bool fits = len > 0 && (size_t)len < sizeof text;
  if (!fits || pl_url_parse(url, text, &why) != PL_OK) {
    snprintf(detail, PL_URL_MAX, "admin: %.200s: %s", address, why);
    return PL_INVALID;
  }
  if (pl_url_is_local(url)) return PL_OK;
  snprintf(detail, PL_URL_MAX,
           "admin: only this machine may ask, since nobody is authenticated there: listen on "
           "127.0.0.1, localhost, [::1], or a Unix socket");
  return PL_FORBIDDEN;
}

pl_err pl_admin_open(pl_admin **out, pl_loop *loop, const char *address, const pl_admin_ops *ops,
                     void *user, char *bound, char *detail) {
  pl_url url;
  pl_err err = read_address(&url, address, detail);
  if (err != PL_OK) return err;
  pl_admin *a = pl_new(pl_admin);
  a->loop = loop;
  a->ops = ops;
  a->user = user;
  a->by_socket = strcmp(url.scheme, "tcp") != 0;
  pl_list_init(&a->clients);
  err = pl_listener_open(&a->listener, loop, &url, &listener_ops, a, detail);
  if (err != PL_OK) {
    pl_free(a);
    return err;
  }
  pl_url_format(pl_listener_url(a->listener), bound);
  *out = a;
  return PL_OK;
}

void pl_admin_close(pl_admin *a, void (*done)(void *user), void *user) {
  a->done = done;
  a->done_user = user;
  pl_listener_close(a->listener);
  for (pl_list *n = a->clients.next; n != &a->clients; n = n->next)
    if (pl_container(n, client, node)->link != NULL)
      pl_link_abort(pl_container(n, client, node)->link, PL_CLOSED, "");
  if (a->count == 0) pl_loop_defer(a->loop, &a->gone, run_gone);
}
