// Allocation. Small fixed-size objects cannot fail; anything sized by the network
// or a script goes through pl_try_* and may. Any thread.
#pragma once

#include <stddef.h>

// Zeroed; aborts when memory is exhausted.
void *pl_alloc(size_t size);
#define pl_new(type) ((type *)pl_alloc(sizeof(type)))

// NULL when memory is exhausted, or when a spec injected a failure.
void *pl_try_alloc(size_t size);
// As realloc: on NULL the old block is still owned by the caller.
void *pl_try_realloc(void *old, size_t size);

char *pl_strdup(const char *text);

// NULL is fine.
void pl_free(void *block);

// Blocks not yet freed, for leak checks. Exact while no other thread is at work.
size_t pl_mem_live(void);

// Spec only: the n-th pl_try_* call from now fails, once. 0 disarms.
void pl_mem_fail_at(size_t n);

// For a process that moves big values all the time: what they leave is kept for the next, where
// the C library would give it back and take it again page by page. Once, at the start.
void pl_mem_tune(void);

// Gives back to the system what is free, after much has been freed.
void pl_mem_trim(void);

// These bytes are wanted soon: until then they come into the cache.
static inline void pl_prefetch(const void *p, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 64)
    __builtin_prefetch((const char *)p + at, 1);
}

// The struct that holds `member`, given a pointer to the member.
#define pl_container(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
