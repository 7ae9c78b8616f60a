// A call as a node sees it (perilune_monitor.h) as fields of a map: in events, and of traces.
#pragma once

#include "lua/pack.h"

// "outgoing", "incoming", "local" or "forwarded".
const char *pl_side_name(pl_side side);
// How many fields pl_span_pack appends. `whole`: it has ended, and how is told.
size_t pl_span_fields(const pl_span *s, bool whole);
void pl_span_pack(pl_pack *k, const pl_span *s, bool whole);
