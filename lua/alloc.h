// The allocator of a state: a byte budget, and slabs for small sizes, because a call makes a
// handful of small objects and the general allocator would cost as much as the rest of it. An empty
// slab serves any size, so that a script that fills its budget with one size after the other does
// not hold a multiple of it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { PL_ALLOC_STEP = 16, PL_ALLOC_CLASSES = 128 };  // sizes up to 2048 bytes are pooled

typedef struct pl_alloc_state {
  size_t used;   // bytes that the state asked for;
  size_t large;  // of these, in blocks that are not pooled: long strings, large tables
  size_t limit;  // 0 = none; what is there may grow a little past it
  bool enforce;  // refuse growth past the limit: while script code runs
  // A block was refused, which Lua may ask for again, or raise. May look at the state, no more;
  // NULL: nobody wants to know.
  void (*on_refused)(struct pl_alloc_state *a);
  struct pl_alloc_slab *slabs[PL_ALLOC_CLASSES];  // those with room, of each size
  struct pl_alloc_slab *empty;                    // for any size
  size_t slab_count, empty_count;                 // all, and those
  size_t string_front;  // bytes of a long string in front of its text; 0: not known
  pl_slice *offered;    // what is in memory that Lua may have; NULL: nothing
  void *offered_block;
  size_t offered_size;
} pl_alloc_state;

// A lua_Alloc; `ud` is the pl_alloc_state, zeroed at first.
void *pl_alloc_lua(void *ud, void *block, size_t old_size, size_t size);
// An owner for a part of a string, which stays where it is until that is dropped, even when Lua has
// collected the string, or the state is gone. `object` is what lua_topointer says of the string, of
// `len` bytes at `text`. NULL: it is short, or no memory. Of the state's thread.
pl_slice *pl_alloc_pin(const void *object, const char *text, size_t len);
// The string that is pushed next, the `len` bytes at `text`, gets the memory in which they lie
// already, so that Lua copies them to where they are. That belongs to `owner`, which nobody else
// may hold or look at any more, and which Lua holds until it collects the string. What is in front
// of the text is lost. False: it does not fit, and nothing changed. Else pl_alloc_withdraw must
// follow. Lua copies by memcpy, of which ISO C does not say what it does where both places are one;
// GCC and Clang say it, as they copy structs so: nothing. Lua has no other way to make a string.
bool pl_alloc_offer(pl_alloc_state *a, pl_slice *owner, const uint8_t *text, size_t len);
static inline void pl_alloc_withdraw(pl_alloc_state *a) {  // the string was pushed
  a->offered = NULL;
}
// What is free goes back to the system: after a state was full.
void pl_alloc_trim(pl_alloc_state *a);
// Gives everything back, after lua_close.
void pl_alloc_fini(pl_alloc_state *a);
