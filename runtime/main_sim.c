// perilune sim: a mesh under disasters, in virtual time. The same seed prints the same bytes;
// what depends on the machine goes to standard error.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "main.h"
#include "sim/sim.h"
#include "wire/json.h"

const pl_flag pl_sim_flags[] = {
    {"seed", "N", "what everything follows from [1]"},
    {"seeds", "A..B", "a run for each of them; only those with a fault are told at length"},
    {"nodes", "N", "2 to 2000 [follows from the seed, 2 to 8]"},
    {"minutes", "N", "how long the disasters last, in virtual time [0.5]"},
    {"topology", "WORD", "line, ring, star, tree, full or random [follows from the seed]"},
    {"calm", NULL, "no disasters"},
    {"slander", NULL, "intruders also tell records of other nodes"},
    {"flaps", "N", "nothing but so many links that are lost and come back: how long it takes"},
    {"trace", NULL, "print every event, and what the nodes log"},
    {"sabotage", "WORD", "drop or duplicate frames, which must be found"},
    {"json", NULL, "one line of JSON a run"},
    {0},
};

const char pl_sim_text[] =
    "Nodes call and stream each other in virtual time while links break, machines stop and clocks\n"
    "go wrong; then everything is healed, and what happened is checked: every call has ended once\n"
    "and truly, nothing ran twice that must not, every node sees what is there. The same seed\n"
    "prints the same; a run with a fault ends with 1 and the command that replays it.\n"
    "\n"
    "  perilune sim --seeds 1..1000\n"
    "  perilune sim --seed 42 --nodes 50 --minutes 5 --topology ring\n";

typedef struct request {
  pl_sim_config config;
  uint64_t first, last;              // seeds
  bool nodes_given, topology_given;  // else they follow from the seed
  bool json;
} request;

// "--nodes=5" -> "5" when the flag is that one.
static const char *value_of(const char *flag, const char *name) {
  size_t len = strlen(name);
  return strncmp(flag + 2, name, len) == 0 && flag[2 + len] == '=' ? flag + 3 + len : NULL;
}

static bool read_seeds(request *r, const char *text) {
  char *end;
  r->first = r->last = strtoull(text, &end, 10);
  if (end == text || text[0] == '-') return false;
  if (*end == '\0') return true;
  if (strncmp(end, "..", 2) != 0) return false;
  const char *second = end + 2;
  r->last = strtoull(second, &end, 10);
  return end != second && *second != '-' && *end == '\0' && r->last >= r->first;
}

static bool read_sabotage(request *r, const char *text) {
  if (strcmp(text, "drop") == 0) {
    r->config.sabotage = PL_SABOTAGE_DROP;
  } else if (strcmp(text, "duplicate") == 0) {
    r->config.sabotage = PL_SABOTAGE_DUPLICATE;
  } else {
    return false;
  }
  return true;
}

// NULL, or what is wrong.
static const char *read_flag(request *r, const char *flag) {
  const char *v;
  if ((v = value_of(flag, "seed")) != NULL || (v = value_of(flag, "seeds")) != NULL) {
    if (!read_seeds(r, v)) return "--seed is a number, --seeds a range like 1..100";
  } else if ((v = value_of(flag, "nodes")) != NULL) {
    r->nodes_given = true;
    r->config.nodes = (unsigned)strtoul(v, NULL, 10);
    if (r->config.nodes < 2 || r->config.nodes > PL_SIM_NODES_MAX)
      return "--nodes is a number from 2 to 2000";
  } else if ((v = value_of(flag, "minutes")) != NULL) {
    r->config.minutes = strtod(v, NULL);
    if (r->config.minutes > 100000) return "--minutes is at most 100000";
  } else if ((v = value_of(flag, "topology")) != NULL) {
    r->topology_given = true;
    if (!pl_topology_parse(&r->config.topology, v))
      return "--topology is line, ring, star, tree, full or random";
  } else if ((v = value_of(flag, "sabotage")) != NULL) {
    if (!read_sabotage(r, v)) return "--sabotage is drop or duplicate";
  } else if ((v = value_of(flag, "flaps")) != NULL) {
    r->config.flaps = (unsigned)strtoul(v, NULL, 10);
    if (r->config.flaps > 1000) return "--flaps is at most 1000";
  } else if (strcmp(flag, "--calm") == 0) {
    r->config.calm = true;
  } else if (strcmp(flag, "--slander") == 0) {
    r->config.slander = true;
  } else if (strcmp(flag, "--trace") == 0) {
    r->config.trace = stdout;
  } else {
    r->json = true;
  }
  return NULL;
}

// The mesh of a seed, where it was not given: small ones of every kind.
static pl_sim_config config_of(const request *r, uint64_t seed) {
  pl_sim_config c = r->config;
  c.seed = seed;
  if (!r->nodes_given) c.nodes = 2 + (unsigned)(seed / 6 % 7);
  if (!r->topology_given) c.topology = (pl_topology)(seed % 6);
  return c;
}

static void print_command(const pl_sim_config *c) {
  printf("perilune sim --seed %" PRIu64 " --nodes %u --minutes %.10g --topology %s%s%s%s\n",
         c->seed, c->nodes, c->minutes, pl_topology_name(c->topology), c->calm ? " --calm" : "",
         c->slander ? " --slander" : "",
         c->sabotage == PL_SABOTAGE_NONE   ? ""
         : c->sabotage == PL_SABOTAGE_DROP ? " --sabotage drop"
                                           : " --sabotage duplicate");
}

static void print_violation(const pl_sim_config *c, const pl_sim_report *r) {
  printf("the last events:\n%s", r->events);
  printf("VIOLATION: %s\nreplay with: ", r->why);
  print_command(c);
}

static void print_report(const pl_sim_config *c, const pl_sim_report *r) {
  const pl_sim_counts *n = &r->counts;
  print_command(c);
  printf("time       %.3f s, virtual\n", (double)r->virtual_us / 1e6);
  printf("disasters  %" PRIu64 " cuts, %" PRIu64 " partitions, %" PRIu64 " deaths, %" PRIu64
         " stops, %" PRIu64 " slow, %" PRIu64 " clocks, %" PRIu64 " actions, %" PRIu64
         " keys, %" PRIu64 " visits, %" PRIu64 " copies\n",
         n->cuts, n->partitions, n->crashes, n->pauses, n->slow, n->clocks, n->churn, n->rotations,
         n->visits, n->copies);
  printf("links      %" PRIu64 " opened, %" PRIu64 " lost; %" PRIu64 " frames, %" PRIu64
         " bytes in %" PRIu64 " segments\n",
         n->links_opened, n->links_lost, n->frames, n->bytes, n->segments);
  printf("calls      %" PRIu64 " and %" PRIu64 " streams: %" PRIu64 " ok, %" PRIu64
         " cancelled, %" PRIu64 " died with their caller\n",
         n->calls, n->streams, n->ok, n->cancelled, n->orphaned);
  printf("failed     %" PRIu64 " not sent, %" PRIu64 " not executed, %" PRIu64 " unknown, %" PRIu64
         " executed\n",
         n->not_sent, n->not_executed, n->unknown, n->executed);
  printf("handlers   %" PRIu64 " ran, %" PRIu64 " chunks\n", n->executions, n->chunks);
  printf("converged  %.1f s after the last disaster\n", (double)r->converged_us / 1e6);
  printf("digest     %016" PRIx64 "\n", r->digest);
  if (r->violated)
    print_violation(c, r);
  else
    printf("no violation\n");
}

static void print_flaps(const pl_sim_config *c, const pl_sim_report *r) {
  const pl_sim_flaps *f = &r->flaps;
  printf("%u nodes, %s, %u links lost and back\n", c->nodes, pl_topology_name(c->topology),
         c->flaps);
  printf("lost   every table is right after %.3f s\n", (double)f->lost_us / 1e6);
  printf("back   every table is right after %.3f s\n", (double)f->back_us / 1e6);
  printf("flap   %.1f frames about the mesh by a node\n", f->adverts);
  printf("rest   %.1f in a minute\n", f->rest_adverts);
  fprintf(stderr, "cpu    %.0f us of a node for a flap\n", f->cpu_us);
  if (r->violated) print_violation(c, r);
}

static void put(pl_buf *out, const char *name, uint64_t value) {
  pl_buf_append(out, ",\"", 2);
  pl_buf_append(out, name, strlen(name));
  pl_buf_append(out, "\":", 2);
  pl_json_put_integer(out, (int64_t)value);
}

static void put_counts(pl_buf *out, const pl_sim_counts *n) {
  put(out, "calls", n->calls);
  put(out, "streams", n->streams);
  put(out, "ok", n->ok);
  put(out, "cancelled", n->cancelled);
  put(out, "orphaned", n->orphaned);
  put(out, "not_sent", n->not_sent);
  put(out, "not_executed", n->not_executed);
  put(out, "unknown", n->unknown);
  put(out, "executed", n->executed);
  put(out, "executions", n->executions);
  put(out, "chunks", n->chunks);
  put(out, "rotations", n->rotations);
  put(out, "visits", n->visits);
  put(out, "foreign", n->foreign);
  put(out, "copies", n->copies);
  put(out, "cuts", n->cuts);
  put(out, "partitions", n->partitions);
  put(out, "deaths", n->crashes);
  put(out, "links_opened", n->links_opened);
  put(out, "links_lost", n->links_lost);
  put(out, "frames", n->frames);
  put(out, "bytes", n->bytes);
}

static void print_json(const pl_sim_config *c, const pl_sim_report *r) {
  pl_buf line = {0};
  char digest[24];
  snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
  pl_buf_append(&line, "{\"seed\":", 8);
  pl_json_put_integer(&line, (int64_t)c->seed);
  put(&line, "nodes", c->nodes);
  put(&line, "leaves", r->leaves);
  pl_buf_append(&line, ",\"topology\":", 12);
  pl_json_put_string(&line, pl_topology_name(c->topology), strlen(pl_topology_name(c->topology)));
  put_counts(&line, &r->counts);
  put(&line, "virtual_us", r->virtual_us);
  put(&line, "converged_us", r->converged_us);
  pl_buf_append(&line, ",\"digest\":", 10);
  pl_json_put_string(&line, digest, strlen(digest));
  pl_buf_append(&line, ",\"violation\":", 13);
  if (r->violated)
    pl_json_put_string(&line, r->why, strlen(r->why));
  else
    pl_buf_append(&line, "null", 4);
  pl_buf_append(&line, "}\n", 2);
  fwrite(pl_buf_data(&line), 1, pl_buf_len(&line), stdout);
  pl_buf_fini(&line);
}

// Of many runs only those are told at length that show a fault.
static void print_run(const request *q, const pl_sim_config *c, const pl_sim_report *r) {
  bool one = q->first == q->last;
  if (q->json)
    print_json(c, r);
  else if (c->flaps > 0)
    print_flaps(c, r);
  else if (one || r->violated)
    print_report(c, r);
}

int pl_sim_command(pl_invocation *inv) {
  request q = {.config = {.minutes = 0.5}, .first = 1, .last = 1};
  for (size_t i = 0; i < inv->flags.count; i++) {
    const char *why = read_flag(&q, inv->flags.items[i]);
    if (why != NULL) return pl_usage_fail(inv->command, PL_INVALID, "%s", why);
  }
  uint64_t begin = uv_hrtime(), violated = 0, virtual_us = 0;
  for (uint64_t seed = q.first;; seed++) {
    pl_sim_config c = config_of(&q, seed);
    pl_sim_report r;
    pl_sim_run(&c, &r);
    print_run(&q, &c, &r);
    violated += r.violated;
    virtual_us += r.virtual_us;
    pl_sim_report_free(&r);
    if (seed == q.last) break;
  }
  uint64_t runs = q.last - q.first + 1;
  double took = (double)(uv_hrtime() - begin) / 1e9;
  if (runs > 1 && !q.json)
    printf("%" PRIu64 " runs, %" PRIu64 " with a violation\n", runs, violated);
  fprintf(stderr, "%.3f s, %.1f runs/s, %.0f times as fast as time\n", took, (double)runs / took,
          (double)virtual_us / 1e6 / took);
  return violated > 0 ? PL_EXIT_FAILED : PL_EXIT_OK;
}
