// perilune completion: which words may stand where a shell asks.
//
// A shell asks with the words behind `perilune` up to the cursor, and gets a line for each that may
// stand in place of the last: the word, a tab, what it means. ":files" and ":folders" are lines
// that mean names of those, which shells know better. What an argument is follows from its name in
// the table of commands: ACTION, NODE, FILE.

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "main.h"

enum { PLACE_MAX = 64 };  // of one placeholder

typedef struct question {
  const pl_command *command;
  const char **words;  // behind the name of the command, without the last
  size_t count;
  const char *current;  // what the last one is so far
  size_t lead;          // bytes of it that every answer begins with: "--peer="
  const char *open;     // the last but one, if it is an option whose value `current` is
} question;

static void offer(const question *q, const char *word, const char *meaning) {
  const char *typed = q->current + q->lead;
  if (strncmp(word, typed, strlen(typed)) != 0) return;
  printf("%.*s%s\t%s\n", (int)q->lead, q->current, word, meaning);
}

static void offer_commands(const question *q) {
  for (const pl_command *c = pl_command_list; c->name != NULL; c++)
    offer(q, c->name, c->summary);
}

// Options, as they are typed.
static void offer_term(const question *q, char term[PL_TERM_MAX], const char *meaning) {
  term[strcspn(term, " ")] = '\0';
  offer(q, term, meaning);
}

static void offer_options(const question *q) {
  char term[PL_TERM_MAX];
  for (const pl_flag *f = q->command->flags; f != NULL && f->name != NULL; f++) {
    pl_help_flag_term(term, f);
    offer_term(q, term, f->help);
  }
  offer(q, "--help", "what the command does, and its options");
  if (q->command->use == PL_USE_NONE) return;
  offer(q, "--config", pl_help_config);
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    if (o->later || !pl_command_takes(q->command, o)) continue;
    pl_help_option_term(term, o);
    offer_term(q, term, o->help);
  }
}

// Copies what stands for the value of the option that begins `text`. "" when it has none, or there
// is no such option.
static void find_value(const pl_command *c, const char *text, char out[PLACE_MAX]) {
  char term[PL_TERM_MAX];
  size_t len = strcspn(text, "=");
  out[0] = '\0';
  for (const pl_flag *f = c->flags; f != NULL && f->name != NULL; f++) {
    pl_help_flag_term(term, f);
    if (strcspn(term, " ") == len && strncmp(term, text, len) == 0)
      snprintf(out, PLACE_MAX, "%s", f->value != NULL ? f->value : "");
  }
  if (c->use == PL_USE_NONE) return;
  if (len == strlen("--config") && strncmp(text, "--config", len) == 0)
    snprintf(out, PLACE_MAX, "FILE");
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    pl_help_option_term(term, o);
    size_t name = strcspn(term, " ");
    if (name == len && strncmp(term, text, len) == 0 && pl_command_takes(c, o))
      snprintf(out, PLACE_MAX, "%s", term[name] == ' ' ? term + name + 1 : "");
  }
}

static bool wants_value(const pl_command *c, const char *word) {
  char value[PLACE_MAX];
  find_value(c, word, value);
  return value[0] != '\0' && strchr(word, '=') == NULL;
}

// The mesh that the options of the command name is asked; without them as with any command.
static int ask_mesh(const question *q, const char *what) {
  const pl_command asking = {.name = "completion",
                             .arguments = "",
                             .more = true,
                             .use = PL_USE_CLIENT,
                             .flags = q->command->flags};
  size_t count = q->count - (q->open != NULL);
  pl_invocation inv;
  int code = pl_invocation_read(&inv, &asking, (int)count, (char **)q->words);
  if (code == PL_EXIT_OK && !inv.help) {
    char lead[PL_URL_MAX];
    snprintf(lead, sizeof lead, "%.*s", (int)q->lead, q->current);
    pl_texts_free(&inv.flags);  // they are of the command that is typed
    pl_free(inv.words);
    inv.words = pl_alloc(3 * sizeof *inv.words);
    inv.words[0] = what;
    inv.words[1] = lead;
    inv.words[2] = q->current + q->lead;
    inv.word_count = 3;
    pl_default_set(&inv, "connect_timeout", "0.3");
    pl_default_set(&inv, "handshake_timeout", "0.3");
    code = pl_run_client(&inv);
  }
  pl_invocation_free(&inv);
  return code;
}

// What may stand for one placeholder: "FILE", or a word that is meant as it is.
static int offer_place(const question *q, const char *place) {
  static const char *const files[] = {"FILE", "SCRIPT"}, *const folders[] = {"DIR", "FOLDER"};
  for (int i = 0; i < 2; i++) {
    if (strcmp(place, files[i]) == 0) puts(":files");
    if (strcmp(place, folders[i]) == 0) puts(":folders");
  }
  if (strcmp(place, "COMMAND") == 0) offer_commands(q);
  if (islower((unsigned char)place[0])) offer(q, place, "");
  if (q->command->use != PL_USE_CLIENT) return PL_EXIT_OK;
  if (strcmp(place, "ACTION") == 0) return ask_mesh(q, "actions");
  bool nodes = strcmp(place, "NODE") == 0 || strcmp(place, "NODES") == 0;
  return nodes ? ask_mesh(q, "nodes") : PL_EXIT_OK;
}

// Of "FILE... [-- ARG...]" the place with that index, up to its end: "FILE..."; the last that
// repeats stands for all that follow.
static const char *find_group(const char *arguments, size_t index, size_t *len) {
  for (const char *at = arguments; *at != '\0'; index--) {
    size_t n = strcspn(at, " ");
    while (strncmp(at + n, " | ", 3) == 0)
      n += 3 + strcspn(at + n + 3, " ");
    *len = n;
    bool repeats = n > 3 && strncmp(at + n - 3, "...", 3) == 0;
    if (index == 0 || repeats) return at;
    at += n + (at[n] == ' ');
  }
  return NULL;
}

static int offer_argument(const question *q, size_t index) {
  size_t len;
  const char *group = find_group(q->command->arguments, index, &len);
  if (group == NULL) return PL_EXIT_OK;
  char places[PLACE_MAX];  // "[FILE | FOLDER]..."
  snprintf(places, sizeof places, "%.*s", (int)len, group);
  int code = PL_EXIT_OK;
  for (char *save = NULL, *place = strtok_r(places, " |[].", &save);
       place != NULL && code == PL_EXIT_OK; place = strtok_r(NULL, " |[].", &save))
    code = offer_place(q, place);
  return code;
}

static int answer(question *q) {
  size_t index = 0;
  for (size_t i = 0; i < q->count; i++) {
    const char *word = q->words[i];
    q->open = NULL;
    if (strcmp(word, "--") == 0 && q->command->passes_rest) {
      puts(":files");
      return PL_EXIT_OK;
    }
    bool is_option = strncmp(word, "--", 2) == 0 && word[2] != '\0';
    if (!is_option) {
      index++;
    } else if (wants_value(q->command, word)) {
      if (i + 1 == q->count) q->open = word;
      i++;
    }
  }
  const char *equals = strchr(q->current, '=');
  bool dashed = strncmp(q->current, "-", 1) == 0;
  if (q->open == NULL && !dashed) return offer_argument(q, index);
  if (q->open == NULL && equals == NULL) {
    offer_options(q);
    return PL_EXIT_OK;
  }
  if (q->open == NULL) q->lead = (size_t)(equals + 1 - q->current);
  char place[PLACE_MAX];
  find_value(q->command, q->open != NULL ? q->open : q->current, place);
  const char *comma = strrchr(q->current + q->lead, ',');
  if (strcmp(place, "NODES") == 0 && comma != NULL) q->lead = (size_t)(comma + 1 - q->current);
  return offer_place(q, place);
}

int pl_completion_command(pl_invocation *inv) {
  if (strcmp(inv->words[0], "words") != 0) return pl_run_client(inv);
  question q = {.current = inv->rest_count > 0 ? inv->rest[inv->rest_count - 1] : ""};
  if (inv->rest_count < 2) {
    offer_commands(&q);
    return PL_EXIT_OK;
  }
  q.command = pl_command_find(inv->rest[0]);
  if (q.command == NULL) return PL_EXIT_OK;
  q.words = inv->rest + 1;
  q.count = inv->rest_count - 2;
  return answer(&q);
}
