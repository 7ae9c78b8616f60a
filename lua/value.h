// Lua values on the wire: MessagePack or JSON straight from and to the stack, exactly as the
// guide (docs/actions.md) says: integers stay integers, floats floats, valid UTF-8 travels as text
// and other strings as binary, mesh.bytes forces binary, mesh.null and mesh.array are kept.
#pragma once

#include <lua.h>

#include "base/buf.h"

typedef enum pl_codec { PL_CODEC_MSGPACK = 0, PL_CODEC_JSON = 1 } pl_codec;

// Appends the `n` values from `first` on as one array. Raises an error object (INVALID, not_sent)
// that names the path
// (`args[1].user.cb is a function`), `root` being its first word, or TOO_LARGE past `max` bytes.
// [-0, +0]
void pl_values_encode(lua_State *L, pl_codec codec, int first, int n, const char *root, size_t max,
                      pl_buf *out);

// The same to be sent: into the scratch memory of the VM, where it stays until the next use of
// that, or on its own if it is long. A long string at the end is not copied. To be dropped.
void pl_values_pack(lua_State *L, pl_codec codec, int first, int n, const char *root, size_t max,
                    pl_parts *out);

// Pushes the values of one encoded array and returns their number. Raises PROTOCOL on bad bytes
// (strict: types, UTF-8, depth, counts). In-stream nil inside containers reads as mesh.null. Needs
// 16 free slots, as a C function has them. [-0, +n]
int pl_values_decode(lua_State *L, pl_codec codec, pl_bytes src);

// The same of bytes that are nobody else's and that nobody looks at again: a string that ends them,
// and is most of them, stays where it is.
int pl_values_take(lua_State *L, pl_codec codec, pl_bytes src);

// One value. [-0, +0] / [-0, +1]
void pl_value_encode(lua_State *L, pl_codec codec, int index, const char *root, size_t max,
                     pl_buf *out);
void pl_value_decode(lua_State *L, pl_codec codec, pl_bytes src);

// The explicit null (also the chunk value nil in a for loop): a light userdata. [-0, +1]
void pl_push_null(lua_State *L);
bool pl_is_null(lua_State *L, int index);

// Opens {null, bytes, array}: mesh.bytes(s), mesh.array(t [, n]), mesh.null. [-0, +1]
int pl_open_value(lua_State *L);
