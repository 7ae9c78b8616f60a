// `_perilune.reload`: reloads of the scripts of a node, for who may look into it (docs/protocol.md,
// 5.14).
#pragma once

#include "lua/host.h"

// `h` outlives its node.
void pl_reload_action_open(pl_host *h);
