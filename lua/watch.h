// Looks whether the files of a script have changed, and has it reloaded then. It asks the file
// system ten times a second rather than to be told: that also works where files are on another
// machine or mounted into a container, when folders are moved away and come back, and there is no
// limit of watched files. The asking is done in the pool of file work. Loop thread only.
#pragma once

#include "lua/script.h"

typedef struct pl_script_watch pl_script_watch;

// NULL when the system has no descriptor for it. `s` outlives it.
pl_script_watch *pl_script_watch_new(pl_script *s);
void pl_script_watch_free(pl_script_watch *w);
