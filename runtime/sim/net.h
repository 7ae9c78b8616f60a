// A network that does not exist: machines in virtual time, and connections between them that
// behave as TCP does. Bytes arrive in order, cut anywhere, late; the far end's kernel takes only so
// many before they are read; a process that dies leaves resets behind, a machine that loses power
// leaves silence; a path that is down delays what is under way until it is up again.
//
// One thread runs it all. The same seed and the same calls give the same run, to the byte.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/kernel.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "link/link_impl.h"
#include "sim/agenda.h"

typedef struct pl_site pl_site;

// One direction between two machines. Changed by pl_net_shape and pl_net_block.
typedef struct pl_wire {
  uint64_t latency_us;
  uint64_t jitter_us;    // up to so much more, for each segment
  uint64_t bytes_per_s;  // 0: no bound
  uint32_t loss_ppm;     // segments that come only after they were sent again
  bool down;
} pl_wire;

// What the network does wrong where TCP would not: so that specs see that the checks catch it.
typedef enum pl_sabotage {
  PL_SABOTAGE_NONE,
  PL_SABOTAGE_DROP,       // a frame of a circuit is lost now and then
  PL_SABOTAGE_DUPLICATE,  // or comes twice
} pl_sabotage;

// Who listens in: what diallers say, as they give it to the network.
typedef struct pl_tap {
  void (*heard)(struct pl_tap *tap, uint64_t conn, const pl_site *to, const uint8_t *data,
                size_t len);
} pl_tap;

typedef struct pl_net {
  pl_agenda agenda;
  pl_random random;
  pl_list sites;   // of pl_site
  pl_list ready;   // of pl_site, with something to do
  pl_list conns;   // of pl_conn (conn.c)
  pl_map paths;    // from << 32 | to -> pl_wire
  pl_map names;    // address -> pl_name (conn.c)
  pl_wire common;  // what a new path is like
  unsigned site_count;
  uint16_t next_port;
  pl_sabotage sabotage;
  pl_tap *tap;                     // NULL: nobody
  uint64_t connections, segments;  // made so far
} pl_net;

// Starts at 1 s.
void pl_net_init(pl_net *n, uint64_t seed);
void pl_net_fini(pl_net *n);  // sites must be closed
// Runs all machines until that time.
void pl_net_run(pl_net *n, uint64_t until_us);
static inline uint64_t pl_net_now_us(const pl_net *n) {
  return n->agenda.now_us;
}

pl_wire *pl_net_path(pl_net *n, const pl_site *from, const pl_site *to);
// From now on the path is like `shape`, but for `down`; what is under way comes no later for it.
void pl_net_shape(pl_net *n, const pl_site *from, const pl_site *to, const pl_wire *shape);
// Nothing arrives any more at `to` of what `from` sent, until it is up again.
void pl_net_block(pl_net *n, const pl_site *from, const pl_site *to, bool down);
// Ends the connections between two machines at a random byte of what is under way. An end that is
// not told goes on believing in it: until it sends and is answered with a reset, or with `mute` for
// ever. Returns how many there were.
unsigned pl_net_cut(pl_net *n, const pl_site *a, const pl_site *b, bool a_told, bool b_told,
                    bool mute);

// A machine, on which one process at a time runs.
struct pl_site {
  pl_scheme scheme;  // of its loop, to find it by
  pl_list node;
  pl_list in_ready;
  pl_net *net;
  unsigned number;
  char *name;
  pl_kernel kernel;  // what its process asks
  pl_loop *loop;     // of the process; NULL while there is none
  pl_event wake;
  bool running;     // its process has the thread
  bool paused;      // by pl_site_pause
  bool dark;        // without power: what comes waits for it
  bool severed;     // its process is being buried
  uint64_t lag_us;  // how long it takes to notice anything
  // The clock of the loop: at `since_us` of the net it showed `local_us`.
  uint64_t since_us, local_us;
  uint64_t rate_ppm;
  int64_t wall_offset_us;
};

pl_site *pl_site_new(pl_net *n, const char *name);
// A process begins: a loop of its own, with `log` handed over. The site must have none.
pl_loop *pl_site_boot(pl_site *s, pl_log *log);
// It ends without a word of its own: as by kill -9, or with `dark` as when the power fails. Its
// loop is out of the network from now on, and must be taken down: pl_site_bury, pl_site_close.
void pl_site_kill(pl_site *s, bool dark);
// Runs the loop of a killed process, outside of time, until *over.
void pl_site_bury(pl_site *s, const bool *over);
// The process is over, and nothing of it is left: frees its loop.
void pl_site_close(pl_site *s);
// The power is back: what was sent to it meanwhile finds nobody.
void pl_site_light(pl_site *s);

// Calls into the process from outside go between these: its clock is right, and what is due
// follows.
pl_kernel *pl_site_enter(pl_site *s);
void pl_site_leave(pl_site *s, pl_kernel *before);
// It has something to do.
void pl_site_touch(pl_site *s);

// SIGSTOP and SIGCONT.
void pl_site_pause(pl_site *s, bool paused);
// How fast its clock goes: 1000000 is right.
void pl_site_set_rate(pl_site *s, uint64_t ppm);
// Its clock leaps ahead, as on a virtual machine that was moved.
void pl_site_leap(pl_site *s, uint64_t us);
// Its wall clock is set.
void pl_site_set_wall_offset(pl_site *s, int64_t us);

// For net.c and conn.c.
extern const pl_scheme pl_scheme_sim;
void pl_conns_kill(pl_site *s, bool dark);
void pl_conns_resume(pl_net *n, const pl_wire *path, const pl_site *lit);
void pl_conns_hurry(pl_net *n, const pl_wire *path);
void pl_conns_fini(pl_net *n);
static inline pl_site *pl_site_of(const pl_loop *loop) {
  return (pl_site *)(uintptr_t)pl_container(loop->network, pl_site, scheme);
}
