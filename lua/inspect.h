// What a node tells of its scripts to who may look into it, as system actions (docs/protocol.md,
// 5.14): `_perilune.ps`, `_perilune.stack`, `_perilune.kill`, `_perilune.mem`,
// `_perilune.describe`, `_perilune.trace`, `_perilune.log`. They run on the loop between the slices
// of scripts, and run no Lua.
#pragma once

#include "lua/host.h"

struct pl_pack;  // lua/pack.h

// `h` outlives its node.
void pl_inspect_open(pl_host *h);

// Whether the VM is one of the host's scripts (bind_inspect parts only).
bool pl_inspect_is_of(const pl_vm *vm, pl_host *h);
void pl_inspect_open_memory(pl_host *h);    // inspect_memory.c
void pl_inspect_open_describe(pl_host *h);  // inspect_describe.c
void pl_inspect_open_trace(pl_host *h);     // inspect_trace.c
void pl_inspect_open_log(pl_host *h);       // inspect_log.c
// A list of what is known of each script that has a file, and of its newest reload.
void pl_inspect_pack_scripts(struct pl_pack *k, pl_host *h);  // inspect_scripts.c
