// The table of commands.

#include "main.h"

static const pl_flag options_flags[] = {
    {"json", NULL, "one line of JSON"},
    {0},
};

#define INPUT_FLAG \
  { "input", "FILE", "send the bytes of a file, or with - of standard input, to the action" }

static const pl_flag run_flags[] = {
    {"watch", NULL, "reload a script when its file, or that of a module of it, changes"},
    {0},
};

static const pl_flag reload_flags[] = {
    {"node", "NODE", "whose scripts, by name or id; needed when there are several"},
    {"nodes", "NODES", "several, separated by commas, in that order"},
    {"batch", "N", "so many nodes at once; a failure ends it after the batch [1]"},
    {"timeout", "S", "longest reload of a node in seconds [60]"},
    {0},
};

static const pl_flag call_flags[] = {
    INPUT_FLAG,
    {"trace", NULL, "show what each node on the way took, on standard error"},
    {"timeout", "S", "longest call in seconds, 0 = for ever [request_timeout]"},
    {0},
};

static const pl_flag stream_flags[] = {
    INPUT_FLAG,
    {"raw", NULL, "write strings as they are, without quotes and line ends"},
    {"timeout", "S", "longest wait for the first chunk, 0 = for ever [request_timeout]"},
    {"idle", "S", "longest wait for the next chunk, 0 = for ever [60]"},
    {0},
};

static const pl_flag list_flags[] = {
    {"json", NULL, "one line of JSON"},
    {0},
};

static const pl_flag ping_flags[] = {
    {"count", "N", "round trips to make [4]"},
    {"timeout", "S", "longest round trip in seconds [request_timeout]"},
    {"json", NULL, "one line of JSON at the end"},
    {0},
};

static const pl_flag ps_flags[] = {
    {"all", NULL, "a line for each task, however alike"},
    {"stack", "ID", "the stack of one task, and nothing else"},
    {"json", NULL, "one line of JSON"},
    {0},
};

static const pl_flag explain_flags[] = {
    {"key", "K", "of the strategy hash; the arguments by default"},
    {"json", NULL, "one line of JSON"},
    {0},
};

static const pl_flag actions_flags[] = {
    {"tag", "WORD", "only those with this tag"},
    {"json", NULL, "one line of JSON"},
    {0},
};

static const pl_flag describe_flags[] = {
    {"node", "NODE", "which of its providers to ask, by name or id [the nearest]"},
    {"json", NULL, "one line of JSON"},
    {0},
};

static const char nodes_text[] =
    "Prints the nodes that are known, how far they are, over which neighbour, and their state.\n"
    "\n"
    "  perilune nodes\n"
    "  perilune nodes --peer tcp://192.168.1.10:4100 --psk mesh.key --json\n";

static const char actions_text[] =
    "Prints every action with its description and the nodes that provide it.\n"
    "\n"
    "  perilune actions\n"
    "  perilune actions --mesh staging --json\n";

static const char routes_text[] =
    "Prints the best path to each node, its cost in seconds and the first steps on it.\n"
    "\n"
    "  perilune routes --peer tcp://192.168.1.10:4100\n";

static const char ping_text[] =
    "Prints each round trip, and the least, mean and greatest.\n"
    "\n"
    "  perilune ping worker-1\n"
    "  perilune ping worker-1 --count 100 --json\n";

static const char explain_text[] =
    "Prints who provides an action, in the order in which they come into question for a call from\n"
    "here, how they stand, the way there, and who would take the call now and why.\n"
    "\n"
    "  perilune explain digest '\"a.iso\"'\n";

static const char describe_text[] =
    "Prints what an action is, as its script says: its arguments, results and chunks, its "
    "options,\n"
    "where it was registered, and a call of it to begin with.\n"
    "\n"
    "  perilune describe sum\n"
    "  perilune describe sum --node worker-1 --json\n";

static const char run_text[] =
    "Runs the scripts in one node. Without --listen and --peer the node joins the local mesh of\n"
    "this user on this machine; with them it does only what it is told, unless --mesh is given\n"
    "too. What follows -- is in the scripts' `arg`.\n"
    "\n"
    "When it is ready to serve, one line says so on standard error: ready name=... id=... "
    "listen=...\n"
    "SIGTERM and SIGINT let running calls finish and end it with 0; a second one does not wait.\n"
    "\n"
    "  perilune run app.lua --watch\n"
    "  perilune run app.lua --listen tcp://127.0.0.1:4100 -- its arguments\n";

static const char call_text[] =
    "Prints each result as one line of JSON. Arguments are JSON: '\"text\"', 5, true, '[1,2]'.\n"
    "\n"
    "  perilune call files.put '\"a.iso\"' --input a.iso\n"
    "  perilune call sum '[1,2]' --trace\n";

static const char stream_text[] =
    "Prints each chunk as one line of JSON, an array when it has several values; the results of\n"
    "the stream go to standard error. Ends the stream when its output is closed. On a terminal\n"
    "standard error shows how far it is with --input, or with --raw when the output goes "
    "elsewhere.\n"
    "\n"
    "  perilune stream files.get '\"a.iso\"' --raw > a.iso\n"
    "  tar c folder | perilune stream unpack --input -\n";

static const char reload_text[] =
    "Loads the scripts of a node anew, or the one with that path, and prints what is different:\n"
    "+added -removed ~replaced actions. When a script cannot be loaded its old version goes on, "
    "and\n"
    "the command prints why and ends with 1. No call fails because of a reload.\n"
    "\n"
    "  perilune reload\n"
    "  perilune reload --nodes one,two,three app.lua\n";

static const char options_text[] =
    "Prints the options that 'perilune run' would have with the same options, environment and\n"
    "configuration file, and where each comes from. What a script sets by mesh.node is not known\n"
    "here; it counts for what is 'default'.\n"
    "\n"
    "  perilune options --config node.json --request-timeout 2\n";

static const char ps_text[] =
    "Prints what the scripts of a node, or of all nodes of the mesh, are at: a line for all tasks\n"
    "that stand at the same place, with the id of the first. SINCE is the longest of their waits,\n"
    "CPU the time of all. A script that computes and does not wait is no obstacle.\n"
    "\n"
    "  perilune ps worker-1\n"
    "  perilune ps --stack 4711\n";

static const char kill_text[] =
    "Ends a task at once, whatever it is at, by its id from 'perilune ps'. Its caller gets\n"
    "CANCELLED. With several nodes of a task of that id, NODE says which.\n"
    "\n"
    "  perilune kill 4711 worker-1\n";

static const pl_flag top_flags[] = {
    {"interval", "S", "time between two looks, 0.1 to 3600 [1]"},
    {"once", NULL, "print one look, also at a terminal"},
    {"json", NULL, "the same as one line of JSON"},
    {0},
};

static const char top_text[] =
    "Shows nodes and actions live: calls a second, the latencies that 50 and 99 of 100 calls did\n"
    "not exceed, what runs and waits, errors and items of streams a second. Without a terminal it\n"
    "prints one look. Keys: s S column to sort by, r reverse, / filter by names, c who calls in\n"
    "place of who serves, t all nodes together, n hide the nodes, p pause, arrows scroll, q quit.\n"
    "\n"
    "  perilune top\n"
    "  perilune top worker-1 --once --json\n";

static const char mem_text[] =
    "Prints the memory of each script of a node, or of all nodes of the mesh, and what the node\n"
    "holds for streams, queues and links.\n"
    "\n"
    "  perilune mem worker-1 --json\n";

static const pl_flag log_flags[] = {
    {"node", "NODE", "whose lines, by name or id; else those of all"},
    {"follow", NULL, "go on with new lines until it is interrupted"},
    {"level", "L", "debug, info, warn or error: none below it"},
    {"lines", "N", "of each node, the newest [100]"},
    {0},
};

static const char log_text[] =
    "Prints the newest lines of the log of a node, or of all nodes of the mesh, as they were\n"
    "written there. What a node's own log_level leaves out is not there.\n"
    "\n"
    "  perilune log --node worker-1 --follow --level warn\n";

static const char trace_text[] =
    "Prints what the nodes of the mesh remember of a trace, by its id or that of a call in it: "
    "for\n"
    "each node that a call came to how long it waited there, computed and ran, and what the link\n"
    "before it took. Traced are calls of 'perilune call --trace', with a traceparent that says "
    "so,\n"
    "and one in so many with the option trace_sample.\n"
    "\n"
    "  perilune trace 4bf92f3577b34da6a3ce929d0e0e4736\n";

static const pl_flag new_flags[] = {
    {"template", "WORD", "service or client [service]"},
    {"name", "TEXT", "of the project and its node [that of the folder]"},
    {"force", NULL, "write into a folder that is not empty, over files of the same names"},
    {0},
};

static const char new_text[] =
    "Writes a project into a folder, which is made: a script, specs of it, options of the node, a\n"
    "README and settings for editors; and prints what to type next.\n"
    "\n"
    "  perilune new greeter\n"
    "  perilune new asker --template client\n";

static const pl_flag test_flags[] = {
    {"timeout", "S", "longest test in seconds, 0 = for ever [60]"},
    {0},
};

static const char test_text[] =
    "Runs specs of busted, by default all *_spec.lua below spec/, each test as a task: it may "
    "call,\n"
    "sleep and stream, and fails when it leaves a task, a call or a stream open. The node of the\n"
    "specs is alone, whatever else runs on this machine. All options of busted are its own, too:\n"
    "\n"
    "  perilune test spec/orders_spec.lua\n"
    "  perilune test --filter='an order' --repeat=10\n"
    "  perilune test -o gtest --shuffle\n"
    "\n"
    "Ends with 1 when a test failed.\n";

static const pl_flag types_flags[] = {
    {"output", "PATH", "write there: a folder, or one file whose name ends in .lua or .md"},
    {"format", "WORD", "luacats, for editors, or markdown, to read [luacats]"},
    {"actions", NULL, "with those of the mesh, also of the local one"},
    {0},
};

static const pl_letter types_letters[] = {{'o', "output"}, {0}};

static const char types_text[] =
    "Prints what scripts can use, as annotations that editors with LuaLS read. In a folder there\n"
    "is a file for each module, as such an editor wants it: name the folder in its\n"
    "workspace.library. With --peer, --mesh or --actions the actions of the mesh are among them:\n"
    "their names, what they do, and what they take and return.\n"
    "\n"
    "  perilune types --output types\n"
    "  perilune types --peer tcp://192.168.1.10:4100 --output types\n"
    "  perilune types --format markdown --output reference\n";

static const char check_text[] =
    "Reads scripts without running them, and prints what is wrong as FILE:LINE:COLUMN: TEXT: what\n"
    "is no Lua, functions and options that perilune has not, arguments of the wrong type, and\n"
    "calls of actions that neither the scripts nor the nodes of the mesh provide. Without --peer\n"
    "and --mesh the local mesh is asked, when a node runs there. Ends with 1 when it has found\n"
    "something.\n"
    "\n"
    "  perilune check app.lua\n"
    "  perilune check *.lua --peer tcp://192.168.1.10:4100\n";

static const char completion_text[] =
    "With it the tab key knows commands, their options and files, and asks the mesh, for 0.3\n"
    "seconds, for the names of actions and nodes. Packages bring it along; else:\n"
    "\n"
    "  perilune completion bash > ~/.local/share/bash-completion/completions/perilune\n"
    "  perilune completion zsh > ~/.zfunc/_perilune\n"
    "  perilune completion fish > ~/.config/fish/completions/perilune.fish\n"
    "\n"
    "What it prints asks 'perilune completion words -- WORD...' with the words up to the cursor.\n";

static const char help_text[] =
    "All of it as a man page:\n"
    "\n"
    "  perilune help --man | man -l -\n";

const pl_command pl_command_list[] = {
    {.name = "run",
     .arguments = "FILE... [-- ARG...]",
     .summary = "run scripts in a node",
     .text = run_text,
     .first = "FILE",
     .more = true,
     .passes_rest = true,
     .use = PL_USE_NODE,
     .flags = run_flags,
     .act = pl_run_files},
    {.name = "call",
     .arguments = "ACTION [JSON-ARG]...",
     .summary = "call an action and print its results",
     .text = call_text,
     .first = "ACTION",
     .more = true,
     .use = PL_USE_CLIENT,
     .flags = call_flags},
    {.name = "stream",
     .arguments = "ACTION [JSON-ARG]...",
     .summary = "call an action and print its chunks as they come",
     .text = stream_text,
     .first = "ACTION",
     .more = true,
     .use = PL_USE_CLIENT,
     .flags = stream_flags},
    {.name = "nodes",
     .arguments = "",
     .summary = "list the nodes of the mesh",
     .text = nodes_text,
     .use = PL_USE_CLIENT,
     .flags = list_flags},
    {.name = "actions",
     .arguments = "",
     .summary = "list the actions of the mesh and who provides them",
     .text = actions_text,
     .use = PL_USE_CLIENT,
     .flags = actions_flags},
    {.name = "describe",
     .arguments = "ACTION",
     .summary = "show what an action takes and returns, and how to call it",
     .text = describe_text,
     .first = "ACTION",
     .use = PL_USE_CLIENT,
     .flags = describe_flags},
    {.name = "routes",
     .arguments = "",
     .summary = "list the paths to all nodes of the mesh, as one of them sees them",
     .text = routes_text,
     .use = PL_USE_CLIENT,
     .flags = list_flags},
    {.name = "explain",
     .arguments = "ACTION [JSON-ARG]...",
     .summary = "show who would take a call of an action, and why",
     .text = explain_text,
     .first = "ACTION",
     .more = true,
     .use = PL_USE_CLIENT,
     .flags = explain_flags},
    {.name = "ping",
     .arguments = "NODE",
     .summary = "measure the round trip to a node, given by name or id",
     .text = ping_text,
     .first = "NODE",
     .use = PL_USE_CLIENT,
     .flags = ping_flags},
    {.name = "reload",
     .arguments = "[SCRIPT]",
     .summary = "load the scripts of a node anew, while it serves",
     .text = reload_text,
     .further = 1,
     .use = PL_USE_CLIENT,
     .flags = reload_flags},
    {.name = "ps",
     .arguments = "[NODE]",
     .summary = "list the tasks of scripts, and what they wait for",
     .text = ps_text,
     .further = 1,
     .use = PL_USE_CLIENT,
     .flags = ps_flags},
    {.name = "kill",
     .arguments = "ID [NODE]",
     .summary = "end a task",
     .text = kill_text,
     .first = "ID",
     .further = 1,
     .use = PL_USE_CLIENT},
    {.name = "mem",
     .arguments = "[NODE]",
     .summary = "show what scripts and nodes hold in memory",
     .text = mem_text,
     .further = 1,
     .use = PL_USE_CLIENT,
     .flags = list_flags},
    {.name = "top",
     .arguments = "[NODE]",
     .summary = "watch nodes and actions live: rates, latencies, queues, errors",
     .text = top_text,
     .further = 1,
     .use = PL_USE_CLIENT,
     .flags = top_flags},
    {.name = "log",
     .arguments = "",
     .summary = "show what nodes log, and follow it",
     .text = log_text,
     .use = PL_USE_CLIENT,
     .flags = log_flags},
    {.name = "trace",
     .arguments = "ID",
     .summary = "show what a traced call, and those within it, took at each node",
     .text = trace_text,
     .first = "ID",
     .use = PL_USE_CLIENT,
     .flags = list_flags},
    {.name = "bench",
     .arguments = "ACTION [JSON-ARG]...",
     .summary = "measure calls of an action",
     .text = pl_bench_text,
     .first = "ACTION",
     .more = true,
     .use = PL_USE_CLIENT,
     .flags = pl_bench_flags,
     .letters = pl_bench_letters},
    {.name = "repl",
     .arguments = "",
     .summary = "type Lua in a node of the mesh, line by line",
     .text = pl_repl_text,
     .use = PL_USE_CLIENT},
    {.name = "options",
     .arguments = "",
     .summary = "show the options of a node and where each comes from",
     .text = options_text,
     .use = PL_USE_NODE,
     .flags = options_flags,
     .act = pl_options_print},
    {.name = "sim",
     .arguments = "",
     .summary = "put a simulated mesh through disasters",
     .text = pl_sim_text,
     .use = PL_USE_NONE,
     .flags = pl_sim_flags,
     .act = pl_sim_command},
    {.name = "new",
     .arguments = "DIR",
     .summary = "begin a project in a new folder",
     .text = new_text,
     .first = "DIR",
     .alone = true,
     .use = PL_USE_NONE,
     .flags = new_flags},
    {.name = "test",
     .arguments = "[FILE | FOLDER]...",
     .summary = "run specs in a node",
     .text = test_text,
     .more = true,
     .passes_options = true,
     .alone = true,
     .use = PL_USE_NONE,
     .flags = test_flags},
    {.name = "types",
     .arguments = "",
     .summary = "write annotations for editors of all that scripts can use",
     .text = types_text,
     .use = PL_USE_CLIENT,
     .flags = types_flags,
     .letters = types_letters},
    {.name = "completion",
     .arguments = "bash | zsh | fish",
     .summary = "print what lets a shell complete commands, actions and nodes",
     .text = completion_text,
     .first = "SHELL",
     .passes_rest = true,
     .use = PL_USE_NONE,
     .act = pl_completion_command},
    {.name = "check",
     .arguments = "FILE...",
     .summary = "look for mistakes in scripts, without running them",
     .text = check_text,
     .first = "FILE",
     .more = true,
     .use = PL_USE_CLIENT,
     .flags = list_flags},
    {.name = "version", .arguments = "", .summary = "print the version", .use = PL_USE_NONE},
    {.name = "help",
     .arguments = "[COMMAND | --man]",
     .summary = "print help",
     .text = help_text,
     .use = PL_USE_NONE},
    {0},
};
