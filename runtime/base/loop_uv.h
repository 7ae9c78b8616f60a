// What drives a loop in real time, for loop.c.
#pragma once

#include "base/loop.h"

void pl_loop_uv_open(pl_loop *l);
// Asserts that no libuv handle of others is left.
void pl_loop_uv_close(pl_loop *l);
