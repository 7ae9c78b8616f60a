// What drives a loop in real time, for loop.c.
#pragma once

#include "base/loop.h"

void pl_loop_uv_open(pl_loop *l);
// Asserts that no libuv handle of others is left.
void pl_loop_uv_close(pl_loop *l);
// A turn without the work that stands behind all other (loop.c).
void pl_loop_serve(pl_loop *l);
