// Doors: links between the loops of one process, each on a thread of its own. A listener at
// door://NAME is a name in this process and nowhere else; a dial of it, from whatever thread, makes
// a pair of connected Unix sockets and hands one end to the loop of the listener. Internal to
// link/.
#pragma once

#include "link/link_impl.h"

// Connects to the listener of that name. Returns the descriptor of this end, which does not block,
// or the negative error: ECONNREFUSED when nobody listens. Any thread.
int pl_door_knock(const char *name);
