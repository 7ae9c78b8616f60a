// Maps, buffers, slices and logs for specs.

#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/labels.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "spec/support/testing_base.h"

#define BUF "perilune.testing.Buf"
#define LABELS "perilune.testing.Labels"
#define LOG "perilune.testing.Log"
#define MAP "perilune.testing.Map"
#define SLICE "perilune.testing.Slice"

static int map_new(lua_State *L) {
  pl_map *m = lua_newuserdatauv(L, sizeof *m, 0);
  *m = (pl_map){0};
  luaL_setmetatable(L, MAP);
  return 1;
}

static pl_map *check_map(lua_State *L) {
  return luaL_checkudata(L, 1, MAP);
}

static int push_value(lua_State *L, const void *value) {
  if (value == NULL) return 0;
  lua_pushinteger(L, (lua_Integer)(intptr_t)value);
  return 1;
}

// A string key is bytes, an integer is a number; values are integers but 0.
static int map_put(lua_State *L) {
  pl_map *m = check_map(L);
  void *value = (void *)(intptr_t)luaL_checkinteger(L, 3);
  luaL_argcheck(L, value != NULL, 3, "zero");
  if (lua_isinteger(L, 2)) {
    return push_value(L, pl_map_put(m, (uint64_t)lua_tointeger(L, 2), value));
  }
  size_t len;
  const char *key = luaL_checklstring(L, 2, &len);
  return push_value(L, pl_map_put_bytes(m, key, len, value));
}

static int map_find(lua_State *L) {
  pl_map *m = check_map(L);
  if (lua_isinteger(L, 2)) return push_value(L, pl_map_find(m, (uint64_t)lua_tointeger(L, 2)));
  size_t len;
  const char *key = luaL_checklstring(L, 2, &len);
  return push_value(L, pl_map_find_bytes(m, key, len));
}

static int map_remove(lua_State *L) {
  pl_map *m = check_map(L);
  if (lua_isinteger(L, 2)) return push_value(L, pl_map_remove(m, (uint64_t)lua_tointeger(L, 2)));
  size_t len;
  const char *key = luaL_checklstring(L, 2, &len);
  return push_value(L, pl_map_remove_bytes(m, key, len));
}

static int map_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_map(L)->count);
  return 1;
}

// A list of {key, value} in the order of the walk.
static int map_entries(lua_State *L) {
  pl_map *m = check_map(L);
  lua_newtable(L);
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(m, &at)) != NULL;) {
    lua_createtable(L, 2, 0);
    if (e->bytes != NULL) {
      lua_pushlstring(L, (const char *)e->bytes, e->len);
    } else {
      lua_pushinteger(L, (lua_Integer)e->key);
    }
    lua_rawseti(L, -2, 1);
    push_value(L, e->value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

// The longest run of places in use, which bounds every search.
static int map_longest_run(lua_State *L) {
  pl_map *m = check_map(L);
  lua_Integer longest = 0;
  lua_Integer run = 0;
  for (size_t i = 0; m->entries != NULL && i <= m->mask; i++) {
    run = m->entries[i].value != NULL ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  lua_pushinteger(L, longest);
  return 1;
}

static int map_gc(lua_State *L) {
  pl_map_fini(check_map(L));
  return 0;
}

static int map_reseed(lua_State *L) {
  pl_map_reseed((uint64_t)luaL_checkinteger(L, 1));
  return 0;
}

static const luaL_Reg map_methods[] = {
    {"put", map_put},         {"find", map_find},
    {"remove", map_remove},   {"count", map_count},
    {"entries", map_entries}, {"longest_run", map_longest_run},
    {"fini", map_gc},         {NULL, NULL},
};

void testing_push_map(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", map_new}, {"reseed", map_reseed}, {NULL, NULL}};
  testing_new_class(L, MAP, map_methods, map_gc);
  luaL_newlib(L, functions);
}

static int labels_new(lua_State *L) {
  pl_labels *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (pl_labels){0};
  luaL_setmetatable(L, LABELS);
  return 1;
}

static pl_labels *check_labels(lua_State *L) {
  return luaL_checkudata(L, 1, LABELS);
}

// As those of a map, with labels for keys.
static int labels_put(lua_State *L) {
  lua_Integer label = luaL_checkinteger(L, 2);
  lua_Integer value = luaL_checkinteger(L, 3);
  luaL_argcheck(L, label > 0 && label <= UINT32_MAX, 2, "no label");
  luaL_argcheck(L, value != 0, 3, "zero");
  pl_labels_put(check_labels(L), (uint32_t)label, (void *)(intptr_t)value);
  return 0;
}

static int labels_find(lua_State *L) {
  return push_value(L, pl_labels_find(check_labels(L), (uint32_t)luaL_checkinteger(L, 2)));
}

static int labels_remove(lua_State *L) {
  return push_value(L, pl_labels_remove(check_labels(L), (uint32_t)luaL_checkinteger(L, 2)));
}

// count, how many of them have no place of their own
static int labels_count(lua_State *L) {
  const pl_labels *t = check_labels(L);
  lua_pushinteger(L, (lua_Integer)t->count);
  lua_pushinteger(L, (lua_Integer)t->others.count);
  return 2;
}

static int labels_gc(lua_State *L) {
  pl_labels_fini(check_labels(L));
  return 0;
}

static const luaL_Reg labels_methods[] = {
    {"put", labels_put},     {"find", labels_find}, {"remove", labels_remove},
    {"count", labels_count}, {"fini", labels_gc},   {NULL, NULL},
};

void testing_push_labels(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", labels_new}, {NULL, NULL}};
  testing_new_class(L, LABELS, labels_methods, labels_gc);
  luaL_newlib(L, functions);
}

static int buf_new(lua_State *L) {
  pl_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (pl_buf){0};
  luaL_setmetatable(L, BUF);
  return 1;
}

static pl_buf *check_buf(lua_State *L) {
  return luaL_checkudata(L, 1, BUF);
}

static int buf_append(lua_State *L) {
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  lua_pushboolean(L, pl_buf_append(check_buf(L), data, len));
  return 1;
}

// Reserves so many bytes and writes a part of them: buf:reserve(n, text)
static int buf_reserve(lua_State *L) {
  pl_buf *b = check_buf(L);
  size_t n = (size_t)luaL_checkinteger(L, 2);
  size_t len;
  const char *text = luaL_optlstring(L, 3, "", &len);
  uint8_t *to = pl_buf_reserve(b, n);
  lua_pushboolean(L, to != NULL);
  if (to == NULL) return 1;
  luaL_argcheck(L, len <= n, 3, "more than reserved");
  memcpy(to, text, len);
  pl_buf_commit(b, len);
  return 1;
}

static int buf_consume(lua_State *L) {
  pl_buf *b = check_buf(L);
  size_t n = (size_t)luaL_checkinteger(L, 2);
  luaL_argcheck(L, n <= pl_buf_len(b), 2, "more than there is");
  pl_buf_consume(b, n);
  return 0;
}

static int buf_text(lua_State *L) {
  pl_buf *b = check_buf(L);
  lua_pushlstring(L, (const char *)pl_buf_data(b), pl_buf_len(b));
  return 1;
}

static int buf_cap(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_buf(L)->cap);
  return 1;
}

static int buf_gc(lua_State *L) {
  pl_buf_fini(check_buf(L));
  return 0;
}

static const luaL_Reg buf_methods[] = {
    {"append", buf_append}, {"reserve", buf_reserve}, {"consume", buf_consume},
    {"text", buf_text},     {"cap", buf_cap},         {"fini", buf_gc},
    {NULL, NULL},
};

// A view that was kept: buf.keep(text) of borrowed bytes, slice:keep() of owned ones.
typedef struct kept {
  pl_bytes view;
} kept;

static int push_kept(lua_State *L, pl_bytes in) {
  pl_bytes view;
  if (!pl_bytes_keep(&view, in)) return 0;
  kept *k = lua_newuserdatauv(L, sizeof *k, 0);
  k->view = view;
  luaL_setmetatable(L, SLICE);
  return 1;
}

static int buf_keep(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  return push_kept(L, pl_bytes_of(text, len));
}

static int slice_keep(lua_State *L) {
  kept *k = luaL_checkudata(L, 1, SLICE);
  return push_kept(L, k->view);
}

static int slice_text(lua_State *L) {
  kept *k = luaL_checkudata(L, 1, SLICE);
  lua_pushlstring(L, (const char *)k->view.data, k->view.len);
  return 1;
}

static int slice_refs(lua_State *L) {
  kept *k = luaL_checkudata(L, 1, SLICE);
  lua_pushinteger(L, k->view.owner == NULL ? 0 : k->view.owner->refs);
  return 1;
}

static int slice_drop(lua_State *L) {
  kept *k = luaL_checkudata(L, 1, SLICE);
  pl_bytes_drop(&k->view);
  return 0;
}

static const luaL_Reg slice_methods[] = {
    {"keep", slice_keep}, {"text", slice_text}, {"refs", slice_refs},
    {"drop", slice_drop}, {NULL, NULL},
};

void testing_push_buf(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", buf_new}, {"keep", buf_keep}, {NULL, NULL}};
  testing_new_class(L, BUF, buf_methods, buf_gc);
  testing_new_class(L, SLICE, slice_methods, slice_drop);
  luaL_newlib(L, functions);
}

typedef struct log_box {
  pl_log *log;
  pl_buf lines;
  bool refuse;
} log_box;

static bool gather(const char *line, size_t len, void *user) {
  log_box *b = user;
  return !b->refuse && pl_buf_append(&b->lines, line, len);
}

// log.new(to_stderr): else to be read with log:text()
static int log_new(lua_State *L) {
  bool to_stderr = lua_toboolean(L, 1);
  log_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (log_box){.log = pl_log_new()};
  luaL_setmetatable(L, LOG);
  if (!to_stderr) pl_log_set_sink(b->log, gather, b);
  return 1;
}

static log_box *check_log(lua_State *L) {
  return luaL_checkudata(L, 1, LOG);
}

static pl_log_level check_level(lua_State *L, int arg) {
  pl_log_level level;
  const char *name = luaL_checkstring(L, arg);
  luaL_argcheck(L, pl_log_level_parse(&level, name), arg, "unknown level");
  luaL_argcheck(L, strcmp(pl_log_level_name(level), name) == 0, arg, "another name");
  return level;
}

static int log_level(lua_State *L) {
  pl_log_set_level(check_log(L)->log, check_level(L, 2));
  return 0;
}

static int log_json(lua_State *L) {
  pl_log_set_json(check_log(L)->log, lua_toboolean(L, 2));
  return 0;
}

static int log_refuse(lua_State *L) {
  check_log(L)->refuse = lua_toboolean(L, 2);
  return 0;
}

static pl_field check_field(lua_State *L, const char *key, int value) {
  size_t len;
  switch (lua_type(L, value)) {
    case LUA_TBOOLEAN: return pl_f_bool(key, lua_toboolean(L, value));
    case LUA_TNUMBER:
      if (lua_isinteger(L, value)) return pl_f_int(key, lua_tointeger(L, value));
      return pl_f_float(key, lua_tonumber(L, value));
    case LUA_TSTRING: {
      const char *text = lua_tolstring(L, value, &len);
      return pl_f_bytes(key, text, len);
    }
    default: return pl_f_text(key, NULL);
  }
}

// log:write(level, message, key, value, key, value, …)
static int log_write(lua_State *L) {
  enum { FIELDS_MAX = 8 };
  pl_field fields[FIELDS_MAX];
  size_t count = 0;
  for (int arg = 4; arg < lua_gettop(L) && count < FIELDS_MAX; arg += 2) {
    fields[count++] = check_field(L, luaL_checkstring(L, arg), arg + 1);
  }
  pl_log_write(check_log(L)->log, check_level(L, 2), luaL_checkstring(L, 3), fields, count);
  return 0;
}

// A line without fields through the macro.
static int log_plain(lua_State *L) {
  pl_log_info(check_log(L)->log, luaL_checkstring(L, 2));
  return 0;
}

static void *write_lines(void *log) {
  for (int64_t i = 0; i < 1000; i++)
    pl_log_info(log, "from a thread", pl_f_int("n", i));
  return NULL;
}

// Four threads write a thousand lines each.
static int log_write_from_threads(lua_State *L) {
  log_box *b = check_log(L);
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) {
    if (pthread_create(&threads[i], NULL, write_lines, b->log) != 0) abort();
  }
  for (size_t i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  return 0;
}

static int log_text(lua_State *L) {
  log_box *b = check_log(L);
  lua_pushlstring(L, (const char *)pl_buf_data(&b->lines), pl_buf_len(&b->lines));
  pl_buf_clear(&b->lines);
  return 1;
}

static int log_lost(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_log_lost(check_log(L)->log));
  return 1;
}

// tail(level, count) -> number of a line
static int log_tail(lua_State *L) {
  size_t count = (size_t)luaL_checkinteger(L, 3);
  lua_pushinteger(L, (lua_Integer)pl_log_tail(check_log(L)->log, check_level(L, 2), count));
  return 1;
}

// read(from, level, max) -> text, next, lost
static int log_read(lua_State *L) {
  uint64_t next = (uint64_t)luaL_checkinteger(L, 2);
  pl_buf out = {0};
  size_t max = (size_t)luaL_checkinteger(L, 4);
  uint64_t lost = pl_log_read(check_log(L)->log, &next, check_level(L, 3), &out, max);
  lua_pushlstring(L, (const char *)pl_buf_data(&out), pl_buf_len(&out));
  pl_buf_fini(&out);
  lua_pushinteger(L, (lua_Integer)next);
  lua_pushinteger(L, (lua_Integer)lost);
  return 3;
}

static int log_gc(lua_State *L) {
  log_box *b = check_log(L);
  pl_log_free(b->log);
  b->log = NULL;
  pl_buf_fini(&b->lines);
  return 0;
}

// Fills a pipe up to `spare` bytes, a multiple of a page.
static void fill(int fd, size_t spare) {
  char page[4096];
  memset(page, '.', sizeof page);
  int size = fcntl(fd, F_GETPIPE_SZ);
  for (size_t left = (size_t)size; left > spare; left -= sizeof page) {
    ssize_t wrote = write(fd, page, sizeof page);
    (void)wrote;
  }
}

// log.with_stderr(fn, spare): what `fn` wrote to standard error, a pipe with `spare` bytes of
// room (whole without) that nobody reads meanwhile. What filled it are dots.
static int log_with_stderr(lua_State *L) {
  int ends[2];
  int real = dup(STDERR_FILENO);
  if (real < 0 || pipe(ends) != 0) return luaL_error(L, "no pipe");
  if (lua_isinteger(L, 2)) fill(ends[1], (size_t)lua_tointeger(L, 2));
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  lua_pushvalue(L, 1);
  int status = lua_pcall(L, 0, 0, 0);
  dup2(real, STDERR_FILENO);
  close(real);

  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (ssize_t got; (got = read(ends[0], luaL_prepbuffer(&b), LUAL_BUFFERSIZE)) > 0;) {
    luaL_addsize(&b, (size_t)got);
  }
  close(ends[0]);
  luaL_pushresult(&b);
  if (status != LUA_OK) {
    lua_pop(L, 1);
    return lua_error(L);
  }
  return 1;
}

static const luaL_Reg log_methods[] = {
    {"level", log_level},   {"json", log_json},
    {"refuse", log_refuse}, {"write", log_write},
    {"plain", log_plain},   {"text", log_text},
    {"tail", log_tail},     {"read", log_read},
    {"lost", log_lost},     {"write_from_threads", log_write_from_threads},
    {NULL, NULL},
};

void testing_push_log(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new", log_new},
      {"with_stderr", log_with_stderr},
      {NULL, NULL},
  };
  testing_new_class(L, LOG, log_methods, log_gc);
  luaL_newlib(L, functions);
}
