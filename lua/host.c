#include "lua/host.h"

#include <assert.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/inspect.h"
#include "lua/pool.h"
#include "lua/reload_action.h"
#include "lua/script.h"
#include "lua/states.h"
#include "lua/workers.h"

struct pl_host {
  pl_loop *loop;
  pl_options options;
  const pl_host_ops *ops;
  void *user;
  pl_node *node;
  bool joined, ready_told, stopping, node_down, watches, stays;
  unsigned stops;
  int code;
  pl_states *states;
  pl_list scripts;
  pl_list join_watches, change_watches;
  uint64_t changes;
  pl_work end;
  pl_workers *workers;  // NULL: no script lives on one
  uint64_t stop_at_us;  // until when running requests may go on, once it stops
  bool workers_over;    // they have ended
  bool housed;          // it lives on one itself
  pl_host_home home;    // if so
};

// Watches.

static void fire_all(pl_list *watches) {
  pl_list due;
  pl_list_take(&due, watches);
  for (pl_list *n; (n = pl_list_pop(&due)) != NULL;) {
    pl_watch *w = pl_container(n, pl_watch, node);
    w->fire(w);
  }
}

void pl_host_on_join(pl_host *h, pl_watch *w, void (*fire)(pl_watch *w)) {
  w->fire = fire;
  pl_list_push(&h->join_watches, &w->node);
}

void pl_host_on_change(pl_host *h, pl_watch *w, void (*fire)(pl_watch *w)) {
  w->fire = fire;
  pl_list_push(&h->change_watches, &w->node);
}

uint64_t pl_host_changes(const pl_host *h) {
  return h->changes;
}

void pl_watch_cancel(pl_watch *w) {
  pl_list_remove(&w->node);
}

static void on_change(pl_node *n, void *user) {
  (void)n;
  pl_host *h = user;
  h->changes++;
  fire_all(&h->change_watches);
}

static void on_joined(void *user) {
  pl_host *h = user;
  char detail[PL_URL_MAX] = "";
  h->joined = true;
  fire_all(&h->join_watches);
  if (h->workers == NULL || h->stopping) return;
  pl_err err = pl_workers_start(h->workers, detail);
  if (err == PL_OK) return;
  pl_err_print(err, detail);
  pl_host_stop(h, 1);
}

static const pl_node_ops node_ops = {.on_change = on_change, .on_count = pl_host_count};

// Node.

static void apply_log_options(pl_host *h) {
  pl_log_level level;
  const pl_options *o = &h->options;
  if (pl_log_level_parse(&level, o->log_level)) pl_log_set_level(h->loop->log, level);
  pl_log_set_json(h->loop->log, strcmp(o->log_format, "json") == 0);
}

pl_options *pl_host_options(lua_State *L) {
  pl_host *h = pl_host_of(L);
  if (h->node != NULL) {
    luaL_error(
        L,
        "mesh.node: the node has already started; call it once, before anything else of the mesh");
  }
  return &h->options;
}

// Before anything is served: a file that cannot be used ends the start.
static pl_err open_states(pl_host *h, char *detail) {
  pl_store *store;
  pl_err err = pl_states_open(h->states, &h->options, detail);
  if (err == PL_OK) err = pl_states_find(&store, h->states, NULL, detail);
  for (pl_list *n = h->scripts.next; err == PL_OK && n != &h->scripts; n = n->next)
    err = pl_states_find(&store, h->states, pl_script_path(pl_script_from(n)), detail);
  const char *path;
  for (size_t i = 0; h->workers != NULL && (path = pl_workers_path(h->workers, i)) != NULL; i++) {
    if (err == PL_OK) err = pl_states_find(&store, h->states, path, detail);
  }
  return err;
}

static pl_err start_node(pl_host *h, char *detail) {
  apply_log_options(h);
  for (pl_list *at = h->scripts.next; at != &h->scripts; at = at->next)
    pl_script_set_limits(pl_script_from(at), &h->options);
  // What could not be started once (a port in use) is tried again.
  pl_err err = PL_OK;
  if (h->node == NULL) {
    err = pl_node_new(&h->node, h->loop, &h->options, &node_ops, h, detail);
    if (err == PL_OK) {
      pl_reload_action_open(h);
      pl_inspect_open(h);
      if (h->housed) pl_node_set_worker_of(h->node, &h->home.id);
    }
  }
  if (err == PL_OK && !h->housed) err = open_states(h, detail);
  return err == PL_OK ? pl_node_start(h->node, on_joined, h, detail) : err;
}

pl_err pl_host_open(pl_host *h, char *detail) {
  h->stays = true;
  return start_node(h, detail);
}

pl_node *pl_host_start(lua_State *L) {
  pl_host *h = pl_host_of(L);
  if (h->node != NULL && pl_node_started(h->node)) return h->node;
  if (h->stopping) pl_raise_code(L, PL_DRAINING, PL_NOT_SENT, "the node is stopping");
  char detail[PL_URL_MAX] = "";
  pl_err err = start_node(h, detail);
  if (err != PL_OK)
    pl_raise_code(L, err, PL_NOT_SENT, "%s", detail[0] != '\0' ? detail : pl_err_text(err));
  return h->node;
}

// On worker threads.

void pl_host_house(pl_host *h, const pl_host_home *home) {
  h->housed = true;
  h->home = *home;
  pl_store_hold(h->home.own);
  pl_store_hold(h->home.shared);
}

bool pl_host_is_housed(const pl_host *h) {
  return h->housed;
}

// They were opened before the node started.
void pl_host_home_stores(pl_host *h, const char *path, pl_host_home *out) {
  char detail[PL_URL_MAX];
  pl_err own = pl_states_find(&out->own, h->states, path, detail);
  pl_err shared = pl_states_find(&out->shared, h->states, NULL, detail);
  assert(own == PL_OK && shared == PL_OK);
  (void)own;
  (void)shared;
}

pl_workers *pl_host_workers(const pl_host *h) {
  return h->workers;
}

pl_store *pl_host_store(lua_State *L, bool shared) {
  pl_host_start(L);
  const pl_host *home = pl_host_of(L);
  if (home->housed) return shared ? home->home.shared : home->home.own;
  const char *path = shared ? NULL : pl_script_path(pl_script_of(L));
  pl_store *store;
  char detail[PL_URL_MAX] = "";
  pl_err err = pl_states_find(&store, pl_host_of(L)->states, path, detail);
  if (err != PL_OK) pl_raise_code(L, err, PL_NOT_EXECUTED, "%s", detail);
  return store;
}

void pl_host_count(pl_metrics *m, void *user) {
  const pl_host *h = user;
  if (!h->housed) pl_states_count(h->states, m);
  pl_pool_count(m);
}

pl_node *pl_host_node(pl_host *h) {
  return h->node;
}

bool pl_host_joined(const pl_host *h) {
  return h->joined;
}

pl_vm *pl_host_vm(const pl_host *h) {
  return pl_list_empty(&h->scripts) ? NULL : pl_script_vm(pl_script_from(h->scripts.next));
}

pl_host *pl_host_of(lua_State *L) {
  return pl_script_host(pl_script_of(L));
}

// Ending.

static void on_states_closed(bool saved, void *user) {
  pl_host *h = user;
  if (!saved && h->code == 0) h->code = 1;
  h->ops->on_over(h, h->code, h->user);
}

// In order: the node first, so that handlers can finish; then the VMs; then what they left in
// stores is saved; then the word that it is over.
static void run_end(pl_work *w) {
  pl_host *h = pl_container(w, pl_host, end);
  while (!pl_list_empty(&h->scripts))
    pl_script_free(pl_script_from(h->scripts.next));
  pl_pool_settle();
  if (h->node != NULL) pl_node_free(h->node);
  h->node = NULL;
  h->node_down = true;
  pl_states_close(h->states, on_states_closed, h);
}

static void on_node_down(void *user) {
  pl_host *h = user;
  h->node_down = true;
  pl_loop_defer(h->loop, &h->end, run_end);
}

static void stop_node(pl_host *h, uint64_t drain_us) {
  if (h->node == NULL) {
    pl_loop_defer(h->loop, &h->end, run_end);
  } else {
    pl_node_stop(h->node, drain_us, on_node_down, h);
  }
}

// The replicas on worker threads first, which reach others only through this node.
void pl_host_stop_within(pl_host *h, int code, uint64_t drain_us) {
  if (!h->stopping) h->code = code;
  if (h->node_down) return;
  uint64_t at_us = pl_now_us(h->loop) + drain_us;
  if (!h->stopping || at_us < h->stop_at_us) h->stop_at_us = at_us;
  if (!h->stopping && h->ops->on_stopping != NULL) h->ops->on_stopping(h, h->user);
  h->stopping = true;
  if (h->workers != NULL && !h->workers_over) {
    pl_workers_stop(h->workers, drain_us);
  } else {
    stop_node(h, drain_us);
  }
}

void pl_host_workers_over(pl_host *h) {
  uint64_t now_us = pl_now_us(h->loop);
  h->workers_over = true;
  stop_node(h, h->stop_at_us > now_us ? h->stop_at_us - now_us : 0);
}

void pl_host_stop(pl_host *h, int code) {
  uint64_t drain_us = h->stops++ == 0 ? (uint64_t)(h->options.drain * 1e6) : 0;
  pl_host_stop_within(h, code, drain_us);
}

void pl_host_exit_within(pl_host *h, int code, uint64_t drain_us) {
  if (h->ops->on_exit != NULL) {
    h->ops->on_exit(h, code, drain_us, h->user);
    return;
  }
  if (code < 0) {
    code = 0;
  } else if (h->stopping) {
    h->code = code;
  }
  if (drain_us == PL_NEVER) {
    pl_host_stop(h, code);
  } else {
    pl_host_stop_within(h, code, drain_us);
  }
}

// Scripts.

const pl_options *pl_host_settings(const pl_host *h) {
  return &h->options;
}

bool pl_host_is_stopping(const pl_host *h) {
  return h->stopping;
}

void pl_host_made_vm(pl_host *h, pl_vm *vm) {
  if (h->ops->on_vm != NULL) h->ops->on_vm(h, vm, h->user);
}

bool pl_host_listens(const pl_host *h) {
  return h->options.listen.count > 0;
}

static bool keeps_alive(pl_host *h) {
  bool relays = h->options.relay && pl_option_is_given(&h->options, "relay");
  if (pl_host_listens(h) || relays || h->stays) return true;
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next) {
    if (pl_script_is_alive(pl_script_from(n))) return true;
  }
  return h->workers != NULL && pl_workers_status(h->workers) == PL_WORKERS_ALIVE;
}

// Scripts on worker threads need the node, whether one on this thread does or not.
static bool start_for_workers(pl_host *h) {
  char detail[PL_URL_MAX] = "";
  if (h->workers == NULL || (h->node != NULL && pl_node_started(h->node))) return true;
  pl_err err = start_node(h, detail);
  if (err == PL_OK) return true;
  pl_err_print(err, detail);
  pl_host_stop(h, 1);
  return false;
}

void pl_host_script_changed(pl_host *h) {
  if (h->stopping) return;
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next) {
    pl_script_state state = pl_script_status(pl_script_from(n));
    if (state == PL_SCRIPT_LOADING) return;
    if (state == PL_SCRIPT_FAILED) {
      pl_host_stop(h, 1);
      return;
    }
  }
  if (!start_for_workers(h)) return;
  pl_workers_state workers = h->workers != NULL ? pl_workers_status(h->workers) : PL_WORKERS_ENDED;
  if (workers == PL_WORKERS_LOADING) return;
  if (workers == PL_WORKERS_FAILED) {
    pl_host_stop(h, 1);
  } else if (!keeps_alive(h)) {
    pl_host_stop(h, workers == PL_WORKERS_GIVEN_UP ? 1 : 0);
  } else if (!h->ready_told && h->node != NULL) {
    h->ready_told = true;
    pl_node_set_ready(h->node, true);
    if (h->ops->on_ready != NULL) h->ops->on_ready(h, h->user);
  }
}

pl_host *pl_host_new(pl_loop *loop, const pl_options *options, const pl_host_ops *ops, void *user) {
  pl_host *h = pl_new(pl_host);
  h->loop = loop;
  h->ops = ops;
  h->user = user;
  pl_options_copy(&h->options, options);
  apply_log_options(h);
  h->states = pl_states_new(loop);
  pl_list_init(&h->scripts);
  pl_list_init(&h->join_watches);
  pl_list_init(&h->change_watches);
  return h;
}

void pl_host_free(pl_host *h) {
  assert(pl_list_empty(&h->scripts) && h->node == NULL);
  pl_work_cancel(&h->end);
  if (h->workers != NULL) pl_workers_free(h->workers);
  pl_store_drop(h->home.own);
  pl_store_drop(h->home.shared);
  pl_states_free(h->states);
  pl_options_free(&h->options);
  pl_free(h);
}

pl_err pl_host_add(pl_host *h, const char *path, pl_bytes source, const char *const *args,
                   size_t count, bool command, char *detail) {
  size_t replicas = command || h->housed ? 0 : pl_workers_replicas(&h->options, path);
  if (replicas > 0) {
    if (h->workers == NULL) h->workers = pl_workers_new(h, h->loop, h->ops, h->user);
    return pl_workers_add(h->workers, path, args, count, replicas, detail);
  }
  pl_script *s;
  pl_err err = pl_script_new(&s, h, h->loop, path, source, args, count, command, detail);
  if (err == PL_OK) pl_list_push(&h->scripts, pl_script_node(s));
  return err;
}

pl_err pl_host_check(const pl_host *h, char *detail) {
  pl_texts paths = {0};
  const char *path;
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next)
    pl_texts_add(&paths, pl_script_path(pl_script_from(n)));
  for (size_t i = 0; h->workers != NULL && (path = pl_workers_path(h->workers, i)) != NULL; i++)
    pl_texts_add(&paths, path);
  pl_err err = pl_workers_check(&h->options, (const char *const *)paths.items, paths.count, detail);
  pl_texts_free(&paths);
  return err;
}

void pl_host_run(pl_host *h) {
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next)
    pl_script_start(pl_script_from(n));
  if (pl_list_empty(&h->scripts)) pl_host_script_changed(h);
}

// Reloads.

static pl_script *find(pl_host *h, const char *path) {
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next) {
    if (strcmp(pl_script_path(pl_script_from(n)), path) == 0) return pl_script_from(n);
  }
  return NULL;
}

size_t pl_host_each_file(pl_host *h, const char *path, void (*fn)(pl_script *s, void *user),
                         void *user) {
  size_t count = 0;
  for (pl_list *n = h->scripts.next; n != &h->scripts; n = n->next) {
    pl_script *s = pl_script_from(n);
    if (pl_script_is_command(s)) continue;
    if (path != NULL && strcmp(pl_script_path(s), path) != 0) continue;
    count++;
    if (fn != NULL) fn(s, user);
  }
  return count;
}

static void ask(pl_script *s, void *user) {
  (void)user;
  pl_reload_ask(pl_script_reload(s), NULL);
}

pl_err pl_host_reload(pl_host *h, const char *path) {
  size_t count = pl_host_each_file(h, path, ask, NULL);
  if (h->workers != NULL) count += pl_workers_reload(h->workers, path, NULL, NULL);
  return count > 0 ? PL_OK : PL_NOT_FOUND;
}

void pl_host_want_reload(pl_host *h) {
  if (h->ops->on_reload_wanted != NULL) h->ops->on_reload_wanted(h, h->user);
}

static void watch(pl_script *s, void *user) {
  (void)user;
  pl_script_watch_files(s);
}

void pl_host_watch(pl_host *h) {
  h->watches = true;
  pl_host_each_file(h, NULL, watch, NULL);
  if (h->workers != NULL) pl_workers_watch(h->workers);
}

pl_err pl_host_set_text(pl_host *h, const char *path, pl_bytes source) {
  pl_script *s = find(h, path);
  return s == NULL ? PL_NOT_FOUND : pl_script_set_text(s, source);
}

static void log_reload(const pl_host *h, const pl_reload_report *r) {
  pl_buf text = {0};
  if (r->failed) {
    pl_reload_failure_put(r, &text);
    pl_log_at(h->loop->log, h->watches ? PL_LOG_DEBUG : PL_LOG_ERROR,
              "reload failed, the old version goes on", pl_f_text("script", r->script),
              pl_f_int("generation", r->generation),
              pl_f_bytes("error", (const char *)pl_buf_data(&text), pl_buf_len(&text)));
  } else {
    pl_reload_report_put(r, &text);
    pl_log_at(h->loop->log, h->watches ? PL_LOG_DEBUG : PL_LOG_INFO, "reloaded",
              pl_f_text("script", r->script), pl_f_int("generation", r->generation),
              pl_f_int("took_ms", (int64_t)(r->took_us / 1000)),
              pl_f_bytes("actions", (const char *)pl_buf_data(&text), pl_buf_len(&text)));
  }
  pl_buf_fini(&text);
}

void pl_host_reloaded(pl_host *h, const pl_reload_report *r) {
  if (r->failed) {
    h->loop->metrics.reloads_failed++;
  } else {
    h->loop->metrics.reloads++;
  }
  log_reload(h, r);
  if (h->node != NULL) pl_reload_report_tell(r, h->node);
  if (h->ops->on_reload != NULL) h->ops->on_reload(h, r, h->user);
}
