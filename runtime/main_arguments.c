// One invocation: arguments, environment and configuration file become options and words.

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guess.h"
#include "base/mem.h"
#include "main.h"

enum { NAME_MAX_SHOWN = 64 };

int pl_usage_fail(const pl_command *command, pl_err code, const char *format, ...) {
  char text[PL_ERROR_TEXT_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  pl_err_print(code, text);
  fprintf(stderr, "try 'perilune help%s%s'\n", command != NULL ? " " : "",
          command != NULL ? command->name : "");
  return PL_EXIT_USAGE;
}

// A place in the arguments.
typedef struct reader {
  pl_invocation *inv;
  int argc;
  char **argv;
  int at;
} reader;

// An option as it was typed.
typedef struct given {
  char name[NAME_MAX_SHOWN];  // without the dashes, '_' as '-'
  const char *value;          // behind '=', or NULL
} given;

static void split(given *g, const char *text) {
  const char *equals = strchr(text, '=');
  size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
  if (len >= sizeof g->name) len = sizeof g->name - 1;
  for (size_t i = 0; i < len; i++)
    g->name[i] = text[i] == '_' ? '-' : text[i];
  g->name[len] = '\0';
  g->value = equals == NULL ? NULL : equals + 1;
}

static void dashed(char out[NAME_MAX_SHOWN], const char *name) {
  snprintf(out, NAME_MAX_SHOWN, "%s", name);
  for (char *c = out; *c != '\0'; c++) {
    if (*c == '_') *c = '-';
  }
}

// The value behind '=', or the next argument; NULL when there is none.
static const char *take_value(reader *r, const given *g) {
  if (g->value != NULL) return g->value;
  if (r->at + 1 >= r->argc || strncmp(r->argv[r->at + 1], "--", 2) == 0) return NULL;
  return r->argv[++r->at];
}

static int needs_value(const reader *r, const given *g, const char *what) {
  return pl_usage_fail(r->inv->command, PL_INVALID, "--%s needs a value: --%s=%s", g->name, g->name,
                       what);
}

static int read_flag(reader *r, const given *g, const pl_flag *flag) {
  pl_invocation *inv = r->inv;
  if (flag->value == NULL) {
    if (g->value != NULL)
      return pl_usage_fail(inv->command, PL_INVALID, "--%s takes no value", flag->name);
    char text[NAME_MAX_SHOWN];
    snprintf(text, sizeof text, "--%s", flag->name);
    pl_texts_add(&inv->flags, text);
    return PL_EXIT_OK;
  }
  const char *value = take_value(r, g);
  if (value == NULL) return needs_value(r, g, flag->value);
  char *end;
  double number = strtod(value, &end);
  bool is_number = end != value && *end == '\0' && isfinite(number) && number >= 0;
  bool needs_number = strcmp(flag->value, "N") == 0 || strcmp(flag->value, "S") == 0;
  if (needs_number && !is_number)
    return pl_usage_fail(inv->command, PL_INVALID, "--%s: '%.64s' is not a number of 0 or more",
                         flag->name, value);
  char text[PL_URL_MAX];
  if (snprintf(text, sizeof text, "--%s=%s", flag->name, value) >= (int)sizeof text)
    return pl_usage_fail(inv->command, PL_INVALID, "--%s: the value is too long", flag->name);
  pl_texts_add(&inv->flags, text);
  return PL_EXIT_OK;
}

const char *pl_option_word(const pl_option *option) {
  if (strcmp(option->name, "isolate") == 0) return "FILE";
  if (strcmp(option->name, "replicas") == 0) return "FILE=N";
  return strcmp(option->name, "allow") == 0 ? "WORD" : "URL";
}

static const char *value_word(const pl_option *option) {
  switch (option->kind) {
    case PL_OPTION_SECONDS: return "SECONDS";
    case PL_OPTION_INTEGER: return "NUMBER";
    case PL_OPTION_TEXTS: return pl_option_word(option);
    case PL_OPTION_FILE: return "FILE";
    case PL_OPTION_TEXT:
    case PL_OPTION_BOOLEAN: break;
  }
  return "TEXT";
}

static int read_option(reader *r, const given *g, const pl_option *option) {
  pl_option_value v = {.given = PL_GIVEN_TEXT, .text = g->value};
  if (option->kind == PL_OPTION_BOOLEAN && g->value == NULL) {
    v = (pl_option_value){.given = PL_GIVEN_BOOLEAN, .boolean = true};
  } else {
    v.text = take_value(r, g);
    if (v.text == NULL) return needs_value(r, g, value_word(option));
  }
  char why[PL_URL_MAX];
  pl_err err = pl_option_set(&r->inv->options, PL_SOURCE_ARGUMENTS, option, &v, why);
  return err == PL_OK ? PL_EXIT_OK : pl_usage_fail(r->inv->command, err, "%s", why);
}

static const char *guess_option(const pl_command *command, const char *name) {
  static char names[PL_OPTION_COUNT][NAME_MAX_SHOWN];
  enum { OTHERS_MAX = 8 };
  const char *candidates[PL_OPTION_COUNT + OTHERS_MAX];
  size_t count = 0;
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    const pl_option *o = &pl_option_list[i];
    if (!pl_command_takes(command, o) || o->later) continue;
    dashed(names[i], o->singular);
    candidates[count++] = names[i];
  }
  candidates[count++] = "help";
  if (command->use != PL_USE_NONE) candidates[count++] = "config";
  for (const pl_flag *f = command->flags; f != NULL && f->name != NULL; f++)
    candidates[count++] = f->name;
  return pl_guess(name, candidates, count);
}

static int refuse(const pl_command *command, const given *g) {
  const char *guess = guess_option(command, g->name);
  if (guess != NULL)
    return pl_usage_fail(command, PL_INVALID, "no option '--%s'; did you mean '--%s'?", g->name,
                         guess);
  return pl_usage_fail(command, PL_INVALID, "no option '--%s'", g->name);
}

static int read_long(reader *r) {
  pl_invocation *inv = r->inv;
  given g;
  split(&g, r->argv[r->at] + 2);
  const pl_flag *flag = pl_flag_find(inv->command, g.name);
  if (flag != NULL) return read_flag(r, &g, flag);
  if (strcmp(g.name, "help") == 0 && g.value == NULL) {
    inv->help = true;
    return PL_EXIT_OK;
  }
  if (strcmp(g.name, "config") == 0 && inv->command->use != PL_USE_NONE) {
    inv->config = take_value(r, &g);
    return inv->config != NULL ? PL_EXIT_OK : needs_value(r, &g, "FILE");
  }
  const pl_option *option = pl_option_find(g.name);
  char singular[NAME_MAX_SHOWN];
  if (option != NULL) dashed(singular, option->singular);
  if (option == NULL || strcmp(singular, g.name) != 0 || inv->command->use == PL_USE_NONE) {
    if (!inv->command->passes_options) return refuse(inv->command, &g);
    inv->words[inv->word_count++] = r->argv[r->at];
    return PL_EXIT_OK;
  }
  if (!pl_command_takes(inv->command, option))
    return pl_usage_fail(inv->command, PL_INVALID, "--%s is an option of 'perilune run'", g.name);
  return read_option(r, &g, option);
}

// A number below zero is an argument, and so is a dash alone.
static bool is_option(const char *text) {
  return text[0] == '-' && text[1] != '\0' && !isdigit((unsigned char)text[1]);
}

// `-o`, whose value is the next argument.
static int read_letter(reader *r) {
  const char *text = r->argv[r->at];
  const pl_command *command = r->inv->command;
  const pl_flag *flag = text[2] == '\0' ? pl_flag_find_letter(command, text[1]) : NULL;
  if (flag == NULL) return pl_usage_fail(command, PL_INVALID, "no option '%.64s'", text);
  given g = {.value = NULL};
  snprintf(g.name, sizeof g.name, "%s", flag->name);
  return read_flag(r, &g, flag);
}

static int read_arguments(reader *r) {
  pl_invocation *inv = r->inv;
  bool options_ended = false;
  for (; r->at < r->argc; r->at++) {
    const char *text = r->argv[r->at];
    int code = PL_EXIT_OK;
    if (options_ended) {
      bool passed_on = inv->command->passes_rest;
      if (passed_on) inv->rest[inv->rest_count++] = text;
      if (!passed_on) inv->words[inv->word_count++] = text;
    } else if (strcmp(text, "--") == 0 && !inv->command->passes_options) {
      options_ended = true;
    } else if (!is_option(text)) {
      inv->words[inv->word_count++] = text;
    } else if (strcmp(text, "-h") == 0) {
      inv->help = true;
    } else if (strncmp(text, "--", 2) == 0 && text[2] != '\0') {
      code = read_long(r);
    } else if (inv->command->passes_options) {
      inv->words[inv->word_count++] = text;
    } else {
      code = read_letter(r);
    }
    if (code != PL_EXIT_OK) return code;
  }
  return PL_EXIT_OK;
}

static int check_words(const pl_invocation *inv) {
  const pl_command *c = inv->command;
  if (c->first != NULL && inv->word_count == 0)
    return pl_usage_fail(c, PL_INVALID, "%s is missing: perilune %s %s", c->first, c->name,
                         c->arguments);
  size_t most = (c->first != NULL ? 1 : 0) + c->further;
  if (!c->more && inv->word_count > most)
    return pl_usage_fail(c, PL_INVALID, "unexpected argument '%.64s'", inv->words[most]);
  return PL_EXIT_OK;
}

static int read_other_sources(pl_invocation *inv) {
  char why[PL_URL_MAX];
  pl_err err = pl_options_from_environment(&inv->options, getenv, why);
  pl_options_hide_key();
  if (err != PL_OK) return pl_usage_fail(inv->command, err, "%s", why);

  const char *config = inv->config != NULL ? inv->config : getenv("PERILUNE_CONFIG");
  if (config == NULL || config[0] == '\0') return PL_EXIT_OK;
  err = pl_options_from_file(&inv->options, config, why);
  return err == PL_OK ? PL_EXIT_OK : pl_usage_fail(inv->command, err, "%s", why);
}

// Takes back what the environment or a file says that is meant for nodes: a client with their
// address or identity would stand in their way. Of peers and a local mesh, what was asked for more
// clearly is all there is to ask.
static void limit_to_client(pl_invocation *inv) {
  for (int i = 0; i < PL_OPTION_COUNT; i++) {
    const pl_option *o = &pl_option_list[i];
    if (!pl_command_takes(inv->command, o)) pl_option_reset(&inv->options, o);
  }
  const pl_option *mesh = pl_option_find("mesh"), *peers = pl_option_find("peers");
  uint8_t by_mesh = inv->options.source[mesh - pl_option_list];
  uint8_t by_peers = inv->options.source[peers - pl_option_list];
  if (by_peers > by_mesh) pl_option_reset(&inv->options, mesh);
  if (by_mesh > by_peers) pl_option_reset(&inv->options, peers);
}

int pl_invocation_read(pl_invocation *inv, const pl_command *command, int argc, char **argv) {
  *inv = (pl_invocation){.command = command};
  pl_options_init(&inv->options);
  inv->words = pl_alloc(((size_t)argc + 1) * sizeof *inv->words);
  inv->rest = pl_alloc(((size_t)argc + 1) * sizeof *inv->rest);
  reader r = {.inv = inv, .argc = argc, .argv = argv};
  int code = read_arguments(&r);
  if (code != PL_EXIT_OK || inv->help) return code;
  code = check_words(inv);
  if (code == PL_EXIT_OK && command->use != PL_USE_NONE) code = read_other_sources(inv);
  if (code == PL_EXIT_OK && command->use == PL_USE_CLIENT) limit_to_client(inv);
  return code;
}

void pl_invocation_free(pl_invocation *inv) {
  pl_options_free(&inv->options);
  pl_texts_free(&inv->flags);
  pl_free(inv->words);
  pl_free(inv->rest);
}
