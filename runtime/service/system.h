// System actions: what a node serves itself, for its tools and for other nodes, beside the actions
// of its scripts. Nobody is told of them: a caller names the node. They take no slot of scripts and
// wait in no queue, so they are answered however busy the node is, also while it drains.
//
// Names that begin with PL_SYSTEM_PREFIX are guarded: only who may look into this node calls them
// (docs/protocol.md, 5.14). The others, `_ping` among them, are for everyone.
#pragma once

#include "service/action.h"

#define PL_SYSTEM_FORBIDDEN_TEXT \
  "only authenticated nodes, and those of this machine, may call what a node serves itself"

void pl_system_init(pl_service *sv);
void pl_system_fini(pl_service *sv);

// One that is not there may be at another node.
bool pl_system_is_guarded(pl_bytes name);
// Whether a guarded call may come, or pass, from there: the other end is a process of this user or
// at this machine's own address, or has proved that it belongs to the mesh.
bool pl_system_lets_in(const pl_channel *ch);
// NULL when this node has none of that name.
pl_action *pl_system_find(pl_service *sv, pl_bytes name);

// Whether calls of that name go to the node that they name, which alone knows whether it has it.
static inline bool pl_system_is_known(pl_service *sv, pl_bytes name) {
  return pl_system_is_guarded(name) || pl_system_find(sv, name) != NULL;
}

// `r`, whose arguments are whole and whose action is of the system: starts, or is refused.
void pl_system_admit(pl_request *r);
// Its handler has ended.
void pl_system_release(pl_request *r);
