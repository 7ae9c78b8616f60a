#include "lua/origins.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/mem.h"

enum { SOURCE_MAX = 16 * 1024 * 1024 };  // of a file

// Files.

static void stamp(pl_stamp *out, const struct stat *st) {
  *out = (pl_stamp){
      .changed_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
      .size = st->st_size,
      .inode = st->st_ino,
      .device = st->st_dev,
  };
}

bool pl_stamp_read(pl_stamp *out, const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return false;
  stamp(out, &st);
  return true;
}

bool pl_stamp_equal(const pl_stamp *a, const pl_stamp *b) {
  return a->changed_ns == b->changed_ns && a->size == b->size && a->inode == b->inode &&
         a->device == b->device;
}

static const char *read_all(FILE *f, pl_buf *text) {
  size_t n = 1;
  while (n > 0 && pl_buf_len(text) <= SOURCE_MAX) {
    uint8_t *room = pl_buf_reserve(text, 65536);
    if (room == NULL) return "not enough memory";
    n = fread(room, 1, 65536, f);
    pl_buf_commit(text, n);
  }
  if (ferror(f)) return strerror(errno);
  return pl_buf_len(text) > SOURCE_MAX ? "larger than 16 MiB" : NULL;
}

pl_err pl_origin_read(pl_origin *out, const char *name, const char *path, char *detail) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    snprintf(detail, PL_URL_MAX, "cannot open %.300s: %s", path, strerror(errno));
    return PL_INVALID;
  }
  struct stat st = {0};
  fstat(fileno(f), &st);
  pl_buf text = {0};
  const char *wrong = read_all(f, &text);
  fclose(f);
  if (wrong != NULL) {
    snprintf(detail, PL_URL_MAX, "cannot read %.300s: %s", path, wrong);
    pl_buf_fini(&text);
    return PL_INVALID;
  }
  if (pl_buf_len(&text) == 0) pl_buf_append(&text, "\n", 1);
  *out = (pl_origin){.name = pl_strdup(name), .path = pl_strdup(path)};
  out->text = pl_buf_take(&text).owner;
  stamp(&out->stamp, &st);
  return PL_OK;
}

pl_err pl_origin_of(pl_origin *out, const char *name, const char *path, pl_bytes text) {
  pl_slice *copy = pl_slice_copy(text.data, text.len);
  if (copy == NULL) return PL_NO_MEMORY;
  *out = (pl_origin){.name = pl_strdup(name), .path = pl_strdup(path), .text = copy};
  return PL_OK;
}

void pl_origin_fini(pl_origin *s) {
  pl_free(s->name);
  pl_free(s->path);
  pl_slice_drop(s->text);
}

// Lists.

const pl_origin *pl_origins_add(pl_origins *list, pl_origin *s) {
  if (list->count >= PL_ORIGINS_MAX) {
    pl_origin_fini(s);
    return NULL;
  }
  pl_origin *items = pl_alloc((list->count + 1) * sizeof *items);
  if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
  pl_free(list->items);
  list->items = items;
  items[list->count] = *s;
  return &items[list->count++];
}

const pl_origin *pl_origins_find(const pl_origins *list, const char *name) {
  for (size_t i = 0; i < list->count; i++) {
    if (strcmp(list->items[i].name, name) == 0) return &list->items[i];
  }
  return NULL;
}

static bool is_missed(const pl_origins *list, const char *path) {
  for (size_t i = 0; i < list->missed_count; i++) {
    if (strcmp(list->missed[i], path) == 0) return true;
  }
  return false;
}

void pl_origins_miss(pl_origins *list, const char *path) {
  if (list->missed_count >= PL_MISSED_MAX || strlen(path) >= PATH_MAX) return;
  if (is_missed(list, path)) return;
  if (list->missed == NULL) list->missed = pl_alloc(PL_MISSED_MAX * sizeof *list->missed);
  list->missed[list->missed_count++] = pl_strdup(path);
}

void pl_origins_share(pl_origins *out, const pl_origins *in) {
  *out = (pl_origins){0};
  for (size_t i = 0; i < in->missed_count; i++)
    pl_origins_miss(out, in->missed[i]);
  for (size_t i = 0; i < in->count; i++) {
    pl_origin s = in->items[i];
    s.name = pl_strdup(s.name);
    s.path = pl_strdup(s.path);
    pl_slice_hold(s.text);
    pl_origins_add(out, &s);
  }
}

void pl_origins_fini(pl_origins *list) {
  for (size_t i = 0; i < list->count; i++)
    pl_origin_fini(&list->items[i]);
  pl_free(list->items);
  for (size_t i = 0; i < list->missed_count; i++)
    pl_free(list->missed[i]);
  pl_free(list->missed);
  *list = (pl_origins){0};
}

// Compiling.

pl_bytes pl_origin_text(const pl_origin *s) {
  const uint8_t *text = s->text->data;
  size_t len = s->text->len;
  if (len == 0 || text[0] != '#') return pl_bytes_of(text, len);
  const uint8_t *newline = memchr(text, '\n', len);
  size_t skip = newline == NULL ? len : (size_t)(newline - text);
  return pl_bytes_of(text + skip, len - skip);
}

int pl_origin_load(lua_State *L, const pl_origin *s) {
  const pl_bytes text = pl_origin_text(s);
  const char *chunk = lua_pushfstring(L, "@%s", s->path);
  int status = luaL_loadbufferx(L, (const char *)text.data, text.len, chunk, "t");
  lua_remove(L, -2);
  return status;
}
