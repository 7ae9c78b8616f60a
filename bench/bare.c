// The baseline without Lua: what libuv and the kernel allow.
//
//   bench_bare server URL
//   bench_bare client URL WORKLOAD SECONDS    prints "workload=… count=… seconds=… …"
//   bench_bare beside URL                     prints "idle_us=… busy_us=…", see bare_beside.c
//   bench_bare relay URL UPSTREAM…
//   bench_bare start COUNT COMMAND…           see start.h
//   bench_bare whole COUNT COMMAND…
//
// URL is tcp://IP:PORT or unix://PATH.

#include <stdio.h>
#include <stdlib.h>

#include "bare.h"
#include "start.h"

static int usage(void) {
  fprintf(stderr,
          "usage: bench_bare server URL\n"
          "       bench_bare client URL WORKLOAD SECONDS\n"
          "       bench_bare beside URL\n"
          "       bench_bare relay URL UPSTREAM...\n"
          "       bench_bare start COUNT COMMAND...\n"
          "       bench_bare whole COUNT COMMAND...\n");
  return 2;
}

int main(int argc, char **argv) {
  if (argc < 3) return usage();
  if (strcmp(argv[1], "start") == 0 && argc > 3) return start_measure(atoi(argv[2]), argv + 3);
  if (strcmp(argv[1], "whole") == 0 && argc > 3)
    return start_measure_whole(atoi(argv[2]), argv + 3);
  if (strcmp(argv[1], "server") == 0 && argc == 3) return bare_serve(argv[2]);
  if (strcmp(argv[1], "beside") == 0 && argc == 3) return bare_beside(argv[2]);
  if (strcmp(argv[1], "relay") == 0 && argc > 3)
    return bare_relay(argv[2], argv + 3, (size_t)argc - 3);
  if (strcmp(argv[1], "client") == 0 && argc == 5) {
    double seconds = atof(argv[4]);
    return seconds > 0 ? bare_load(argv[2], argv[3], seconds) : usage();
  }
  return usage();
}
