// What `help` prints.

#include <ctype.h>
#include <string.h>

#include "main.h"

enum { COLUMN = 30 };  // where the explanations begin

static const char general_text[] =
    "usage: perilune COMMAND [OPTION | ARGUMENT]...\n"
    "\n"
    "A node runs Lua scripts whose actions every other node can call and stream.\n";

static const char after_commands[] =
    "\n"
    "'perilune help COMMAND' has the arguments and options of one.\n"
    "Exit codes: 0 done, 1 the call or the script failed, 2 wrong usage, 3 no node was reached.\n";

void pl_help_print(FILE *out) {
  fprintf(out, "%s\n", general_text);
  for (const pl_command *c = pl_command_list; c->name != NULL; c++)
    fprintf(out, "  %-10s%s\n", c->name, c->summary);
  fputs(after_commands, out);
}

static const char *placeholder(const pl_option *o) {
  switch (o->kind) {
    case PL_OPTION_SECONDS: return "S";
    case PL_OPTION_INTEGER: return "N";
    case PL_OPTION_TEXTS: return pl_option_word(o);
    case PL_OPTION_TEXT: return "TEXT";
    case PL_OPTION_FILE: return "FILE";
    case PL_OPTION_BOOLEAN: break;
  }
  return "";
}

static void print_line(FILE *out, const char *option, const char *help) {
  fprintf(out, "  %-*s%s", COLUMN - 2, option, help);
}

static void print_standard(FILE *out, const pl_command *c, const pl_option *o) {
  enum { MIB = 1024 * 1024 };
  bool bytes = o->standard >= MIB;
  if (o->kind == PL_OPTION_SECONDS || o->kind == PL_OPTION_INTEGER)
    fprintf(out, " [%g%s]", bytes ? o->standard / MIB : o->standard, bytes ? "MiB" : "");
  const char *text = o->standard_text;
  if (c->use == PL_USE_CLIENT && strcmp(o->name, "log_level") == 0) text = PL_CLIENT_LOG_LEVEL;
  if (text != NULL) fprintf(out, " [%s]", text);
}

static void print_option(FILE *out, const pl_command *c, const pl_option *o) {
  char text[64];
  const char *value = placeholder(o);
  const char *space = value[0] == '\0' ? "" : " ";
  int len = snprintf(text, sizeof text, "--%s%s%s", o->singular, space, value);
  for (int i = 0; i < len; i++) {
    if (text[i] == '_') text[i] = '-';
  }
  print_line(out, text, o->help);
  print_standard(out, c, o);
  fputs(o->kind == PL_OPTION_TEXTS ? "; may be repeated\n" : "\n", out);
}

static void print_flags(FILE *out, const pl_command *c) {
  for (const pl_flag *f = c->flags; f != NULL && f->name != NULL; f++) {
    char text[64];
    snprintf(text, sizeof text, "--%s%s%s", f->name, f->value != NULL ? " " : "",
             f->value != NULL ? f->value : "");
    print_line(out, text, f->help);
    fputc('\n', out);
  }
}

static const char sources_text[] =
    "\n"
    "Each of these but --config is also an environment variable, PERILUNE_REQUEST_TIMEOUT, and a\n"
    "member of the configuration file, \"request_timeout\"; lists are \"peers\": [...] in the "
    "file\n"
    "and PERILUNE_PEER=URL,URL in the environment. The command line comes before the environment,\n"
    "that before the file, that before mesh.node in a script. Times are in seconds, sizes in "
    "bytes\n"
    "or with KiB, MiB, GiB.\n";

void pl_help_print_command(FILE *out, const pl_command *c) {
  fprintf(out, "usage: perilune %s%s%s%s\n\n", c->name, c->arguments[0] != '\0' ? " " : "",
          c->arguments, c->use != PL_USE_NONE || c->flags != NULL ? " [OPTION]..." : "");
  fprintf(out, "%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
  if (c->text != NULL) fprintf(out, "\n%s", c->text);
  if (c->flags != NULL) {
    fputc('\n', out);
    print_flags(out, c);
  }
  if (c->use == PL_USE_NONE) return;

  if (c->flags == NULL) fputc('\n', out);
  print_line(out, "--config FILE", "options from a JSON object, or PERILUNE_CONFIG\n");
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    const pl_option *o = &pl_option_list[i];
    if (pl_command_takes(c, o) && !o->later) print_option(out, c, o);
  }
  fputs(sources_text, out);
}
