// What `help` prints.

#include <ctype.h>
#include <string.h>

#include "main.h"

enum { COLUMN = 30 };  // where the explanations begin

static const char usage_text[] = "usage: perilune COMMAND [OPTION | ARGUMENT]...\n\n";

const char pl_help_about[] =
    "A node runs Lua scripts whose actions every other node can call and stream.\n";

static const char after_commands[] =
    "\n"
    "'perilune help COMMAND' has the arguments and options of one.\n"
    "Exit codes: 0 done, 1 the call or the script failed, 2 wrong usage, 3 no node was reached.\n";

void pl_help_print(FILE *out) {
  fprintf(out, "%s%s\n", usage_text, pl_help_about);
  for (const pl_command *c = pl_command_list; c->name != NULL; c++)
    fprintf(out, "  %-12s%s\n", c->name, c->summary);
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

static void print_line(FILE *out, const char *option) {
  fprintf(out, "  %-*s", COLUMN - 2, option);
}

static void print_standard(FILE *out, const pl_command *c, const pl_option *o) {
  enum { MIB = 1024 * 1024 };
  bool bytes = o->standard >= MIB;
  if (o->kind == PL_OPTION_SECONDS || o->kind == PL_OPTION_INTEGER)
    fprintf(out, " [%g%s]", bytes ? o->standard / MIB : o->standard, bytes ? "MiB" : "");
  const char *text = o->standard_text;
  if (c != NULL && c->use == PL_USE_CLIENT && strcmp(o->name, "log_level") == 0)
    text = PL_CLIENT_LOG_LEVEL;
  if (text != NULL) fprintf(out, " [%s]", text);
}

// `value` "" or NULL: it has none.
static void put_term(char out[PL_TERM_MAX], const char *name, const char *value) {
  bool has = value != NULL && value[0] != '\0';
  char dashed[PL_TERM_MAX];
  snprintf(dashed, sizeof dashed, "%s", name);
  for (char *c = dashed; *c != '\0'; c++) {
    if (*c == '_') *c = '-';
  }
  snprintf(out, PL_TERM_MAX, "--%.30s%s%s", dashed, has ? " " : "", has ? value : "");
}

void pl_help_option_term(char out[PL_TERM_MAX], const pl_option *o) {
  put_term(out, o->singular, placeholder(o));
}

void pl_help_flag_term(char out[PL_TERM_MAX], const pl_flag *f) {
  put_term(out, f->name, f->value);
}

void pl_help_put_explanation(FILE *out, const pl_command *c, const pl_option *o) {
  fputs(o->help, out);
  print_standard(out, c, o);
  if (o->kind == PL_OPTION_TEXTS) fputs("; may be repeated", out);
}

void pl_help_put_usage(FILE *out, const pl_command *c) {
  fprintf(out, "perilune %s%s%s%s", c->name, c->arguments[0] != '\0' ? " " : "", c->arguments,
          c->use != PL_USE_NONE || c->flags != NULL ? " [OPTION]..." : "");
}

void pl_help_put_summary(FILE *out, const pl_command *c) {
  fprintf(out, "%c%s.", toupper((unsigned char)c->summary[0]), c->summary + 1);
}

static void print_option(FILE *out, const pl_command *c, const pl_option *o) {
  char term[PL_TERM_MAX];
  pl_help_option_term(term, o);
  print_line(out, term);
  pl_help_put_explanation(out, c, o);
  fputc('\n', out);
}

static void print_flags(FILE *out, const pl_command *c) {
  for (const pl_flag *f = c->flags; f != NULL && f->name != NULL; f++) {
    char term[PL_TERM_MAX];
    pl_help_flag_term(term, f);
    print_line(out, term);
    fputs(f->help, out);
    if (pl_flag_letter(c, f) != 0) fprintf(out, "; also -%c", pl_flag_letter(c, f));
    fputc('\n', out);
  }
}

const char pl_help_config[] = "options from a JSON object, or PERILUNE_CONFIG";

const char pl_help_sources[] =
    "Each of these but --config is also an environment variable, PERILUNE_REQUEST_TIMEOUT, and a\n"
    "member of the configuration file, \"request_timeout\"; lists are \"peers\": [...] in the "
    "file\n"
    "and PERILUNE_PEER=URL,URL in the environment. The command line comes before the environment,\n"
    "that before the file, that before mesh.node in a script. Times are in seconds, sizes in "
    "bytes\n"
    "or with KiB, MiB, GiB.\n";

void pl_help_print_command(FILE *out, const pl_command *c) {
  fputs("usage: ", out);
  pl_help_put_usage(out, c);
  fputs("\n\n", out);
  pl_help_put_summary(out, c);
  fputc('\n', out);
  if (c->text != NULL) fprintf(out, "\n%s", c->text);
  if (c->flags != NULL) {
    fputc('\n', out);
    print_flags(out, c);
  }
  if (c->use == PL_USE_NONE) return;

  if (c->flags == NULL) fputc('\n', out);
  print_line(out, "--config FILE");
  fprintf(out, "%s\n", pl_help_config);
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    const pl_option *o = &pl_option_list[i];
    if (pl_command_takes(c, o) && !o->later) print_option(out, c, o);
  }
  fprintf(out, "\n%s", pl_help_sources);
}
