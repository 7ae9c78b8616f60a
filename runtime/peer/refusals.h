// Who was refused as unauthorized: each address is news once, then less and less often, so that a
// stranger who tries again and again does not fill the log. Pure: it is told the time.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct pl_refusals pl_refusals;

pl_refusals *pl_refusals_new(void);
void pl_refusals_free(pl_refusals *r);  // NULL is fine

// `from` was refused. The times that this happened since it was last told (> 0) when it is to be
// told now, else 0. Past PL_REFUSALS_MAX addresses the rest counts as one, *from is then "others".
uint64_t pl_refusals_note(pl_refusals *r, const char **from, uint64_t now_us);
