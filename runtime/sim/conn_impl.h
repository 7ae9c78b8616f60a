// Shared by the files that make up the connections of a simulated network: conn.c, names.c and
// faults.c. A link of a process is one end of a connection; what lies between the two is what
// kernels and wires have of it.
//
//     end 0 (dialled)                                            end 1 (accepted)
//     link.out --> [ half 0: segments on their way | arrived ] --> on_bytes
//     on_bytes <-- [ arrived | segments on their way : half 1 ] <-- link.out
#pragma once

#include "base/buf.h"
#include "sim/net.h"
#include "sim/sabotage.h"

typedef enum pl_segment_kind {
  PL_SEGMENT_OPEN,
  PL_SEGMENT_ACCEPTED,
  PL_SEGMENT_REFUSED,
  PL_SEGMENT_DATA,
  PL_SEGMENT_END,
  PL_SEGMENT_RESET,
} pl_segment_kind;

typedef struct pl_segment {
  pl_list node;
  uint64_t at_us;
  pl_segment_kind kind;
  size_t len;
  uint8_t data[];
} pl_segment;

typedef struct pl_end pl_end;
typedef struct pl_sim_listener pl_sim_listener;
typedef struct pl_conn pl_conn;

// One direction.
typedef struct pl_half {
  pl_conn *conn;
  pl_wire *path;
  pl_list segments;  // on their way, in order
  pl_event arrival;  // of the first
  bool stalled;      // the first could not arrive
  size_t flying;     // bytes sent and not acknowledged
  size_t unacked;    // of these, arrived while acknowledgements do not come through
  uint64_t free_us;  // when the path has taken what it was given
  pl_buf arrived;    // and not yet read
  bool ended, reset;
  pl_saboteur saboteur;
} pl_half;

struct pl_conn {
  pl_list node;
  pl_list in_backlog;
  pl_net *net;
  uint64_t number;
  pl_site *sites[2];  // 1: NULL where nobody has that address
  pl_end *ends[2];    // NULL: closed, or not accepted yet
  pl_half halves[2];  // [i] carries what end i sends
  struct pl_sim_name *name;
  bool pending;  // in the backlog of a listener
  bool severed;  // nothing passes any more,
  bool mute;     // and who sends is not told
};

struct pl_end {
  pl_link link;
  pl_site *site;
  pl_conn *conn;  // NULL: the other end, and the network, are gone
  int side;
  bool accepted, refused;  // what became of the dial
  pl_work io_work;
};

// An address, known from its first listener on.
typedef struct pl_sim_name {
  pl_site *site;
  pl_sim_listener *listener;  // NULL: nobody listens now
} pl_sim_name;

struct pl_sim_listener {
  pl_listener listener;
  pl_sim_name *name;
  pl_list backlog;  // of pl_conn
  size_t waiting;
  pl_work accept_work, stopped_work;
};

// conn.c
pl_conn *pl_conn_new(pl_site *from, pl_sim_name *to);
void pl_conn_free_unused(pl_conn *c);  // if neither end refers to it any more
pl_end *pl_end_new(pl_site *site, pl_link_state state, pl_conn *c, int side);
void pl_end_poke(pl_end *e);  // it has something to do; NULL is fine
void pl_half_send(pl_half *h, pl_segment_kind kind, const uint8_t *data, size_t len);
void pl_half_drop_segments(pl_half *h);
bool pl_half_can_arrive(const pl_half *h);
void pl_half_expect_first(pl_half *h, uint64_t not_before_us);
void pl_half_acknowledge(pl_half *h, size_t len);
void pl_conn_tell_reset(pl_conn *c, int side);

// names.c
void pl_conn_open_arrived(pl_conn *c);
