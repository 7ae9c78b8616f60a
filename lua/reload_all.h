// A reload of all scripts of a host whose end somebody waits for. Loop thread only.
#pragma once

#include "lua/host.h"

// Loads all scripts anew, those on worker threads among them. `done` follows once, from the loop:
// each has been loaded, well or not, or is gone. What comes of each is told as by pl_host_reload.
void pl_reload_all(pl_host *h, pl_loop *loop, void (*done)(void *user), void *user);
