// What the two codecs of lua/value.h share.
#pragma once

#include "base/err.h"
#include "lua/value.h"

// One table that is being encoded; its key tells the path of an error.
typedef struct pl_value_frame {
  struct pl_value_frame *up;
  const void *table;  // identity
  const char *key;    // of the entry being encoded, or
  lua_Integer index;  // when `key` is NULL
} pl_value_frame;

typedef struct pl_encoder {
  lua_State *L;
  pl_buf *out;
  size_t start;  // bytes of `out` that are not ours
  size_t max;
  size_t bound;  // bytes of `out` at most, ours and others
  const char *root;
  pl_value_frame *frame;  // innermost
  unsigned depth;
} pl_encoder;

uint8_t *pl_encode_grow(pl_encoder *e, size_t n);
// Room for `n` bytes at the end; raises TOO_LARGE or NO_MEMORY.
static inline uint8_t *pl_encode_room(pl_encoder *e, size_t n) {
  pl_buf *b = e->out;
  bool fits = n - 1 < b->cap - b->end && b->end - b->start + n <= e->bound;
  return fits ? b->data + b->end : pl_encode_grow(e, n);
}
// Raises INVALID with the path of the value that is being encoded: "args[1].cb is a function".
int pl_encode_fail(pl_encoder *e, const char *what);
// At entry of a table: depth and cycles.
void pl_encode_enter(pl_encoder *e, pl_value_frame *f, int table);
static inline void pl_encode_leave(pl_encoder *e) {
  e->frame = e->frame->up;
  e->depth--;
}

typedef enum pl_shape { PL_SHAPE_AUTO, PL_SHAPE_ARRAY } pl_shape;

// Whether mesh.array marked the table; *n is its length then.
pl_shape pl_value_shape(lua_State *L, int table, lua_Integer *n);

// The number at `key` as it shows in a path.
lua_Integer pl_value_path_index(lua_State *L, int key);

// Whether the keys of the table, whose length is `n` > 0, are exactly 1 to n, in whatever order
// lua_next gives them: those of a table that was filled from its end come in any.
bool pl_value_is_sequence(lua_State *L, int table, lua_Integer n);

// Bytes that are to travel as such: mesh.bytes, or an extension that is passed on.
typedef struct pl_blob {
  bool is_ext;
  int8_t ext;
} pl_blob;

// NULL when the value at `index` is none. Else its bytes, alive as long as it is.
const pl_blob *pl_value_blob(lua_State *L, int index, const char **bytes, size_t *len);
void pl_push_ext(lua_State *L, int8_t ext, const void *bytes, size_t len);  // [-0, +1]
// An empty table that is an array. [-0, +1]
void pl_push_empty_array(lua_State *L);

// Raises PROTOCOL.
int pl_decode_fail(lua_State *L, const char *what);

void pl_msgpack_encode(pl_encoder *e, int index);
void pl_msgpack_encode_list(pl_encoder *e, int first, int n);
int pl_msgpack_decode_list(lua_State *L, pl_bytes src);
void pl_msgpack_decode(lua_State *L, pl_bytes src);

void pl_json_encode(pl_encoder *e, int index);
void pl_json_encode_list(pl_encoder *e, int first, int n);
int pl_json_decode_list(lua_State *L, pl_bytes src);
void pl_json_decode(lua_State *L, pl_bytes src);
