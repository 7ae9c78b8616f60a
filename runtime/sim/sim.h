// A mesh under disasters: nodes with the code of every day, on a network that does not exist, do
// random work while links, machines and clocks fail; then all is well again, and what happened is
// checked. One seed is one run, to the byte.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/net.h"
#include "sim/topology.h"

enum { PL_SIM_NODES_MAX = 2000 };

typedef struct pl_sim_config {
  uint64_t seed;
  unsigned nodes;  // 2 to PL_SIM_NODES_MAX
  double minutes;  // of disasters, virtual
  pl_topology topology;
  pl_sabotage sabotage;
  bool calm;       // no disasters
  bool slander;    // an intruder inside the mesh tells records of other nodes, too
  unsigned flaps;  // not 0: a mesh at rest of which so many links are lost and come back, no more
  FILE *trace;     // every event as it happens, and what the nodes log; or NULL
} pl_sim_config;

// The kinds of what nodes do and suffer, for the report.
typedef struct pl_sim_counts {
  uint64_t calls, streams;                             // begun
  uint64_t ok, cancelled, orphaned;                    // orphaned: its caller died
  uint64_t not_sent, not_executed, unknown, executed;  // failed, and what was known
  uint64_t executions, chunks;
  uint64_t rotations;        // changes of the keys of a node
  uint64_t visits, foreign;  // of the intruder, and handlers that ran for it
  uint64_t copies;           // nodes with the id of another
  uint64_t crashes, cuts, partitions, pauses, clocks, slow, churn;
  uint64_t links_opened, links_lost, frames, bytes, segments;
} pl_sim_counts;

// What became of lost links: medians, and means by node and flap.
typedef struct pl_sim_flaps {
  uint64_t lost_us;     // from the loss until every table is right
  uint64_t back_us;     // from the return
  double cpu_us;        // real: what the simulation of a node took, less what it takes at rest
  double adverts;       // frames about the mesh
  double rest_adverts;  // by node and minute, at rest
} pl_sim_flaps;

enum { PL_SIM_WHY = 400 };

typedef struct pl_sim_report {
  pl_sim_counts counts;
  unsigned leaves;
  uint64_t virtual_us;
  uint64_t converged_us;  // from the end of the disasters until every table was right
  pl_sim_flaps flaps;
  uint64_t digest;  // of all that happened
  bool violated;
  char why[PL_SIM_WHY];  // what is wrong
  char *events;          // the last ones before that, a line each; owned
} pl_sim_report;

void pl_sim_run(const pl_sim_config *config, pl_sim_report *out);
void pl_sim_report_free(pl_sim_report *r);
