#include "lua/embed.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/embed_impl.h"
#include "lua/script.h"
#include "wire/json.h"

enum {
  DEPTH_MAX = 64,  // as everywhere else
  KEEP_MS = 3600 * 1000,
};

const char *perilune_version(void) {
  return PL_VERSION;
}

const char *perilune_error_name(int error) {
  return error == 0 ? "OK" : pl_err_name((pl_err)error);
}

int pl_embed_fail(pl_err err, const char *text, char *why) {
  if (why != NULL)
    snprintf(why, PERILUNE_WHY, "%s", text != NULL && text[0] != '\0' ? text : pl_err_text(err));
  return err;
}

static pl_err check_array(pl_bytes text, const char **reason) {
  cJSON *value;
  pl_json_error error = {.what = "it is too large"};
  pl_err err = pl_json_parse(&value, text, DEPTH_MAX, &error);
  *reason = error.what;
  if (err != PL_OK) return err;
  bool array = cJSON_IsArray(value);
  cJSON_Delete(value);
  *reason = "an array is expected";
  return array ? PL_OK : PL_INVALID;
}

pl_err pl_embed_values(pl_bytes *out, const char *text, const char **reason) {
  if (text == NULL) text = "[]";
  *out = pl_bytes_of(text, strlen(text));
  return check_array(*out, reason);
}

char *pl_embed_text(pl_bytes values) {
  const char *reason;
  if (check_array(values, &reason) != PL_OK) return NULL;
  char *text = pl_alloc(values.len + 1);
  memcpy(text, values.data, values.len);
  text[values.len] = '\0';
  return text;
}

// Life.

static void tell_ready(perilune *p) {
  if (p->ops->on_ready != NULL) p->ops->on_ready(p, p->user);
}

static void on_join(pl_watch *w) {
  tell_ready(pl_container(w, perilune, join));
}

// What others provide is known when the node has joined; calls do not wait for that.
static void on_ready(pl_host *h, void *user) {
  perilune *p = user;
  if (pl_host_joined(h)) {
    tell_ready(p);
  } else {
    pl_host_on_join(h, &p->join, on_join);
  }
}

static void run_stopping(pl_work *w) {
  pl_embed_cancel_calls(pl_container(w, perilune, stopping));
}

static void on_stopping(pl_host *h, void *user) {
  (void)h;
  perilune *p = user;
  pl_loop_defer(p->loop, &p->stopping, run_stopping);
}

static void on_over(pl_host *h, int code, void *user) {
  (void)h;
  perilune *p = user;
  p->over = true;
  p->code = code;
  uv_close((uv_handle_t *)&p->alive, NULL);
  if (p->ops->on_over != NULL) p->ops->on_over(p, code, p->user);
}

static const pl_host_ops host_ops = {
    .on_ready = on_ready, .on_stopping = on_stopping, .on_over = on_over};

perilune *perilune_new(void) {
  perilune *p = pl_new(perilune);
  p->loop = pl_loop_new(pl_log_new());
  pl_options_init(&p->options);
  pl_list_init(&p->calls);
  pl_list_init(&p->join.node);
  return p;
}

static void on_alive(uv_timer_t *t) {
  (void)t;
}

// From here until it is over the loop turns: what is queued on it is no reason for libuv.
static void need_host(perilune *p) {
  if (p->host != NULL) return;
  p->host = pl_host_new(p->loop, &p->options, &host_ops, p);
  uv_timer_init(p->loop->uv, &p->alive);
  uv_timer_start(&p->alive, on_alive, KEEP_MS, KEEP_MS);
}

int perilune_set(perilune *p, const char *option, const char *value, char *why) {
  char text[PL_URL_MAX] = "";
  if (p->host != NULL) return pl_embed_fail(PL_INVALID, "options come before all else", why);
  const pl_option *o = pl_option_find(option);
  if (o == NULL) return pl_embed_fail(PL_INVALID, "there is no such option", why);
  const pl_option_value v = {.given = PL_GIVEN_TEXT, .text = value};
  pl_err err = pl_option_set(&p->options, PL_SOURCE_ARGUMENTS, o, &v, text);
  return err == PL_OK ? PL_OK : pl_embed_fail(err, text, why);
}

static int add(perilune *p, const char *name, pl_bytes source, char *why) {
  char text[PL_URL_MAX] = "";
  if (p->started) return pl_embed_fail(PL_INVALID, "scripts come before the start", why);
  need_host(p);
  pl_err err = pl_host_add(p->host, name, source, NULL, 0, false, text);
  return err == PL_OK ? PL_OK : pl_embed_fail(err, text, why);
}

int perilune_add_script(perilune *p, const char *path, char *why) {
  return add(p, path, (pl_bytes){0}, why);
}

int perilune_add_text(perilune *p, const char *name, const char *text, size_t len, char *why) {
  return add(p, name, pl_bytes_of(text, len), why);
}

static void run_begin(pl_work *w) {
  perilune *p = pl_container(w, perilune, begin);
  if (!pl_host_is_stopping(p->host)) pl_host_run(p->host);
}

int perilune_start(perilune *p, const perilune_ops *ops, void *user, char *why) {
  static const perilune_ops none = {0};
  char text[PL_URL_MAX] = "";
  if (p->started) return pl_embed_fail(PL_INVALID, "it has started", why);
  p->ops = ops != NULL ? ops : &none;
  p->user = user;
  need_host(p);
  pl_err err = pl_host_check(p->host, text);
  if (err == PL_OK) err = pl_host_open(p->host, text);
  if (err != PL_OK) return pl_embed_fail(err, text, why);
  p->started = true;
  pl_loop_defer(p->loop, &p->begin, run_begin);
  return PL_OK;
}

pl_node *pl_embed_node(const perilune *p) {
  pl_node *n = p->started && !p->over ? pl_host_node(p->host) : NULL;
  return n == NULL || pl_node_stopping(n) ? NULL : n;
}

uv_loop_t *perilune_loop(perilune *p) {
  return p->loop->uv;
}

int perilune_run(perilune *p) {
  pl_loop_run(p->loop);
  return p->code;
}

void perilune_stop(perilune *p, double drain_seconds) {
  if (p->host == NULL || p->over) return;
  bool sane = drain_seconds > 0 && drain_seconds < 1e9;
  pl_host_stop_within(p->host, 0, sane ? (uint64_t)(drain_seconds * 1e6) : 0);
}

void perilune_free(perilune *p) {
  static const perilune_ops none = {0};
  if (p == NULL) return;
  if (p->host != NULL && !p->over) {
    p->ops = &none;
    perilune_stop(p, 0);
    while (!p->over)
      uv_run(p->loop->uv, UV_RUN_ONCE);
  }
  pl_watch_cancel(&p->join);
  pl_work_cancel(&p->begin);
  pl_work_cancel(&p->stopping);
  pl_embed_cancel_calls(p);
  if (p->host != NULL) pl_host_free(p->host);
  pl_loop_free(p->loop);
  pl_options_free(&p->options);
  pl_free(p);
}
