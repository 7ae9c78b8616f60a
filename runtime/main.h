// What the files of the executable share: its commands, and one invocation of one of them. All run
// on the main thread; an invocation lives as long as the process.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "perilune.h"

// Exit codes, for scripts around the program.
enum {
  PL_EXIT_OK = 0,
  PL_EXIT_FAILED = 1,       // the call or the script
  PL_EXIT_USAGE = 2,        // what was typed
  PL_EXIT_NOT_REACHED = 3,  // no other node
};

// An option of one command, besides those of the node.
typedef struct pl_flag {
  const char *name;  // "json": --json
  // What stands for its value in the help: "N" and "S" for a number from 0 on, others for any
  // text; NULL: it has none.
  const char *value;
  const char *help;
} pl_flag;

// A short form of one: -o for --output.
typedef struct pl_letter {
  char letter;
  const char *name;  // of the flag
} pl_letter;

// That a client comes and goes is no news to who typed it.
#define PL_CLIENT_LOG_LEVEL "error"

// Which options of a node a command takes.
typedef enum pl_options_use {
  PL_USE_NONE,
  PL_USE_CLIENT,  // those that matter to a leaf that calls and goes
  PL_USE_NODE,
} pl_options_use;

typedef struct pl_invocation pl_invocation;

typedef struct pl_command {
  const char *name;
  const char *arguments;  // "ACTION [JSON-ARG]..."
  const char *summary;    // one line
  const char *text;       // the rest of its help, or NULL
  const char *first;      // the argument that must be there: "ACTION", or NULL
  bool more;              // others may follow, any number
  size_t further;         // or so many
  bool passes_rest;       // what stands behind `--` is not its own
  bool passes_options;    // those that it does not know are arguments, as is `--`
  bool alone;             // its node is no part of the local mesh
  pl_options_use use;
  const pl_flag *flags;      // end with a NULL name; NULL: none
  const pl_letter *letters;  // end with a 0; NULL: none
  // Returns the exit code. NULL: the script perilune.cli.<name> of the standard library.
  int (*act)(pl_invocation *inv);
} pl_command;

// Of commands that main_tools.c tells of.
extern const char pl_repl_text[], pl_bench_text[];
extern const pl_flag pl_bench_flags[];
extern const pl_letter pl_bench_letters[];

// Ends with a NULL name.
extern const pl_command pl_command_list[];
const pl_command *pl_command_find(const char *name);
// Of a later version: known, so that it can be said.
bool pl_command_is_later(const char *name);
// The command that somebody may have meant, or NULL.
const char *pl_command_guess(const char *name);

struct pl_invocation {
  const pl_command *command;
  pl_options options;
  bool help;           // asked for, nothing else matters
  const char *config;  // --config, borrowed
  const char **words;  // arguments, borrowed
  size_t word_count;
  const char **rest;  // behind `--`, borrowed
  size_t rest_count;
  pl_texts flags;  // its own, as "--json" and "--timeout=5"
};

// Reads the arguments behind the command's name and then the environment and the configuration
// file. Returns PL_EXIT_OK, or PL_EXIT_USAGE when it has said on standard error what is wrong.
int pl_invocation_read(pl_invocation *inv, const pl_command *command, int argc, char **argv);
void pl_invocation_free(pl_invocation *inv);
// The flag of that name, or that letter; NULL: the command has none.
const pl_flag *pl_flag_find(const pl_command *command, const char *name);
const pl_flag *pl_flag_find_letter(const pl_command *command, char letter);
// The letter of a flag; 0: it has none.
char pl_flag_letter(const pl_command *command, const pl_flag *flag);
// Whether the command takes this option of the node.
bool pl_command_takes(const pl_command *command, const pl_option *option);
// What one part of an option that is a list is called in the help.
const char *pl_option_word(const pl_option *option);

// Prints "CODE: message" and where to read on. Returns PL_EXIT_USAGE. `command` may be NULL.
int pl_usage_fail(const pl_command *command, pl_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void pl_help_print(FILE *out);
void pl_help_print_command(FILE *out, const pl_command *command);
// All of it as a man page, in the macros of man(7).
void pl_man_print(FILE *out);

// What both are made of: texts of several lines, in which those that begin with two spaces are
// examples, and pieces of one line.
extern const char pl_help_about[], pl_help_config[], pl_help_sources[];
enum { PL_TERM_MAX = 64 };
void pl_help_option_term(char out[PL_TERM_MAX], const pl_option *o);  // "--drain S"
void pl_help_flag_term(char out[PL_TERM_MAX], const pl_flag *f);
// With its default; NULL for `c`: that of a node.
void pl_help_put_explanation(FILE *out, const pl_command *c, const pl_option *o);
void pl_help_put_usage(FILE *out, const pl_command *c);
void pl_help_put_summary(FILE *out, const pl_command *c);

// Runs the files as scripts of one node, until it ends.
int pl_run_files(pl_invocation *inv);
// Runs the command's own script as a client of the mesh.
int pl_run_client(pl_invocation *inv);
// Sets an option in place of what a node has by default.
void pl_default_set(pl_invocation *inv, const char *name, const char *text);
// Prints the options that a node would have, and where each comes from.
int pl_options_print(pl_invocation *inv);
// Runs a mesh under disasters, in virtual time.
int pl_sim_command(pl_invocation *inv);
extern const pl_flag pl_sim_flags[];
extern const char pl_sim_text[];
// Prints what makes a shell complete a command line; or, for such a shell, the words that may
// stand where it is asked.
int pl_completion_command(pl_invocation *inv);
// Writes the line that says that the node is ready.
void pl_ready_print(const pl_node *node);
