// Memory straight from the system, for blocks that are many and live for very different times:
// among those of the C library they would leave holes that nothing else fits. Any thread.
#pragma once

#include <stddef.h>

// `size` bytes, a power of two and of pages, zeroed, at a multiple of it; NULL when memory is
// exhausted.
void *pl_pages_map(size_t size);
void pl_pages_unmap(void *pages, size_t size);
// How many bytes are mapped at this moment.
size_t pl_pages_bytes(void);
