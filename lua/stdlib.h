// The standard library for scripts: the Lua files below stdlib/, as bytes in the
// executable. The build writes the table (stdlib/embed.cmake); it is constant and
// may be read from any thread.
#pragma once

#include <stddef.h>

typedef struct pl_stdlib_module {
  const char *name;             // as `require` takes it: `perilune`, `perilune.fs`
  const unsigned char *source;  // Lua text, `len` bytes
  size_t len;
} pl_stdlib_module;

// Ends with an entry whose name is NULL.
extern const pl_stdlib_module pl_stdlib_modules[];

// NULL: there is no such module.
const pl_stdlib_module *pl_stdlib_find(const char *name);
