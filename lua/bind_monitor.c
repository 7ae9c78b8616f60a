// perilune.core.monitor: what a node tells of itself while it goes on, for mesh.monitor. Each
// monitor has a queue of its own, bounded by PL_NOTICES_MAX, of events that wait for its task.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/feed.h"
#include "lua/host.h"
#include "lua/pack.h"
#include "lua/sandbox.h"
#include "lua/span_pack.h"
#include "lua/task.h"
#include "lua/value.h"

#define MONITOR_TYPE "perilune.Monitor"

// An event, encoded as the table that the script gets.
typedef struct waiting {
  pl_list node;
  size_t len;
  uint8_t bytes[];
} waiting;

typedef struct monitor {
  pl_feed feed;
  pl_monitor tap;
  pl_node *told_by;
  pl_list queue;  // of waiting, oldest first
  size_t count;
  uint64_t dropped;  // since the newest in the queue
} monitor;

static monitor *monitor_of(pl_feed *f) {
  return pl_container(f, monitor, feed);
}

// Events as tables.

static const char *event_name(const pl_notice *e) {
  switch (e->kind) {
    case PL_NOTICE_CALL: return pl_side_name(e->span->side);
    case PL_NOTICE_QUEUED: return "queued";
    case PL_NOTICE_CHUNK: return "chunk";
    case PL_NOTICE_END: return "end";
    case PL_NOTICE_LINK_UP: return "link_up";
    case PL_NOTICE_LINK_DOWN: return "link_down";
    case PL_NOTICE_DIAL_FAILED: return "dial_failed";
    case PL_NOTICE_GENERATION: return "generation";
  }
  return "";
}

static size_t count_fields(const pl_notice *e) {
  size_t n = 2;
  if (e->span != NULL) n += pl_span_fields(e->span, e->kind == PL_NOTICE_END);
  if (e->kind == PL_NOTICE_CHUNK) n++;
  if (e->span == NULL) n += e->kind == PL_NOTICE_DIAL_FAILED ? 1 : 2;
  if (e->span == NULL && e->code != NULL) n++;
  return n;
}

static void put_notice(pl_pack *k, const pl_notice *e) {
  pl_pack_map(k, count_fields(e));
  pl_pack_text(k, "event");
  pl_pack_text(k, event_name(e));
  pl_pack_text(k, "at");
  pl_pack_seconds(k, e->at_us);
  if (e->span != NULL) pl_span_pack(k, e->span, e->kind == PL_NOTICE_END);
  if (e->kind == PL_NOTICE_CHUNK) {
    pl_pack_text(k, "count");
    pl_pack_uint(k, e->count);
  } else if (e->kind == PL_NOTICE_GENERATION) {
    pl_pack_text(k, "script");
    pl_pack_text(k, e->script);
    pl_pack_text(k, "generation");
    pl_pack_uint(k, e->generation);
  } else if (e->kind == PL_NOTICE_DIAL_FAILED) {
    pl_pack_text(k, "address");
    pl_pack_text(k, e->address);
  } else if (e->span == NULL) {
    pl_pack_text(k, "node");
    pl_pack_id(k, &e->node);
    pl_pack_text(k, "name");
    pl_pack_text(k, e->name);
  }
  if (e->span != NULL || e->code == NULL) return;
  pl_pack_text(k, "code");
  pl_pack_text(k, e->code);
}

// The queue.

static void push(monitor *m, pl_pack *k) {
  size_t len = k->failed ? 0 : pl_buf_len(&k->out);
  waiting *w = pl_alloc(sizeof *w + len);
  w->len = len;
  if (len > 0) memcpy(w->bytes, pl_buf_data(&k->out), len);
  pl_buf_fini(&k->out);
  pl_list_push(&m->queue, &w->node);
  m->count++;
}

// What has not been told is told where it is missing.
static void push_dropped(monitor *m) {
  pl_pack k = {0};
  pl_pack_map(&k, 2);
  pl_pack_text(&k, "event");
  pl_pack_text(&k, "dropped");
  pl_pack_text(&k, "count");
  pl_pack_uint(&k, m->dropped);
  m->dropped = 0;
  push(m, &k);
}

static void on_notice(const pl_notice *e, void *user) {
  monitor *m = user;
  if (m->count >= PL_NOTICES_MAX) {
    m->dropped++;
    pl_node_loop(m->told_by)->metrics.notices_dropped++;
    return;
  }
  if (m->dropped > 0) push_dropped(m);
  pl_pack k = {0};
  put_notice(&k, e);
  push(m, &k);
  pl_feed_wake(&m->feed);
}

static void free_monitor(pl_feed *f) {
  monitor *m = monitor_of(f);
  for (pl_list *n; (n = pl_list_pop(&m->queue)) != NULL;)
    pl_free(pl_container(n, waiting, node));
  pl_free(m);
}

// For scripts.

static bool has_event(pl_feed *f) {
  const monitor *m = monitor_of(f);
  return m->count > 0 || m->dropped > 0;
}

static int push_event(lua_State *L, pl_feed *f) {
  monitor *m = monitor_of(f);
  if (m->count == 0) push_dropped(m);
  waiting *w = pl_container(pl_list_pop(&m->queue), waiting, node);
  m->count--;
  // Out of the hands of C before anything may raise.
  lua_pushlstring(L, (const char *)w->bytes, w->len);
  pl_free(w);
  size_t len;
  const char *bytes = lua_tolstring(L, -1, &len);
  if (len == 0) return pl_raise_code(L, PL_NO_MEMORY, PL_EXECUTED, "no memory for an event");
  pl_value_decode(L, PL_CODEC_MSGPACK, pl_bytes_of(bytes, len));
  return 1;
}

static const pl_feed_type monitor_type = {
    .op = PL_FEED("mesh.monitor"), .has = has_event, .push = push_event, .free = free_monitor};

// next() -> the oldest event that waits, or the next to come; nothing once it is closed
static int l_next(lua_State *L) {
  monitor *m = *(monitor **)luaL_checkudata(L, 1, MONITOR_TYPE);
  return m != NULL ? pl_feed_next(L, &m->feed) : 0;
}

// Also __gc and __close.
static int l_close(lua_State *L) {
  monitor **box = luaL_checkudata(L, 1, MONITOR_TYPE);
  monitor *m = *box;
  *box = NULL;
  if (m == NULL) return 0;
  pl_node_unmonitor(m->told_by, &m->tap);
  pl_feed_close(&m->feed);
  return 0;
}

// open() -> monitor, which takes note of all that happens from now on
static int l_open(lua_State *L) {
  pl_sandbox_need(L, PL_CAN_PROCESS, "mesh.monitor");  // it sees the calls of others
  pl_node *n = pl_host_start(L);
  monitor **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, MONITOR_TYPE);
  monitor *m = pl_new(monitor);
  m->told_by = n;
  pl_feed_init(&m->feed, &monitor_type);
  pl_list_init(&m->queue);
  pl_node_monitor(n, &m->tap, on_notice, m);
  *box = m;
  return 1;
}

// hide(): no monitor is told of calls that the running task makes from now on, and of what they
// lead to: it would tell of telling.
static int l_hide(lua_State *L) {
  pl_trace quiet = {.flags = PL_TRACE_QUIET};
  pl_id_random(&quiet.id);
  pl_task_set_trace(pl_task_current(L), &quiet);
  return 0;
}

int pl_open_monitor(lua_State *L) {
  static const luaL_Reg methods[] = {{"next", l_next}, {"close", l_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", l_close}, {"__close", l_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open}, {"hide", l_hide}, {NULL, NULL}};
  luaL_newmetatable(L, MONITOR_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
