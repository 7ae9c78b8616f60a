// The handles of tasks in scripts: what mesh.spawn returns.
#pragma once

#include <lua.h>

#include "lua/task.h"

// The task of the handle at `arg`; raises when it is none.
pl_task *pl_check_task(lua_State *L, int arg);
// Who waits for it: the task whose child it is, or that awaits it; NULL: nobody.
const pl_task *pl_task_waiter(const pl_task *t);
// The results of the ended task of the handle at `index`, and their number; raises its error.
// [-0, +n]
int pl_task_push_results(lua_State *L, int index);
// A closed scope. Collecting it closes it. [-0, +1]
struct pl_scope *pl_scope_push(lua_State *L);
