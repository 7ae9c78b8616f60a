// The man page: the help of all commands, in the macros of man(7).

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "main.h"

// Text of one or more lines, with nothing in it that roff would take for its own.
static void put_escaped(FILE *out, const char *text, size_t len) {
  bool begins_line = true;
  for (size_t i = 0; i < len; i++) {
    char c = text[i];
    if (begins_line && (c == '.' || c == '\'')) fputs("\\&", out);
    begins_line = c == '\n';
    if (c == '\\') {
      fputs("\\e", out);
    } else if (c == '-') {
      fputs("\\-", out);
    } else if (c == '\'') {
      fputs("\\(aq", out);
    } else if (c == '^' || c == '~' || c == '`') {
      fprintf(out, "\\(%s", c == '^' ? "ha" : c == '~' ? "ti" : "ga");
    } else {
      fputc(c, out);
    }
  }
}

static void put_line(FILE *out, const char *macro, const char *text) {
  fputs(macro, out);
  put_escaped(out, text, strlen(text));
  fputc('\n', out);
}

// A term of a list, bold.
static void put_term(FILE *out, const char *term) {
  fputs(".TP\n", out);
  put_line(out, "\\fB", term);
}

static void end_example(FILE *out, bool *open) {
  if (*open) fputs(".EE\n.RE\n", out);
  *open = false;
}

// Paragraphs are filled, examples stand as they are.
static void put_text(FILE *out, const char *text) {
  bool example = false;
  fputs(".PP\n", out);
  for (const char *line = text; *line != '\0';) {
    size_t len = strcspn(line, "\n");
    bool indented = strncmp(line, "  ", 2) == 0;
    if (len == 0) {
      end_example(out, &example);
      fputs(line[1] != '\0' ? ".PP\n" : "", out);
    } else {
      if (indented && !example) fputs(".RS 4\n.EX\n", out);
      if (!indented) end_example(out, &example);
      example = indented;
      put_escaped(out, line + (indented ? 2 : 0), len - (indented ? 2 : 0));
      fputc('\n', out);
    }
    line += len + (line[len] == '\n');
  }
  end_example(out, &example);
}

// What `write` writes of a command, behind the macro.
static void put_piece(FILE *out, const char *macro, const pl_command *c,
                      void (*write)(FILE *out, const pl_command *c)) {
  char *text;
  size_t len;
  FILE *piece = open_memstream(&text, &len);
  write(piece, c);
  fclose(piece);
  put_line(out, macro, text);
  free(text);
}

static void put_command(FILE *out, const pl_command *c) {
  put_piece(out, ".SS ", c, pl_help_put_usage);
  put_piece(out, "", c, pl_help_put_summary);
  if (c->text != NULL) put_text(out, c->text);
  for (const pl_flag *f = c->flags; f != NULL && f->name != NULL; f++) {
    char term[PL_TERM_MAX];
    pl_help_flag_term(term, f);
    put_term(out, term);
    char also[16] = "", help[512];
    char letter = pl_flag_letter(c, f);
    if (letter != 0) snprintf(also, sizeof also, "; also -%c", letter);
    snprintf(help, sizeof help, "%s%s", f->help, also);
    put_line(out, "", help);
  }
}

static void put_option(FILE *out, const pl_option *o, const pl_command *client) {
  char term[PL_TERM_MAX], *text;
  size_t len;
  pl_help_option_term(term, o);
  FILE *piece = open_memstream(&text, &len);
  pl_help_put_explanation(piece, NULL, o);
  if (!pl_command_takes(client, o)) fputs(" (nodes only)", piece);
  fclose(piece);
  put_term(out, term);
  put_line(out, "", text);
  free(text);
}

static void put_options(FILE *out) {
  const pl_command client = {.name = "", .use = PL_USE_CLIENT};
  fputs(".SH OPTIONS OF A NODE\n", out);
  put_text(
      out,
      "Commands that run a node take all of these, those that ask a mesh all but the ones that "
      "are marked; 'perilune help COMMAND' lists them for each.\n");
  put_term(out, "--config FILE");
  put_line(out, "", pl_help_config);
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    if (!o->later) put_option(out, o, &client);
  }
  put_text(out, pl_help_sources);
}

static const char exit_text[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nDone.\n"
    ".TP\n1\nThe call or the script failed.\n"
    ".TP\n2\nWrong usage.\n"
    ".TP\n3\nNo node was reached.\n";

void pl_man_print(FILE *out) {
  fprintf(out, ".TH PERILUNE 1 \"\" \"perilune %s\" \"User Commands\"\n", PL_VERSION);
  fputs(".SH NAME\nperilune \\- scriptable mesh node runtime\n", out);
  fputs(".SH SYNOPSIS\n.B perilune\n.I COMMAND\n[\\fIOPTION\\fR | \\fIARGUMENT\\fR]...\n", out);
  fputs(".SH DESCRIPTION\n", out);
  put_text(out, pl_help_about);
  fputs(".SH COMMANDS\n", out);
  for (const pl_command *c = pl_command_list; c->name != NULL; c++)
    put_command(out, c);
  put_options(out);
  fputs(exit_text, out);
}
