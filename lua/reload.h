// Reloads of a script, one after the other. One that is asked for while another is under way begins
// when that is over, together with all that were asked for meanwhile.
//
//   IDLE --> WAITING --> LOADING --> UNLOADING --> TAKING --> IDLE
//             for room   the main     on_unload    on_load,
//                        chunk        of the old   then the swap
//
// Whatever fails, the generation that serves goes on. Loop thread only.
#pragma once

#include "base/failure.h"
#include "lua/bind_action.h"
#include "lua/host.h"

typedef struct pl_reload pl_reload;

// What came of it. Shared, and never changed.
typedef struct pl_reload_report {
  unsigned refs;
  char *script;         // its path
  unsigned generation;  // that serves now
  uint64_t took_us;
  bool failed;
  pl_failure failure;  // owned
  pl_difference difference;
} pl_reload_report;

static inline pl_reload_report *pl_reload_report_hold(pl_reload_report *r) {
  r->refs++;
  return r;
}
void pl_reload_report_drop(pl_reload_report *r);
// Tells the monitors of the node.
void pl_reload_report_tell(const pl_reload_report *r, pl_node *n);
// "+added -removed ~replaced", in that order. [appends]
void pl_reload_report_put(const pl_reload_report *r, pl_buf *out);
// One map, as _perilune.reload answers. [appends]
void pl_reload_report_encode(const pl_reload_report *r, pl_buf *out);
// The failure as a person reads it: its text and traceback.
void pl_reload_failure_put(const pl_reload_report *r, pl_buf *out);

// Who waits for a reload: told once, from the loop, unless it is taken back.
typedef struct pl_reload_wait {
  pl_list node;
  void (*done)(struct pl_reload_wait *w, pl_reload_report *r);  // `r` is borrowed
} pl_reload_wait;
void pl_reload_wait_cancel(pl_reload_wait *w);

pl_reload *pl_reload_new(pl_script *s);
// Who waits is told that it did not come to it. What it has made is the script's to free.
void pl_reload_free(pl_reload *r);
// Loads the script anew. `w` may be NULL.
void pl_reload_ask(pl_reload *r, pl_reload_wait *w);
bool pl_reload_is_idle(const pl_reload *r);
// The files of the newest attempt are others by now: the script is loaded anew. Of an attempt that
// has not ended this is the end, and who waits for it waits for the next one.
void pl_reload_changed(pl_reload *r);
// Whether it may be told so now: idle, or loading what is on the disk. A load is let be when
// PL_RELOAD_BREAKS_MAX before it were broken off: files that never rest are loaded now and then.
bool pl_reload_minds_changes(const pl_reload *r);
// What came of the newest reload that is over, and when (pl_now_us); NULL: there was none. Borrowed
// until the next is over.
const pl_reload_report *pl_reload_last(const pl_reload *r, uint64_t *ended_us);
// The first generation has loaded, or a generation is gone: one that waits may begin.
void pl_reload_go_on(pl_reload *r);
// The files of the newest attempt: of what loads, so far, or of what serves, or of what could not
// be loaded after it.
const pl_origins *pl_reload_origins(const pl_reload *r);
