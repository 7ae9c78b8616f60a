// What the help says of the tools in the hands of people: the REPL and the benchmark.

#include "main.h"

const char pl_repl_text[] =
    "Reads lines of Lua, runs each and shows its values. `mesh` is there: calls, streams and "
    "sleeps\n"
    "wait. Ctrl-C ends the line that runs, Ctrl-D leaves; Tab completes names and actions. :help "
    "has\n"
    "more. Where standard input is no terminal, lines are read from it without prompts; it ends "
    "with\n"
    "1 when one of them failed.\n"
    "\n"
    "  perilune repl\n"
    "  perilune repl --peer tcp://192.168.1.10:4100\n"
    "  echo 'mesh.call(\"sum\", {1, 2})' | perilune repl\n";

const pl_flag pl_bench_flags[] = {
    {"concurrency", "N", "calls in flight, with --rate at most so many [64, with --rate 1024]"},
    {"duration", "S", "seconds that are measured [5]"},
    {"warmup", "S", "seconds before that, which do not count [1]"},
    {"rate", "N", "calls a second that begin, by the clock and not by results"},
    {"stream", NULL, "take all chunks of streams in place of calling"},
    {"timeout", "S", "longest call in seconds, 0 = for ever [request_timeout]"},
    {"json", NULL, "one line of JSON; times are seconds"},
    {0},
};

const pl_letter pl_bench_letters[] = {{'c', "concurrency"}, {'d', "duration"}, {'r', "rate"}, {0}};

const char pl_bench_text[] =
    "Calls an action again and again, and prints how many calls a second there were, how long "
    "they\n"
    "took, and what failed. With --rate the latency of a call counts from when it should have "
    "begun,\n"
    "so one that stalls is not spared the calls that it held up. Ctrl-C ends it and prints what "
    "was\n"
    "measured.\n"
    "\n"
    "  perilune bench sum '[1,2]' -c 64 -d 5\n"
    "  perilune bench sum '[1,2]' --rate 1000 --json\n"
    "  perilune bench count 1000 --stream -c 4\n";
