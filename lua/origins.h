// The texts of the files that a generation of a script was loaded from. They are kept, so that it
// can be made again when the files have changed or are gone. Loop thread only.
#pragma once

#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

// What tells one version of a file from another.
typedef struct pl_stamp {
  int64_t changed_ns;
  int64_t size;
  uint64_t inode, device;
} pl_stamp;

// False when there is no such file.
bool pl_stamp_read(pl_stamp *out, const char *path);
bool pl_stamp_equal(const pl_stamp *a, const pl_stamp *b);

typedef struct pl_origin {
  char *name;  // of the module; "": the script itself
  char *path;
  pl_slice *text;  // one reference
  pl_stamp stamp;  // zeroed: it was no file
} pl_origin;

// Zeroed: none.
typedef struct pl_origins {
  pl_origin *items;
  size_t count;         // at most PL_ORIGINS_MAX; of more nothing is kept
  char **missed;        // paths at which a module was looked for that is nowhere
  size_t missed_count;  // at most PL_MISSED_MAX; more are forgotten
} pl_origins;

// Reads a whole file. INVALID with `detail` (PL_URL_MAX bytes), and nothing is to be freed.
pl_err pl_origin_read(pl_origin *out, const char *name, const char *path, char *detail);
// A copy of the bytes in place of a file.
pl_err pl_origin_of(pl_origin *out, const char *name, const char *path, pl_bytes text);
void pl_origin_fini(pl_origin *s);

// Takes over what `s` holds, and returns where it is until the next is added; NULL: there are too
// many, and it is freed.
const pl_origin *pl_origins_add(pl_origins *list, pl_origin *s);
const pl_origin *pl_origins_find(const pl_origins *list, const char *name);
// No file was there; nothing new if that is known. Paths that are longer than the system has them
// are left out.
void pl_origins_miss(pl_origins *list, const char *path);
// The same texts, not copied, and what was missed.
void pl_origins_share(pl_origins *out, const pl_origins *in);
void pl_origins_fini(pl_origins *list);

// What is to be compiled: a first line that begins with # is none of Lua's. Borrowed.
pl_bytes pl_origin_text(const pl_origin *s);
// Compiles it, text only; pushes the function, or returns the error of lua_load and pushes the
// message. [-0, +1]
int pl_origin_load(lua_State *L, const pl_origin *s);
