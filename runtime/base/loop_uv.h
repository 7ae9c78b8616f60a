// What drives a loop in real time, for loop.c.
#pragma once

#include "base/loop.h"

void pl_loop_uv_open(pl_loop *l);
// Asserts that no libuv handle of others is left.
void pl_loop_uv_close(pl_loop *l);
// The two parts of a turn (loop.c): the work, and one of what stands behind it.
void pl_loop_serve(pl_loop *l);
void pl_loop_serve_behind(pl_loop *l);
