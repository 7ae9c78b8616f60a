// What the two codecs of lua/value.h share.
#pragma once

#include "base/err.h"
#include "lua/value.h"

// One table that is being encoded; its key tells the path of an error.
typedef struct pl_value_frame {
  struct pl_value_frame *up;
  int table;          // its index on the stack; 0: a list of values
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
  pl_bytes *tail;  // a long string at the end may go here; NULL: all goes to `out`
  int count;       // of the list
  bool passes;     // streams may be among the values
} pl_encoder;

// Of values that go to `out`, behind what is there; `root` and `max` as of pl_values_encode.
pl_encoder pl_encoder_of(lua_State *L, const char *root, size_t max, pl_buf *out);
// The `n` values from `first` on, as one array.
void pl_encode_list(pl_encoder *e, pl_codec codec, int first, int n);

uint8_t *pl_encode_grow(pl_encoder *e, size_t n);
// Room for `n` bytes at the end; raises TOO_LARGE or NO_MEMORY.
static inline uint8_t *pl_encode_room(pl_encoder *e, size_t n) {
  pl_buf *b = e->out;
  bool fits = n - 1 < b->cap - b->end && b->end - b->start + n <= e->bound;
  return fits ? b->data + b->end : pl_encode_grow(e, n);
}
// Raises INVALID with the path of the value that is being encoded: "args[1].cb is a function".
int pl_encode_fail(pl_encoder *e, const char *what);
// Raises INVALID: "args[1] is a function".
int pl_encode_fail_type(pl_encoder *e, int type);

// How a codec writes the table at `index`, once it is known what it is.
typedef struct pl_table_writer {
  // Its elements 1 to n, whatever they are.
  void (*array)(pl_encoder *e, int index, lua_Integer n);
  // The same in the order of lua_next, which is faster. False when its keys did not come as 1, 2, …
  // n: then nothing is left of the attempt, and the stack is as before.
  bool (*sequence)(pl_encoder *e, int index, lua_Integer n);
  void (*map)(pl_encoder *e, int index);
} pl_table_writer;

// A table is an array when mesh.array says so, or its keys are exactly 1 to n > 0; else a map.
void pl_encode_table(pl_encoder *e, int index, const pl_table_writer *w);

typedef enum pl_key_kind { PL_KEY_NONE, PL_KEY_STRING, PL_KEY_NUMBER } pl_key_kind;

int pl_encode_fail_key(pl_encoder *e, pl_key_kind kind);
void pl_encode_at_number(pl_encoder *e, int key);

// The kind of the key at `key`, which the path then ends with. Raises INVALID when it can be none,
// or is another than `before`, that of the keys so far.
static inline pl_key_kind pl_encode_key(pl_encoder *e, int key, pl_key_kind before) {
  int type = lua_type(e->L, key);
  pl_key_kind kind = type == LUA_TSTRING   ? PL_KEY_STRING
                     : type == LUA_TNUMBER ? PL_KEY_NUMBER
                                           : PL_KEY_NONE;
  if (kind == PL_KEY_NONE || (before != PL_KEY_NONE && kind != before)) {
    pl_encode_fail_key(e, kind);
  }
  if (kind == PL_KEY_STRING) {
    e->frame->key = lua_tostring(e->L, key);
  } else {
    pl_encode_at_number(e, key);
  }
  return kind;
}

// Bytes that are to travel as such: mesh.bytes, or an extension that is passed on.
typedef struct pl_blob {
  bool is_ext;
  int8_t ext;
} pl_blob;

// NULL when the value at `index` is none. Else its bytes, alive as long as it is.
const pl_blob *pl_value_blob(lua_State *L, int index, const char **bytes, size_t *len);
// What the metatable of the table at *index says of it. True: mesh.array marked it, and *n is its
// length. Of a view *index becomes its target, which stays on the stack. [-0, +?]
bool pl_value_is_marked(lua_State *L, int *index, lua_Integer *n);
void pl_push_ext(lua_State *L, int8_t ext, const void *bytes, size_t len);  // [-0, +1]
// An empty table that is an array. [-0, +1]
void pl_push_empty_array(lua_State *L);

// Raises PROTOCOL.
int pl_decode_fail(lua_State *L, const char *what);

void pl_msgpack_encode(pl_encoder *e, int index);
void pl_msgpack_encode_list(pl_encoder *e, int first, int n);
int pl_msgpack_decode_list(lua_State *L, pl_bytes src, bool take);
void pl_msgpack_decode(lua_State *L, pl_bytes src);

void pl_json_encode(pl_encoder *e, int index);
void pl_json_encode_list(pl_encoder *e, int first, int n);
int pl_json_decode_list(lua_State *L, pl_bytes src);
void pl_json_decode(lua_State *L, pl_bytes src);
